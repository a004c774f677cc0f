"""`sync`: which snapshot counts, what the first one makes, and what the log and the reply say."""

from itertools import product

import pytest

from engine.kernel import limits
from tests.lua.builders import (
    ATTEMPT,
    BELOW,
    COUNTERS,
    DATABASE,
    DRAWS,
    FINGERPRINT,
    LINE_KEYS,
    LINES,
    PAYMENTS,
    PROGRESS,
    SEEN,
    SHORTS,
    STATE,
    TOTAL,
    UNMAPPED,
    World,
    channel,
    claim,
    key,
    line,
    offer,
    payment,
)
from tests.lua.marketplace import CLOSED, DELIVERED, PAID_FOR, SHIPPED, UNPAID, snap, tmall


async def test_created_updated_unchanged_and_stale(shop: World) -> None:
    first, paid = snap("o1", 1, UNPAID, line("A", 2)), snap("o1", 2, PAID_FOR, line("A", 2))
    assert await shop.sync(first) == [["CREATED", "P", "1", [], [], []]]
    assert await shop.pool("p") == [10, 0, 8, 2, 0]
    assert await shop.sync(first) == [["UNCHANGED", "P", "1", [], [], []]]
    assert await shop.sync(paid) == [["UPDATED", "C", "2", [], [], []]]
    assert await shop.pool("p") == [10, 0, 8, 0, 2]
    assert await shop.sync(first, paid) == [
        ["STALE", "C", "2", [], [], []], ["UNCHANGED", "C", "2", [], [], []],
    ]  # fmt: skip
    assert await shop.redis.hget(key("cell"), "accepted") == b"1", "one order"
    assert len(await shop.events("X")) == 2, "what changed nothing is not told"


VERSIONS = [
    "1", "2", "09", "10", "100", "99999999999999999999", "100000000000000000000",
    "1.5", "2026-11-11T00:00:00Z", "2026-11-11T00:00:01Z", "9a", "a", "a1", "b", "ä",
]  # fmt: skip


async def test_versions_have_an_order(shop: World) -> None:
    """Numbers of any length, then texts byte by byte; whatever comes first, the last one stays."""
    for (a, first), (b, second) in product(enumerate(VERSIONS), repeat=2):
        order_id = f"{first}/{second}"
        made, then = await shop.sync(snap(order_id, first, 1), snap(order_id, second, 1))
        word = "UNCHANGED" if a == b else "UPDATED" if b > a else "STALE"
        assert (made[0], then[0]) == ("CREATED", word), order_id


@pytest.mark.parametrize(("a", "b"), [("7", "007"), ("0", "000"), ("00", "0")])
async def test_leading_zeros_say_nothing(shop: World, a: str, b: str) -> None:
    same = {"fingerprint": "same"}
    words = await shop.sync(snap("o1", a, 1, **same), snap("o1", b, 1, **same))
    assert [word[0] for word in words] == ["CREATED", "UNCHANGED"]


@pytest.mark.parametrize(
    ("fingerprint", "progress", "word"),
    [
        ("v5", SHIPPED, "UNCHANGED"),
        ("other", SHIPPED, "UPDATED"),
        ("other", DELIVERED, "UPDATED"),
        ("other", PAID_FOR, "STALE"),
    ],
)
async def test_with_one_version_twice_the_order_does_not_go_back(
    shop: World, fingerprint: str, progress: int, word: str
) -> None:
    await shop.sync(snap("o1", 5, SHIPPED))
    (result,) = await shop.sync(snap("o1", 5, progress, fingerprint=fingerprint))
    assert result[0] == word
    assert (await shop.hold("o1"))[FINGERPRINT] == ("other" if word == "UPDATED" else "v5")


@pytest.mark.parametrize(
    ("progress", "over", "state", "pool"),
    [
        (UNPAID, {}, "P", [10, 0, 7, 3, 0]),
        (PAID_FOR, {}, "C", [10, 0, 7, 0, 3]),
        (SHIPPED, {}, "C", [10, 0, 7, 0, 3]),
        (DELIVERED, {}, "C", [10, 0, 7, 0, 3]),
        (CLOSED, {}, "R", [10, 0, 10, 0, 0]),
        (CLOSED, {"state": "C"}, "C", [10, 0, 7, 0, 3]),
    ],
    ids=["unpaid", "paid", "shipped", "delivered", "closed", "closed after it shipped"],
)
async def test_it_may_be_seen_first_in_any_state(
    shop: World, progress: int, over: dict, state: str, pool: list[int]
) -> None:
    (result,) = await shop.sync(snap("o1", 9, progress, line("A", 3), **over))
    assert result[:3] == ["CREATED", state, "9"]
    assert await shop.pool("p") == pool
    hold = await shop.hold("o1")
    assert (hold[STATE], hold[SEEN], hold[PROGRESS], hold[ATTEMPT]) == (state, "9", progress, 1)
    assert await shop.scores("due") == {}, "the marketplace owns the deadline"
    forgets = {"o/o1": await shop.now() + limits.IDEMPOTENCY_KEEP_MS}
    assert await shop.scores("done") == (forgets if progress >= SHIPPED else {})


