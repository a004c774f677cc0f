"""The plain lane of `reserve` against the rules: the same verdicts, the same bytes in the cell."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from redis import Redis

from engine.infra import scripts
from tests.lua import builders
from tests.lua.builders import DATABASE, HOUR, KEYS, SEP, claim, key, line, offer, pack, unpack

RULES = [
    builders.channel(by_method={"slow": 5 * HOUR}),
    builders.channel("theirs", "external"),
    builders.campaign(),
    builders.campaign("later", starts_at=10**13),
    builders.campaign("kept", hold_ms=1_000, grace_ms=10),
    builders.campaign("counted", limits=[["campaign", "buyer_id", 2, "orders"]]),
    builders.campaign("staged", balance_by=10**13),
    builders.campaign("queued", room=[1_000, 60_000, "key"]),
    offer("A", "p"),
    offer("B", "q", limit=2),
    offer("C", ("p", 3), "q"),
    offer("D", "p", floor=50),
    offer("E", "nowhere"),
    offer("B", "q", of="", limit=3),
    *(offer("A", "p", of=one, limit=4) for one in ("later", "kept", "counted", "queued")),
    offer("A", "p", of="staged", deposit=10),
]
SKUS = st.sampled_from(["A", "A", "A", "B", "B", "B", "C", "D", "E", "unheard of"])
lines = st.builds(
    lambda sku, units, price, on_short: line(sku, units, units * price, on_short),
    SKUS,
    st.integers(1, 3),
    st.sampled_from([0, 40, 60, 10**13]),
    st.sampled_from(["refuse", "drop"]),
)
CAMPAIGNS = ["d11"] * 6 + ["", "later", "kept", "counted", "staged", "queued", "none"]
some_lines = [st.lists(lines, min_size=1, max_size=most) for most in (1, 1, 1, 1, 1, 2)]
claims = st.builds(
    lambda order_id, wanted, more: claim(order_id, *wanted, **more),
    st.sampled_from(["o1", "o2", "o3", "o4", "o5", "o6", "an order of a long name " * 2]),
    st.one_of(*some_lines),
    st.fixed_dictionaries({
        "buyer": st.sampled_from(["", "b1", "b1", "b2", "买家"]),
        "campaign": st.sampled_from(CAMPAIGNS),
        "channel": st.sampled_from(["mall"] * 9 + ["theirs", "unheard of"]),
        "method": st.sampled_from(["", "slow"]),
        "settle": st.sampled_from([""] * 9 + ["cod"]),
        "replace": st.sampled_from([0] * 5 + [1]),
        "split_from": st.sampled_from([""] * 9 + ["o1", "o2"]),
        "buyer_keys": st.sampled_from([[], [["phone", "x"]]]),
        "fingerprint": st.sampled_from(["print"] * 9 + ["another"]),
    }),
)  # fmt: skip


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Redis]:
    with Redis.from_url(valkey_url) as client:
        yield client


def filled(redis: Redis, batches: list[list[Any]], *, columns: bool) -> tuple[list[Any], Any]:
    """What a new cell answers to these batches, and all that stands in it then."""

    def send(script: str, rows: list[Any], payloads: list[bytes], argument: str = "0") -> Any:
        text = scripts.source(script)
        arguments = [1, argument, pack(rows), *payloads]
        reply = unpack(redis.eval(text, len(KEYS), *KEYS, *arguments))
        assert reply[0] == "OK", reply
        return reply[3]

    redis.flushall()
    for step in ("restoring", "open"):
        send("open", [DATABASE, "0-0"], [], step)
    redis.hset(key("cell"), "now", str(10**12 * 5))  # the clock stands still
    send("rule", RULES, [])
    send("grant", builders.grants(p=12, q=5), [])
    redis.delete(key("log"))
    numbers, answers = count(), []
    for batch in batches:
        payloads = [b"order %d" % next(numbers) for _ in batch]
        asked = builders.asked(batch, payloads) if columns else (batch, payloads)
        answers.append(send("reserve", *asked))
    cell = {
        name: (redis.hgetall if redis.type(key(name)) == b"hash" else redis.zrange)(
            key(name), *(() if redis.type(key(name)) == b"hash" else (0, -1, False, True))
        )
        for name in ("pools", "holds", "due", "rules", "counters", "done")
    }
    # the ids of its entries are the server's time
    log = redis.eval("return redis.call('XRANGE', KEYS[1], '-', '+')", 1, key("log"))
    return answers, (cell, [fields for _, fields in log], redis.hget(key("cell"), "accepted"))


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(batches=st.lists(st.lists(claims, min_size=1, max_size=6), min_size=1, max_size=4))
def test_it_answers_and_writes_what_the_rules_would(redis: Redis, batches: list[list[Any]]) -> None:
    assert filled(redis, batches, columns=True) == filled(redis, batches, columns=False)


def test_a_plain_claim_takes_the_lane(redis: Redis) -> None:
    """Else the test above compares the rules with themselves."""
    judge = "local function judge(claim, payload)\n"
    text = scripts.source("reserve")
    assert judge in text
    blind = text.replace(judge, judge + '  do return { "RULES" } end\n')
    filled(redis, [], columns=True)
    batch = [
        claim("o1", line("A"), buyer="b1"),
        claim("o2", line("B"), buyer="b1"),
        claim("o3", line("A"), campaign="kept", buyer="b1"),
        claim("o4", line("C")),
        claim("o5", line("A"), campaign="staged"),
        claim("o6", line("A"), line("B")),
        claim("o7", line("A"), campaign="queued", buyer="b1"),
    ]
    rows, payloads = builders.asked(batch, [b"order"] * len(batch))
    reply = unpack(redis.eval(blind, len(KEYS), *KEYS, 1, "0", pack(rows), *payloads))
    assert [one[0] for one in reply[3]] == ["RESERVED"] * 3 + ["RULES"] * 4


def test_a_pause_by_a_floor_price_stops_the_lane_in_the_same_call(redis: Redis) -> None:
    batch = [
        claim("o1", line("A"), buyer="b1"),
        claim("o2", line("D", 1, 40), line("A")),
        claim("o3", line("D", 1, 60)),
        claim("o4", line("A"), buyer="b2"),
    ]
    ((_, _, paused, after), _) = (*filled(redis, [batch], columns=True)[0], None)
    assert paused == ["PAUSED", "sku", 1]
    assert after[0] == "RESERVED"
    assert redis.hexists(key("rules"), SEP.join(("pause", "main", "sku", "D")))
