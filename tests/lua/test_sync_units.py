"""`sync` takes and returns the difference between what a snapshot wants and what its hold has."""

from typing import Any

import pytest

from tests.lua.builders import (
    COUNTERS,
    DRAWS,
    LINES,
    SHORTS,
    STATE,
    UNMAPPED,
    World,
    cancel,
    claim,
    line,
    offer,
)
from tests.lua.marketplace import CLOSED, PAID_FOR, UNPAID, snap, tmall

A, B = ("A", "p", "q"), ("B", "shared")


@pytest.fixture
async def two(shop: World) -> World:
    """In the marketplace A draws from p (10), then q (2); B from the shared pool."""
    await shop.call(
        "rule", *(offer(*one, channel="tmall", version=2) for one in (A, B)), offer("C", "shared")
    )
    return shop


def named(name: str, sku: str, units: int = 1, payable: int | None = None) -> list[Any]:
    return [*line(sku, units, payable), name]


async def draws(world: World, order_id: str = "o1") -> list[Any]:
    return (await world.hold(order_id))[DRAWS]


DIFFERENCES = {
    "more": ([line("A", 2)], [line("A", 5)], [[1, "p", 5]]),
    "more, from the next pool": ([line("A", 9)], [line("A", 12)], [[1, "p", 10], [1, "q", 2]]),
    "fewer": ([line("A", 5)], [line("A", 2)], [[1, "p", 2]]),
    "fewer, the last drawn first": ([line("A", 12)], [line("A", 9)], [[1, "p", 9]]),
    "another SKU": ([line("A", 5)], [line("B", 5)], [[1, "shared", 5]]),
    "a line more": ([line("A")], [line("A"), line("B")], [[1, "p", 1], [2, "shared", 1]]),
    "a line less": ([line("A"), line("B")], [line("A")], [[1, "p", 1]]),
    "the first line less": ([line("A"), line("B")], [line("B")], [[1, "shared", 1]]),
    "other lines of one SKU": (
        [line("A", 10), line("A", 2)], [line("A", 1), line("A", 8)], [[1, "p", 1], [2, "p", 8]],
    ),
    "named, the other way round": (
        [named("x", "A", 2), named("y", "B", 3)],
        [named("y", "B", 3), named("x", "A", 2)],
        [[1, "p", 2], [2, "shared", 3]],
    ),
    "named, one gone and one new": (
        [named("x", "A", 2), named("y", "B", 3)],
        [named("z", "B", 1), named("x", "A", 2)],
        [[1, "p", 2], [3, "shared", 1]],
    ),
    "one name twice": (
        [named("x", "A", 2), named("x", "A", 3)],
        [named("x", "A", 2), named("x", "A", 4)],
        [[1, "p", 2], [2, "p", 4]],
    ),
    "named and unnamed": (
        [named("x", "A", 2), line("B", 3)],
        [line("B", 3), named("x", "A", 2)],
        [[1, "p", 2], [2, "shared", 3]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("state", [UNPAID, PAID_FOR], ids=["held", "sold"])
@pytest.mark.parametrize(("before", "after", "expected"), DIFFERENCES.values(), ids=DIFFERENCES)
async def test_the_difference_is_taken_or_returned(
    two: World, before: list, after: list, expected: list, state: int
) -> None:
    await two.sync(snap("o1", 1, state, *before))
    await two.sync(snap("o1", 2, state, *after))
    assert await draws(two) == expected
    for name, units in (("p", 10), ("q", 2), ("shared", 100)):
        out = sum(one[2] for one in expected if one[1] == name)
        held_or_sold = [0, out] if state else [out, 0]
        assert await two.pool(name) == [units, 0, units - out, *held_or_sold]
    await two.sync(snap("o1", 3, state, *before))
    await two.sync(snap("o1", 4, state, *after))
    assert await draws(two) == expected, "there and back again"
    await two.sync(snap("o1", 5, CLOSED, *after))
    assert await two.pool("p") == [10, 0, 10, 0, 0]


async def test_a_line_keeps_its_number(two: World) -> None:
    """Events, blocks and returns name lines by their number."""
    first = [named("x", "A", 2), named("y", "B", 3)]
    await two.sync(snap("o1", 1, 0, *first), snap("o1", 2, 0, first[1], named("z", "A")))
    assert [one[:2] for one in (await two.hold("o1"))[LINES]] == [["A", 0], ["B", 3], ["A", 1]]
    assert [event[16] for event in await two.events("X")] == [[1, 2], [2, 3]]
    await two.sync(snap("o1", 3, 0, *reversed(first)))
    assert [one[:2] for one in (await two.hold("o1"))[LINES]] == [["A", 2], ["B", 3], ["A", 0]]
    assert (await two.events("X"))[-1][16] == [2, 1]


async def test_held_becomes_sold_and_held_again(two: World) -> None:
    for version, state in enumerate((UNPAID, PAID_FOR, UNPAID), 1):
        await two.sync(snap("o1", version, state, line("A", 12)))
        held_or_sold = [0, 10] if state else [10, 0]
        assert await two.pool("p") == [10, 0, 0, *held_or_sold]
    assert [event[3] for event in await two.events("X")][1] == [
        ["p", 0, 0, 0, -10, 10], ["q", 0, 0, 0, -2, 2],
    ]  # fmt: skip


async def test_an_unknown_sku_is_marked_and_the_others_count(two: World) -> None:
    some = [line("", 2), line("A", 2), line("Z", 2), line("", 0)]
    (result,) = await two.sync(snap("o1", 1, 0, *some))
    assert result == ["CREATED", "P", "1", [], [3, 1], []]
    assert await draws(two) == [[2, "p", 2]]
    assert [one[1] for one in (await two.hold("o1"))[LINES]] == [0, 2, 0, 0]
    await two.call("rule", offer("Z", "q", channel="tmall"))
    (mapped,) = await two.sync(snap("o1", 2, 0, line("Y"), *some[1:]))
    assert mapped[4] == [1]
    assert await draws(two) == [[2, "p", 2], [3, "q", 2]]
    (lost,) = await two.sync(snap("o1", 3, 0, line(""), line("", 2), line("Z", 2)))
    assert (lost[4], await draws(two)) == ([1, 2], [[3, "q", 2]])


@pytest.mark.parametrize(("progress", "counts_at"), [(CLOSED, "placed"), (UNPAID, "paid")])
async def test_what_takes_nothing_lacks_no_sku(two: World, progress: int, counts_at: str) -> None:
    await two.call("rule", tmall(counts_at, version=2))
    (result,) = await two.sync(snap("o1", 1, progress, line("", 2), line("Z")))
    assert result[4] == []


async def test_an_offer_without_a_pool_that_exists_knows_no_sku(two: World) -> None:
    await two.call("rule", offer("E", channel="tmall"), offer("F", "nowhere", channel="tmall"))
    (result,) = await two.sync(snap("o1", 1, 0, line("E"), line("F"), line("A")))
    assert result[4] == [1, 2]
    assert await two.pool("p") == [10, 0, 9, 1, 0]


async def test_what_was_drawn_stays_when_its_offer_is_gone(two: World) -> None:
    await two.sync(snap("o1", 1, 0, line("A", 2)))
    await two.call("rule", [offer("A", channel="tmall")[0], 3, []])
    (more,) = await two.sync(snap("o1", 2, 0, line("A", 5)))
    assert (more[4], await draws(two)) == ([1], [[1, "p", 2]])
    assert (await two.hold("o1"))[LINES][0][1] == 2, "a hold never says more than it has"
    (fewer,) = await two.sync(snap("o1", 3, 0, line("A")))
    assert (fewer[4], await draws(two)) == ([], [[1, "p", 1]])


# caps ------------------------------------------------------------------------------------


async def test_a_cap_counts_what_is_out_and_no_more(shop: World) -> None:
    for version, units in enumerate((4, 7, 3, 5, 2), 1):
        await shop.sync(snap("o1", version, version % 2, line("B", units)))
        capped = max(0, units - 2)
        assert await shop.counters() == ({"c/shared/tmall": str(capped)} if capped else {})
        expected = [["c\x1fshared\x1ftmall", capped, 0]] if capped else []
        assert (await shop.hold("o1"))[COUNTERS] == expected


async def test_a_cap_says_who_draws_first_and_keeps_nothing_from_what_is_sold(shop: World) -> None:
    words = await shop.sync(*(snap(f"o{n}", 1, 0, line("B", 5)) for n in range(2)))
    assert [word[3] for word in words] == [[], []], "nothing is owed while something is there"
    assert await shop.pool("q") == [2, 0, 0, 2, 0]
    assert await shop.pool("shared") == [100, 0, 92, 8, 0]
    assert await shop.counters() == {"c/shared/tmall": "8"}
    await shop.sync(snap("o1", 2, CLOSED, line("B", 5)))
    assert await shop.counters() == {"c/shared/tmall": "3"}


async def test_what_is_owed_counts_towards_the_cap_until_it_is_back(shop: World) -> None:
    await shop.call("rule", offer("B", ("q", 1), channel="tmall", version=2))
    for version, units in enumerate((3, 2, 1, 0)):
        await shop.sync(snap("o1", version, 0, line("B", units)))
        assert await shop.pool("q") == [2, max(0, units - 2), max(0, 2 - units), units, 0]
        assert await shop.counters() == ({"c/q/tmall": str(units)} if units else {})


async def test_the_end_of_an_order_gives_its_caps_back(shop: World) -> None:
    await shop.call("rule", tmall(expires_by="us", version=2))
    await shop.sync(snap("o1", 1, 0, line("B", 4)), snap("o2", 1, 0, line("B", 3)))
    assert await shop.counters() == {"c/shared/tmall": "5"}
    await shop.call("release", cancel("o1"))
    assert await shop.counters() == {"c/shared/tmall": "3"}
    await shop.call("expire", 10)
    assert await shop.counters() == {}


async def test_a_cap_that_a_release_left_counted_is_given_back(shop: World) -> None:
    await shop.sync(snap("o1", 1, 0, line("B", 5)))
    await shop.call("release", cancel("o1", "c1", [1, 2]))
    assert await shop.counters() == {"c/shared/tmall": "3"}
    await shop.sync(snap("o1", 2, 0, line("B", 3)))
    assert await shop.counters() == {"c/shared/tmall": "1"}
    await shop.sync(snap("o1", 3, CLOSED))
    assert await shop.counters() == {}


# what is owed ----------------------------------------------------------------------------


@pytest.fixture
async def owing(shop: World) -> World:
    """Ten of A: four held by a gate order, and a marketplace sold eleven."""
    await shop.reserve(claim("mine", line("A", 4)))
    (result,) = await shop.sync(snap("o1", 1, PAID_FOR, line("A", 11)))
    assert result[3] == [[1, 5, "A"]]
    assert (await shop.hold("o1"))[SHORTS] == [["p", 5, 1]]
    assert await shop.pool("p") == [10, 5, 0, 4, 11]
    return shop


async def test_a_grant_repays(owing: World) -> None:
    await owing.grant("p", 3)
    assert await owing.pool("p") == [13, 2, 0, 4, 11]
    await owing.grant("p", 3)
    assert await owing.pool("p") == [16, 0, 1, 4, 11]


async def test_a_release_repays(owing: World) -> None:
    await owing.call("release", cancel("mine", "c1", [1, 3]))
    assert await owing.pool("p") == [10, 2, 0, 1, 11]


async def test_an_expiry_repays(owing: World) -> None:
    await owing.advance(10**9)
    await owing.call("expire", 10)
    assert await owing.pool("p") == [10, 1, 0, 0, 11]


async def test_a_return_repays(owing: World) -> None:
    await owing.call("return", ["r1", "of a forgotten order", [["p", 2]]])
    assert await owing.pool("p") == [10, 3, 0, 4, 9]


async def test_a_return_of_what_its_marketplace_tells_of_takes_nothing(owing: World) -> None:
    """Its snapshot says what it wants; a return was on its way when its channel changed."""
    before = await owing.pool("p"), await owing.hold("o1")
    sent = ["r1", "o1", [["p", 2, 1]]]
    assert await owing.call("return", sent, sent) == [["RETURNED"], ["REPEATED"]]
    assert (await owing.pool("p"), await owing.hold("o1")) == before
    assert [event[3] for event in await owing.events("B")] == [[]]


async def test_a_move_repays(owing: World) -> None:
    await owing.call("move", ["m1", "shared", "p", 7, 0, ""])
    assert await owing.pool("p") == [17, 0, 2, 4, 11]


async def test_another_marketplace_order_that_shrinks_repays(owing: World) -> None:
    await owing.sync(snap("o2", 1, 0, line("A", 3)))
    assert await owing.pool("p") == [10, 8, 0, 7, 11]
    (own,) = await owing.sync(snap("o2", 2, CLOSED, line("A", 3)))
    assert (own[3], await owing.pool("p")) == ([], [10, 5, 0, 4, 11])


async def test_its_own_shrinking_repays_and_says_so(owing: World) -> None:
    (fewer,) = await owing.sync(snap("o1", 2, PAID_FOR, line("A", 9)))
    assert (fewer[3], await owing.pool("p")) == ([[1, 3, "A"]], [10, 3, 0, 4, 9])
    (none,) = await owing.sync(snap("o1", 3, PAID_FOR, line("A", 5)))
    assert (none[3], await owing.pool("p")) == ([], [10, 0, 1, 4, 5])


async def test_only_what_is_newly_owed_is_told_by_the_event(owing: World) -> None:
    await owing.sync(snap("o1", 2, PAID_FOR, line("A", 12)))
    await owing.sync(snap("o1", 3, PAID_FOR, line("A", 8)))
    assert [event[12] for event in await owing.events("X")] == [[["p", 5, 1]], [["p", 1, 1]], []]
    assert (await owing.hold("o1"))[SHORTS] == [["p", 2, 1]]


async def test_nothing_is_short_of_a_pool_that_owes_nothing_any_more(owing: World) -> None:
    """Whom a grant repaid, only Postgres knows; but nobody is owed more than the pool owes."""
    await owing.grant("p", 3)
    (same,) = await owing.sync(snap("o1", 2, PAID_FOR, line("A", 11)))
    assert same[3] == [[1, 2, "A"]]
    await owing.grant("p", 2)
    (fewer,) = await owing.sync(snap("o1", 3, PAID_FOR, line("A", 9)))
    assert (fewer[3], await owing.pool("p")) == ([], [15, 0, 2, 4, 9])


async def test_no_more_is_short_than_is_out(owing: World) -> None:
    await owing.call("release", cancel("o1", "c1", [1, 9], kind="duplicate"))
    (result,) = await owing.sync(snap("o1", 2, PAID_FOR, line("A", 2)))
    assert result[3] == [], "what went back repaid it"
    assert (await owing.hold("o1"))[SHORTS] == [["p", 2, 1]]


async def test_what_is_owed_goes_back_before_what_was_drawn(two: World) -> None:
    """Else a refund of one unit frees another pool's, and the first goes on owing."""
    (result,) = await two.sync(snap("o1", 1, 0, line("A", 13)))
    assert result[3] == [[1, 1, "A"]]
    (fewer,) = await two.sync(snap("o1", 2, 0, line("A", 12)))
    assert fewer[3] == []
    assert await two.pool("p") == [10, 0, 0, 10, 0]
    assert await two.pool("q") == [2, 0, 0, 2, 0]


async def test_two_skus_that_are_owed_by_one_pool(two: World) -> None:
    await two.call("rule", offer("D", "p", "q", channel="tmall"))
    (result,) = await two.sync(snap("o1", 1, 0, line("A", 13), line("D", 2), line("A")))
    assert result[3] == [[3, 4, "A"]], "one entry a pool, on its last line"
    assert (await two.events("X"))[0][12] == [["q", 4, 3]]
    assert await two.pool("q") == [2, 4, 0, 6, 0]


async def test_the_last_pool_owes_and_units_that_come_to_the_others_repay_it(two: World) -> None:
    """Whoever draws from the same pools waits in one queue, and no unit lies idle beside it."""
    await two.reserve(claim("gate", line("A", 4)))
    (result,) = await two.sync(snap("o1", 1, 0, line("A", 12)))
    assert result[3] == [[1, 4, "A"]]
    assert (await two.pool("p"), await two.pool("q")) == ([10, 0, 0, 10, 0], [2, 4, 0, 6, 0])
    await two.call("release", cancel("gate", "c1", [1, 3]))
    assert (await two.pool("p"), await two.pool("q")) == ([7, 0, 0, 7, 0], [5, 1, 0, 6, 0])
    await two.grant("p", 3)
    assert (await two.pool("p"), await two.pool("q")) == ([9, 0, 2, 7, 0], [6, 0, 0, 6, 0])
    await two.sync(snap("o1", 2, CLOSED))
    assert (await two.pool("p"), await two.pool("q")) == ([9, 0, 8, 1, 0], [6, 0, 6, 0, 0])


async def test_a_debt_that_was_repaid_is_not_repaid_again(two: World) -> None:
    await two.sync(snap("o1", 1, 0, line("A", 14)))
    await two.grant("q", 2)
    await two.call("rule", offer("D", "q", channel="tmall"))
    await two.sync(snap("o2", 1, 0, line("D", 1)))
    assert await two.pool("q") == [4, 1, 0, 5, 0]
    await two.grant("p", 5)
    assert await two.pool("p") == [15, 0, 5, 10, 0], "who waits for D does not draw from here"
    await two.sync(snap("o3", 1, 0, line("A", 6)))
    await two.grant("p", 3)
    assert (await two.pool("p"), await two.pool("q")) == ([17, 0, 2, 15, 0], [5, 1, 0, 6, 0])


async def test_what_an_ended_pool_cannot_give_its_successor_gives_or_owes(shop: World) -> None:
    """Nobody grants to a pool that is over, so nothing would ever repay it there."""
    await shop.call("move", ["m1", "p", "q", -1, 1, "over"])
    assert (await shop.reserve(claim("gate")))[0] == ["SOLD_OUT", 1, 1, ["p"]]
    (result,) = await shop.sync(snap("o1", 1, 0, line("A", 15)))
    assert result[3] == [[1, 3, "A"]]
    assert await shop.pool("p") == [0, 0, 0, 0, 0]
    assert await shop.pool("q") == [12, 3, 0, 15, 0]
    await shop.sync(snap("o1", 2, CLOSED))
    assert await shop.pool("q") == [12, 0, 12, 0, 0]


async def test_an_order_grows_out_of_a_pool_that_has_ended_since(shop: World) -> None:
    await shop.sync(snap("o1", 1, 0, line("A", 12)))
    assert await shop.pool("p") == [10, 2, 0, 12, 0]
    await shop.call("move", ["m1", "p", "q", 0, 1, "over"])
    (more,) = await shop.sync(snap("o1", 2, 0, line("A", 15)))
    assert more[3] == [[1, 3, "A"]], "what q had repaid p when it ended"
    assert await draws(shop) == [[1, "p", 12], [1, "q", 3]]
    (fewer,) = await shop.sync(snap("o1", 3, 0, line("A", 11)))
    assert (fewer[3], await draws(shop)) == ([], [[1, "p", 11]])
    await shop.sync(snap("o1", 4, CLOSED))
    assert await shop.pool("p") == [0, 0, 0, 0, 0]
    assert await shop.pool("q") == [12, 0, 12, 0, 0]


async def test_a_cancelled_order_that_is_told_again_takes_again(shop: World) -> None:
    """The marketplace's word is the last one: it is sold there."""
    await shop.sync(snap("o1", 1, 0, line("A", 4)))
    await shop.call("release", cancel("o1"))
    assert (await shop.sync(snap("o1", 1, 0, line("A", 4))))[0][:2] == ["UNCHANGED", "R"]
    (again,) = await shop.sync(snap("o1", 2, PAID_FOR, line("A", 4)))
    assert again[:2] == ["UPDATED", "C"]
    assert (await shop.hold("o1"))[STATE] == "C"
    assert await shop.pool("p") == [10, 0, 6, 0, 4]
    assert (await shop.hold("o1"))[UNMAPPED] == []