async def test_the_hold_is_as_it_is_documented(shop: World) -> None:
    wanted = [[*line("A", 12), "first"], line("B", 3, payable=7), [*line("Z", 2), "third"]]
    over = {"buyer": "b1", "fingerprint": "print", "total": 1_407, "method": "bank"}
    (result,) = await shop.sync(snap("o1", "v1", UNPAID, *wanted, **over))
    assert result == ["CREATED", "P", "v1", [[1, 2, "A"]], [3], []]
    hold = await shop.hold("o1")
    assert hold == [
        1, "P", 1, "print", "main", "tmall", "d11", "b1", "CNY", 1_407, 0, 0,
        [["A", 12, 1_200, ""], ["B", 3, 7, ""], ["Z", 0, 200, ""]],
        [[1, "p", 12], [2, "q", 2], [2, "shared", 1]],
        [[r"c" + "\x1fshared\x1ftmall", 1, 0]], [], [], 0, await shop.now(), [], [], [], 0,
        "v1", 0, ["first", "", "third"], [["p", 2, 1]], [3], [],
    ]  # fmt: skip
    assert hold[LINE_KEYS:] == [["first", "", "third"], [["p", 2, 1]], [3], []]
    assert (hold[SHORTS], hold[UNMAPPED], hold[BELOW]) == ([["p", 2, 1]], [3], [])


async def test_the_event_says_all_that_postgres_needs(shop: World) -> None:
    await shop.call("rule", offer("B", "q", floor=50, channel="tmall", version=2))
    now = await shop.now()
    wanted = [[*line("A", 12), "first"], line("B", 2, payable=7), line("", 2)]
    reply = await shop.cell.call("sync", [snap("o1", 1, UNPAID, *wanted)], [b"all"], argument="0")
    entry_id, (paused, event), payloads = (await shop.entries())[-1]
    assert (entry_id, payloads) == (reply.log_id, [b"all"])
    assert paused[:2] == ["U", "sku"]
    assert event == [
        "X", "o1", now, [["p", 0, 2, -10, 12, 0], ["q", 0, 0, -2, 2, 0]], 1, "P", 0, 0,
        [["A", 12, 1_200, ""], ["B", 2, 7, ""], ["", 0, 200, ""]], ["first", "", ""],
        [[1, "p", 12], [2, "q", 2]], [], [["p", 2, 1]], [3], [2], 1, [1, 2, 3],
    ]  # fmt: skip


async def test_a_later_snapshot_of_the_call_does_not_change_an_earlier_event(shop: World) -> None:
    versions = [
        snap("o1", 1, UNPAID, line("A", 12), line("", 1)),
        snap("o1", 2, PAID_FOR, line("A", 3), line("B", 4)),
        snap("o1", 3, CLOSED, line("A", 3), line("B", 4)),
    ]
    await shop.sync(*versions)
    at_once = [event[3:15] for event in await shop.events("X")]
    await shop.sync(*(["later", *one[1:]] for one in versions[:1]))
    for one in versions[1:]:
        await shop.sync(["later", *one[1:]])
    assert [event[3:15] for event in (await shop.events("X"))[3:]] == at_once
    assert [event[15] for event in await shop.events("X")] == [1, 2, 3, 1, 1, 1]


async def test_twins_and_several_versions_in_one_call(shop: World) -> None:
    words = await shop.sync(
        snap("o1", 2, PAID_FOR, line("A", 4)),
        snap("o2", 1, UNPAID),
        snap("o1", 2, PAID_FOR, line("A", 4)),
        snap("o1", 1, UNPAID, line("A", 9)),
        snap("o1", 3, PAID_FOR, line("A", 1)),
        snap("o2", 1, UNPAID),
    )
    assert [word[0] for word in words] == [
        "CREATED", "CREATED", "UNCHANGED", "STALE", "UPDATED", "UNCHANGED",
    ]  # fmt: skip
    assert await shop.pool("p") == [10, 0, 8, 1, 1]
    assert await shop.redis.hget(key("cell"), "accepted") == b"2"


async def test_which_channels_have_snapshots(shop: World) -> None:
    words = await shop.sync(
        snap("o1", 1, 0, channel="mall"), snap("o2", 1, 0, channel="new"), snap("o3", 1, 0)
    )
    assert [word[0] for word in words] == ["WRONG_CALL", "UNKNOWN_CHANNEL", "CREATED"]
    assert list(await shop.unpacked("holds")) == ["o3"]


