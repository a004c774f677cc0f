"""Any interleaving of all scripts, against the plain model in `model.py`.

After every step: replies, pools, holds, limits, caps, deadlines as the model has them, and the log
replayed from empty gives the pools.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis
from redis.commands.core import Script

from engine.infra import scripts
from tests.lua import builders
from tests.lua.builders import DATABASE, DAY, KEYS, SEP, key, pack, unpack
from tests.lua.model import GRACE_MS, HOLD_MS, Ask, Hold, Line, Model, Offer, Source

UNITS_LIMIT, ORDERS_LIMIT, SKU_LIMIT = 8, 3, 4
CHANNELS, CAMPAIGNS, BUYERS = ("mall", "shop", "tmall"), ("d11", ""), ("", "b1", "b2")
SKUS = ("A", "B", "G")

orders = st.integers(0, 12).map("o{}".format)
buyers = st.sampled_from(BUYERS)
line = st.builds(
    Line,
    st.sampled_from(SKUS),
    st.integers(1, 3),
    st.integers(0, 10),
    st.sampled_from(["", "drop"]),
)
lines = st.lists(line, min_size=1, max_size=3)
asks = st.builds(
    Ask, orders, st.just(""), st.sampled_from(CHANNELS), st.sampled_from(CAMPAIGNS), buyers,
    st.sampled_from(["", "", "", "paid"]), st.integers(0, 1), lines,
)  # fmt: skip
payments = st.tuples(orders, st.integers(0, 2).map("p{}".format), st.integers(0, 9))
cancels = st.tuples(
    orders,
    st.integers(0, 3).map("c{}".format),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)).map(list), max_size=2),
    st.booleans(),
)


def batches(of: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(of, min_size=1, max_size=4)


class Cell(RuleBasedStateMachine):
    """One cell on a real server, and its model."""

    redis: Redis

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushall()
        self.scripts = {n: Script(self.redis, scripts.source(n)) for n in scripts.names()}
        self.epoch = self.numbers = self.version = 0
        self.folded: dict[str, list[int]] = {}
        self.last = "0-0"
        self.reopen(0)
        self.travel(10_000_000)
        ends_at = self.now() + 10 * DAY
        self.model = Model(self.now(), ends_at, UNITS_LIMIT, ORDERS_LIMIT)
        self.current = {"A": "A-0", "B": "B-0"}
        self.send("rule", *self.fixed_rules(ends_at))
        for pool, units in (("A-0", 10), ("B-0", 3), ("shared", 6)):
            self.change_grant(pool, units)
        self.point()

    def fixed_rules(self, ends_at: int) -> list[Any]:
        limits = [
            ["campaign", "buyer_id", UNITS_LIMIT, "units"],
            ["sku", "buyer_id", ORDERS_LIMIT, "orders"],
        ]
        return [
            builders.campaign(ends_at=ends_at, limits=limits),
            *(
                builders.channel(name, how, HOLD_MS, GRACE_MS)
                for name, how in (("mall", "gate"), ("shop", "gate"), ("tmall", "external"))
            ),
        ]

    # the wire ----------------------------------------------------------------------------

    def send(self, script: str, *claims: Any, argument: str = "0", bodies: int = 0) -> list[Any]:
        arguments = [self.epoch, argument, pack(claims), *[b"{}"] * bodies]
        reply = unpack(self.scripts[script](keys=list(KEYS), args=arguments))
        assert reply[0] == "OK", reply
        return reply[3]

    def now(self) -> int:
        return int(self.redis.hget(key("cell"), "now") or 0)

    def travel(self, ms: int) -> None:
        self.redis.hset(key("cell"), "now", str(self.now() + ms))

    def reopen(self, ms: int) -> list[int]:
        self.epoch += 1
        (closed_at,) = self.send("open", DATABASE, self.last, argument="restoring")
        self.travel(ms)
        self.send("open", DATABASE, self.last, argument="open")
        while self.send("extend", 2)[1]:
            pass
        return [closed_at, self.now()]

    def change_grant(self, pool: str, delta: int, skip: int = 0) -> None:
        known = self.model.pools.get(pool)
        seq = (known.seq if known else 0) + 1 + skip
        expected = self.model.grant(pool, seq, delta)
        assert self.send("grant", [pool, seq, delta, "load", "ref"]) == [expected]

    def point(self) -> None:
        """Let every offer draw from the pools that are current now."""
        self.version += 1
        a, b = self.current["A"], self.current["B"]
        sources = {
            "A": [Source(a), Source("shared", 3)],
            "B": [Source(b)],
            "G": [Source(b, 2), Source("shared")],
        }
        bodies = []
        for campaign in CAMPAIGNS:
            for channel in CHANNELS:
                for sku in SKUS if channel != "tmall" else ("A", "B"):
                    limit = SKU_LIMIT if sku == "A" else 0
                    self.model.offers[campaign, channel, sku] = Offer(sources[sku], limit)
                    drawn = [(source.pool, source.cap) for source in sources[sku]]
                    bodies.append(
                        builders.offer(
                            sku,
                            *drawn,
                            of=campaign,
                            channel=channel,
                            limit=limit,
                            version=self.version,
                        )
                    )
        self.send("rule", *bodies)

    # steps -------------------------------------------------------------------------------

    @rule(batch=batches(asks))
    def reserve(self, batch: list[Ask]) -> None:
        for ask in batch:
            ask.fingerprint = repr((ask.channel, ask.campaign, ask.buyer, ask.lines))
        claims = [
            builders.claim(
                ask.order_id,
                *([one.sku, one.units, one.payable, one.on_short] for one in ask.lines),
                fingerprint=ask.fingerprint,
                channel=ask.channel,
                campaign=ask.campaign,
                buyer=ask.buyer,
                settle=ask.settle,
                replace=ask.replace,
            )
            for ask in batch
        ]
        expected = [self.model.reserve(ask) for ask in batch]
        assert self.send("reserve", *claims, bodies=len(claims)) == expected

    @rule(pick=st.integers(0, 20), twice=st.booleans())
    def repeat(self, pick: int, twice: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """The same order again, as first sent: only what the fingerprint covers counts."""
        known = sorted(self.model.holds)
        if known:
            ask = self.model.holds[known[pick % len(known)]].ask
            claim = builders.claim(ask.order_id, fingerprint=ask.fingerprint)
            expected = self.model.reserve(ask)
            assert self.send("reserve", *[claim] * (1 + twice), bodies=2) == [expected] * (
                1 + twice
            )

    @rule(batch=batches(payments))
    def confirm(self, batch: list[tuple[str, str, int]]) -> None:
        self.pay("confirm", batch)

    @rule(batch=batches(payments))
    def rehold(self, batch: list[tuple[str, str, int]]) -> None:
        self.pay("rehold", batch)

    def pay(self, script: str, batch: list[tuple[str, str, int]]) -> None:
        """Nine in ten pay what the order asks for."""
        sent, expected = [], []
        for order_id, payment_id, luck in batch:
            hold = self.model.holds.get(order_id)
            amount = hold.total if hold and luck else 1
            sent.append(builders.payment(order_id, payment_id, amount))
            expected.append(getattr(self.model, script)(order_id, payment_id, amount))
        assert self.send(script, *sent) == expected

    @rule(batch=batches(cancels))
    def release(self, batch: list[Any]) -> None:
        expected, sent = [], []
        for order_id, cancel_id, parts, duplicate in batch:
            hold = self.model.holds.get(order_id)
            # a returned order is none that the recorder finds twice
            twin = duplicate and not parts and not (hold and "returned" in hold.cancels)
            kind = "duplicate" if twin else "cancel"
            sent.append(builders.cancel(order_id, cancel_id, *parts, kind=kind))
            expected.append(self.model.release(order_id, cancel_id, parts, duplicate=twin))
        assert self.send("release", *sent) == expected

    @rule(most=st.integers(1, 4))
    def expire(self, most: int) -> None:
        assert self.send("expire", most) == self.model.expire(most)

    @rule(ms=st.sampled_from([1, GRACE_MS, HOLD_MS - 1, HOLD_MS, HOLD_MS + GRACE_MS]))
    def time_passes(self, ms: int) -> None:
        self.travel(ms)
        self.model.now += ms

    @rule(most=st.integers(1, 8), days=st.integers(0, 8))
    def prune(self, most: int, days: int) -> None:
        self.travel(days * DAY)
        self.model.now += days * DAY
        assert self.send("prune", most) == self.model.prune(most)

    @rule(
        pool=st.sampled_from(["A", "B", "shared"]),
        delta=st.integers(-6, 8),
        skip=st.integers(-1, 1),
    )
    def grant(self, pool: str, delta: int, skip: int) -> None:
        self.change_grant(self.current.get(pool, pool), delta, skip)

    @rule(number=st.integers(0, 20), back=st.booleans(), units=st.integers(-1, 4))
    def move(self, number: int, back: bool, units: int) -> None:  # noqa: FBT001 - drawn
        pair = (self.current["B"], "shared")
        source, target = reversed(pair) if back else pair
        expected = self.model.move(f"m{number}", source, target, units, 0)
        assert self.send("move", [f"m{number}", source, target, units, 0, ""]) == [expected]

    @rule(sku=st.sampled_from(["A", "B"]), repoint=st.booleans())
    def pool_ends(self, sku: str, repoint: bool) -> None:  # noqa: FBT001 - drawn
        """Its units go to the shared pool; sometimes its offers learn of it only later."""
        old = self.current[sku]
        self.numbers += 1
        name = f"end-{self.numbers}"
        expected = self.model.move(name, old, "shared", -1, 1)
        assert self.send("move", [name, old, "shared", -1, 1, ""]) == [expected]
        self.current[sku] = f"{sku}-{self.numbers}"
        self.change_grant(self.current[sku], 4)
        if repoint:
            self.point()

    @rule(pick=st.integers(0, 20), again=st.booleans())
    def take_back(self, pick: int, again: bool) -> None:  # noqa: FBT001 - drawn
        sold = sorted(
            i for i, hold in self.model.holds.items()
            if hold.state == "C" and hold.draws and "returned" not in hold.cancels
        )  # fmt: skip
        if sold:
            hold = self.model.holds[sold[pick % len(sold)]]
            parts = [[draw.pool, draw.units] for draw in hold.draws]
            self.numbers += 1
            name = f"r{self.numbers}"
            sent = [[name, hold.ask.order_id, parts]] * (1 + again)
            expected = [self.model.take_back(name, parts) for _ in sent]
            hold.cancels.append("returned")
            assert self.send("return", *sent) == expected

    @rule(sku=st.sampled_from(SKUS), on=st.integers(0, 1))
    def pause(self, sku: str, on: int) -> None:
        expected = self.model.pause(sku, on)
        assert self.send("pause", ["main", "sku", sku, on, "me", ""]) == [expected]

    @rule()
    def checkpoint(self) -> None:
        assert self.send("checkpoint", "cp") == [1]
        (entry,) = self.redis.xrevrange(key("log"), count=1)
        (event,) = unpack(entry[1][b"e"])
        assert event[6] == self.model.accepted
        assert {pool: values[:5] for pool, values in event[7]} == self.totals()

    @precondition(lambda self: self.last != "0-0")
    @rule()
    def trim(self) -> None:
        self.send("trim", self.last)

    @rule(ms=st.sampled_from([0, 50, HOLD_MS, 5 * HOLD_MS]), polite=st.booleans())
    def falls_and_opens(self, ms: int, polite: bool) -> None:  # noqa: FBT001 - drawn
        if polite:
            self.send("close", "for a while")
        else:
            self.redis.hset(key("cell"), "run_id", "0" * 40)
        closed_at, opened_at = self.reopen(ms)
        self.model.extend(closed_at, opened_at)
        self.model.now = opened_at

    # what must always hold ---------------------------------------------------------------

    def totals(self) -> dict[str, list[int]]:
        return {
            name: [pool.granted, pool.owed, pool.available, pool.held, pool.sold]
            for name, pool in self.model.pools.items()
        }

    def stored(self, name: str) -> dict[str, Any]:
        return {f.decode(): unpack(v) for f, v in self.redis.hgetall(key(name)).items()}

    @invariant()
    def pools_are_sound(self) -> None:
        held: Counter[str] = Counter()
        for hold in self.model.holds.values():
            for draw in hold.draws if hold.state == "P" else ():
                held[draw.pool] += draw.units
        pools = self.stored("pools")
        for name, (granted, owed, available, kept, sold, *_) in pools.items():
            assert granted + owed == available + kept + sold
            assert min(granted, owed, available, kept, sold) >= 0
            assert kept == held[name]
        assert pools == {name: list(vars(pool).values()) for name, pool in self.model.pools.items()}

    @invariant()
    def the_log_tells_the_pools(self) -> None:
        for entry_id, fields in self.redis.xrange(key("log"), "(" + self.last, "+"):
            self.last = entry_id.decode()
            for pool, moved in builders.replay(unpack(fields[b"e"])).items():
                before = self.folded.get(pool, [0] * 5)
                self.folded[pool] = [a + b for a, b in zip(before, moved, strict=True)]
        assert {p: v for p, v in self.folded.items() if any(v)} == {
            p: v for p, v in self.totals().items() if any(v)
        }

    @invariant()
    def holds_are_as_told(self) -> None:
        assert {i: seen(packed) for i, packed in self.stored("holds").items()} == {
            i: told(hold) for i, hold in self.model.holds.items()
        }
        due = {
            m.decode(): int(at) for m, at in self.redis.zrange(key("due"), 0, -1, withscores=True)
        }
        assert due == {i: h.due for i, h in self.model.holds.items() if h.state == "P" and h.due}
        assert int(self.redis.hget(key("cell"), "accepted") or 0) == self.model.accepted

    @invariant()
    def limits_are_what_the_holds_count(self) -> None:
        expected: Counter[str] = Counter()
        for hold in self.model.counting():
            expected.update(dict(counted(hold, self.model.external)))
        found = {f.decode(): v.decode() for f, v in self.redis.hgetall(key("counters")).items()}
        mine = {f: v for f, v in found.items() if f.startswith("m")}
        assert {f: int(v) for f, v in found.items() if f not in mine} == +expected
        assert mine == {SEP.join(("m", "main", *of)): i for of, i in self.model.newest.items()}
        done = self.redis.zrange(key("done"), 0, -1, withscores=True)
        assert {m.decode().replace(SEP, "/"): int(at) for m, at in done} == self.model.done


def seen(packed: list[Any]) -> list[Any]:
    """A stored hold, as far as the model has it."""
    b = builders
    return [
        packed[b.STATE], packed[b.ATTEMPT], packed[b.TOTAL], packed[b.PAY_BY], packed[b.UNTIL],
        [one[:3] for one in packed[b.LINES]], packed[b.DRAWS], dict(packed[b.PAYMENTS]),
        packed[b.CANCELS], bool(packed[b.WARNED]),
    ]  # fmt: skip


def told(hold: Hold) -> list[Any]:
    cancels = [one for one in hold.cancels if one != "returned"]
    return [
        hold.state, hold.attempt, hold.total, hold.pay_by, hold.until,
        [[one.sku, one.units, one.payable] for one in hold.ask.lines],
        [[draw.line, draw.pool, draw.units] for draw in hold.draws], hold.payments,
        cancels, hold.warned,
    ]  # fmt: skip


def counted(hold: Hold, external: str) -> Iterator[tuple[str, int]]:
    """The fields of `counters` that one hold stands behind, each with its own units."""
    ask = hold.ask
    total: Counter[str] = Counter()
    for draw in hold.draws:
        if draw.capped:
            total[SEP.join(("c", draw.pool, ask.channel))] += draw.units
    for line in ask.lines if ask.channel != external else ():
        if line.sku == "A":
            total[SEP.join(("b", "main", ask.campaign, "A", ask.buyer))] += line.units
        if ask.campaign:
            kind = ("campaign", "buyer_id", "units")
            total[SEP.join(("l", "main", ask.campaign, *kind, ask.buyer))] += line.units
    for sku in hold.counted_skus if ask.channel != external and ask.campaign else ():
        kind = ("sku", "buyer_id", "orders")
        total[SEP.join(("l", "main", ask.campaign, *kind, ask.buyer, sku))] = 1
    yield from total.items()


@pytest.fixture
def cell_class(valkey_url: str) -> Iterator[type[Cell]]:
    with Redis.from_url(valkey_url, protocol=2) as redis:
        before = redis.config_get("appendfsync")["appendfsync"]
        redis.config_set("appendfsync", "no")  # thousands of steps; no power is lost here
        try:
            yield type("Cell", (Cell,), {"redis": redis})
        finally:
            redis.config_set("appendfsync", before)


def run(machine: type[Cell], *, examples: int, steps: int, derandomize: bool) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # shrinking on a real server takes minutes; add Phase.shrink to look into a failure
            phases=[Phase.generate],
        ),
    )


def test_all_scripts_against_the_model(cell_class: type[Cell]) -> None:
    run(cell_class, examples=150, steps=60, derandomize=True)


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_all_scripts_against_the_model_for_long(cell_class: type[Cell]) -> None:
    run(cell_class, examples=2_000, steps=100, derandomize=False)