async def test_a_rule_of_the_older_kind_counts_what_is_placed(shop: World) -> None:
    await shop.call("rule", channel("old", "external"), offer("A", "p", channel="old"))
    await shop.sync(snap("o1", 1, UNPAID, channel="old"))
    assert await shop.pool("p") == [10, 0, 9, 1, 0]
    assert await shop.scores("due") == {}


async def test_what_counts_when_it_is_paid(shop: World) -> None:
    await shop.call("rule", tmall("paid", version=2))
    assert await shop.sync(snap("o1", 1, UNPAID, line("A", 3), line("Z"))) == [
        ["CREATED", "P", "1", [], [], []]
    ]
    assert (await shop.hold("o1"))[LINES] == [["A", 0, 300, ""], ["Z", 0, 100, ""]]
    assert (await shop.hold("o1"))[TOTAL] == 400
    assert await shop.pool("p") == [10, 0, 10, 0, 0]
    (paid,) = await shop.sync(snap("o1", 2, PAID_FOR, line("A", 3), line("Z")))
    assert paid == ["UPDATED", "C", "2", [], [2], []]
    assert await shop.pool("p") == [10, 0, 7, 0, 3]
    (back,) = await shop.sync(snap("o1", 3, UNPAID, line("A", 3), line("Z")))
    assert back[:2] == ["UPDATED", "P"]
    assert await shop.pool("p") == [10, 0, 10, 0, 0]


async def test_an_order_for_the_record_takes_nothing(shop: World) -> None:
    await shop.call("rule", tmall(authority="record", version=2))
    wanted = [line("A", 12, payable=1), line(""), line("Z")]
    for version, progress in enumerate((UNPAID, PAID_FOR, SHIPPED, CLOSED), 1):
        (result,) = await shop.sync(snap("o1", version, progress, *wanted))
        assert result[3:] == [[], [], []], "what takes nothing lacks nothing"
    assert await shop.pool("p") == [10, 0, 10, 0, 0]
    assert (await shop.hold("o1"))[DRAWS] == []
    assert [event[3] for event in await shop.events("X")] == [[]] * 4


async def test_a_floor_price_pauses_its_sku_once(shop: World) -> None:
    await shop.call("rule", offer("A", "p", floor=50, channel="tmall", version=2))
    cheap = [line("A", 2, payable=99)]
    assert (await shop.sync(snap("o1", 1, 0, *cheap)))[0][5] == [1]
    (event,) = await shop.events("U")
    assert event[4:] == ["main", "A", 1, "floor_price", "o1"]
    assert (await shop.reserve(claim("gate")))[0][:2] == ["PAUSED", "sku"]
    await shop.call("pause", ["main", "sku", "A", 0, "me", "checked"])
    assert (await shop.sync(snap("o1", 2, 1, *cheap)))[0][5] == [1], "still so, and known"
    assert len(await shop.events("U")) == 2
    (twice,) = await shop.sync(snap("o1", 3, 1, *cheap, line("A", 1, payable=49)))
    assert twice[5] == [1, 2]
    assert [event[4:] for event in (await shop.events("U"))[2:]] == [
        ["main", "A", 1, "floor_price", "o1"]
    ]
    assert (await shop.sync(snap("o1", 4, 1, line("A", 2, payable=100))))[0][5] == []


async def test_neither_window_nor_pause_nor_limit_is_asked(shop: World) -> None:
    await shop.call("rule", offer("A", "p", channel="tmall", limit=1, of="over", version=2))
    await shop.call("pause", ["main", "sku", "A", 1, "me", ""])
    words = await shop.sync(
        *(snap(f"o{n}", 1, 1, line("A", 4), campaign="over", buyer="b1") for n in range(3))
    )
    assert [word[3] for word in words] == [[], [], [[1, 2, "A"]]]
    assert await shop.counters() == {}, "a marketplace's buyer has no limit here"


async def test_the_largest_call(shop: World) -> None:
    count = limits.CLAIMS_PER_CALL_MAX
    many = [line("A"), line("B"), line("A"), line("B")][: limits.LINES_PER_CALL_MAX // count]
    words = await shop.sync(*(snap(f"o{n}", 1, 0, *many) for n in range(count)))
    assert {word[0] for word in words} == {"CREATED"}
    owed = {pool: values[1] for pool, values in (await shop.unpacked("pools")).items()}
    each = sum(one[0] == "A" for one in many) * count
    assert owed == {"p": each - 10, "q": 0, "shared": len(many) * count - each - 102}
    words = await shop.sync(*(snap(f"o{n}", 2, 5, *many) for n in range(count)))
    assert {word[1] for word in words} == {"R"}
    assert (await shop.pool("p"), await shop.counters()) == ([10, 0, 10, 0, 0], {})


async def test_the_number_of_remembered_lines_is_bounded(shop: World) -> None:
    def named(version: int) -> list:
        return [[*line("A"), f"{version}-{n}"] for n in range(limits.LINES_PER_ORDER_MAX)]

    for version in range(2):
        assert (await shop.sync(snap("o1", version, 0, *named(version))))[0][1] == "P"
    before = await shop.hold("o1"), await shop.unpacked("pools"), await shop.events()
    assert await shop.sync(snap("o1", 4, 0, *named(4))) == [["CONFLICT"]]
    assert (await shop.hold("o1"), await shop.unpacked("pools"), await shop.events()) == before
    assert (await shop.sync(snap("o1", 5, 5, *named(1))))[0][:2] == ["UPDATED", "R"]


async def test_a_gate_order_whose_channel_becomes_a_marketplace(stocked: World) -> None:
    """Its units stay, it counts for no buyer's limit any more, and no claim replaces it."""
    b = ("B", "q", ("shared", 5))
    await stocked.call("rule", offer("A", "p", limit=9, version=2))
    await stocked.reserve(claim("o1", line("A", 2), line("B", 4), buyer="b1"))
    assert len(await stocked.counters()) == 3
    await stocked.call("rule", tmall(name="mall", version=2))
    assert await stocked.reserve(claim("o1", line("A", 2), line("B", 4), buyer="b1")) == [
        ["REPEATED", "P", await stocked.now() + 900_000, 600, []]
    ]
    here = {"channel": "mall", "buyer": "b1"}
    (result,) = await stocked.sync(snap("o1", 1, PAID_FOR, line("A", 3), line("B", 4), **here))
    assert result == ["UPDATED", "C", "1", [], [], []]
    assert await stocked.counters() == {"c/shared/mall": "2"}
    assert await stocked.pool("p") == [10, 0, 7, 0, 3]
    assert await stocked.pool("shared") == [100, 0, 98, 0, 2]
    assert await stocked.scores("due") == await stocked.scores("done") == {}
    assert (await stocked.hold("o1"))[COUNTERS] == [["c\x1fshared\x1fmall", 2, 0]]
    await stocked.call("rule", channel("shop"), offer(*b, channel="shop"))
    (other,) = await stocked.reserve(claim("o2", line("B"), channel="shop", buyer="b1", replace=1))
    assert other[0] == "RESERVED"
    assert (await stocked.hold("o1"))[STATE] == "C"


async def test_a_gate_order_taken_over_unpaid_is_replaced_by_nothing(stocked: World) -> None:
    await stocked.reserve(claim("o1", buyer="b1"))
    await stocked.call("rule", tmall(name="mall", version=2), channel("shop"))
    await stocked.call("rule", offer("A", "p", channel="shop"))
    await stocked.sync(snap("o1", "a", UNPAID, channel="mall", buyer="b1"))
    await stocked.reserve(claim("o2", channel="shop", buyer="b1", replace=1))
    assert (await stocked.hold("o1"))[STATE] == "P"
    assert await stocked.pool("p") == [10, 0, 8, 2, 0]


async def test_money_that_comes_by_the_other_way_is_booked_once(shop: World) -> None:
    """A payment for a marketplace's order leaves a hold of the same layout."""
    await shop.sync(snap("o1", 1, UNPAID, line("A", 2)))
    assert await shop.call("confirm", payment("o1", "p1", 200)) == [["CONFIRMED"]]
    assert (await shop.sync(snap("o1", 2, SHIPPED, line("A", 2))))[0][:2] == ["UPDATED", "C"]
    hold = await shop.hold("o1")
    assert hold[PAYMENTS] == [["p1", "applied", 200]]
    assert await shop.pool("p") == [10, 0, 8, 0, 2]


async def test_an_opening_judges_as_a_sync_does(shop: World) -> None:
    await shop.sync(snap("o1", 2, UNPAID, line("A", 2)))
    await shop.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=2)
    shop.cell.epoch = 2
    again = [
        snap("o1", 1, UNPAID, line("A", 9)),
        snap("o1", 2, UNPAID, line("A", 2)),
        snap("o1", 3, PAID_FOR, line("A", 3)),
        snap("o2", 1, UNPAID, line("A", 9)),
    ]
    words = await shop.call("resync", *again, payloads=[b"{}"] * 4)
    assert [word[0] for word in words] == ["STALE", "UNCHANGED", "UPDATED", "CREATED"]
    assert await shop.pool("p") == [10, 10, 8, 9, 3], "what is free was promised to claims"
    await shop.cell.call("open", [DATABASE, "0-0"], argument="open", epoch=2)
    assert await shop.pool("p") == [10, 2, 0, 9, 3]
