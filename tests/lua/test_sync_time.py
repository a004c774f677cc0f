"""`sync` and time: deadlines that are ours, and how long an order is remembered."""

from typing import Any

import pytest

from engine.kernel import limits
from tests.lua.builders import (
    COUNTERS,
    DAY,
    DRAWS,
    LINES,
    PAY_BY,
    STATE,
    UNTIL,
    WARNED,
    World,
    campaign,
    claim,
    line,
    offer,
    payment,
)
from tests.lua.marketplace import CLOSED, DELIVERED, PAID_FOR, SHIPPED, UNPAID, snap, tmall

HOLD, GRACE, KEEP = 900_000, 60_000, limits.IDEMPOTENCY_KEEP_MS


@pytest.fixture
async def ours(shop: World) -> World:
    """The marketplace tells nothing of orders that nobody paid: we end them."""
    rule = tmall(expires_by="us", by_method={"bank": 5_000}, version=2)
    await shop.call("rule", rule)
    return shop


async def unpaid(world: World, version: int = 1, units: int = 3, **over: Any) -> list[Any]:
    """As it stands at the marketplace: placed when the cell's clock was first looked at."""
    over.setdefault("placed_at", await world.now())
    (result,) = await world.sync(snap("o1", version, UNPAID, line("A", units), **over))
    return result


@pytest.mark.parametrize(("method", "hold_ms"), [("", HOLD), ("alipay", HOLD), ("bank", 5_000)])
async def test_the_deadline_is_counted_from_when_it_was_placed(
    ours: World, method: str, hold_ms: int
) -> None:
    placed_at = await ours.now() - 1_000
    await unpaid(ours, placed_at=placed_at, method=method)
    hold = await ours.hold("o1")
    assert (hold[PAY_BY], hold[UNTIL]) == (placed_at + hold_ms, placed_at + hold_ms + GRACE)
    assert await ours.scores("due") == {"o1": hold[PAY_BY]}
    assert (await ours.events("X"))[0][6:8] == [hold[PAY_BY], hold[UNTIL]]


async def test_it_is_warned_and_then_expires(ours: World) -> None:
    await unpaid(ours)
    await ours.advance(HOLD)
    assert await ours.call("expire", 10) == [1, 0]
    assert await ours.scores("due") == {"o1": await ours.now() + GRACE}
    await unpaid(ours, 2)
    assert (await ours.hold("o1"))[WARNED] == 1
    assert await ours.scores("due") == {"o1": await ours.now() + GRACE}, "told again, not begun"
    await ours.advance(GRACE)
    await ours.call("expire", 10)
    assert (await ours.hold("o1"))[STATE] == "E"
    assert await ours.pool("p") == [10, 0, 10, 0, 0]


async def test_what_was_placed_long_ago_ends_at_the_next_sweep(ours: World) -> None:
    await unpaid(ours, placed_at=5)
    assert await ours.pool("p") == [10, 0, 7, 3, 0]
    await ours.call("expire", 10)
    assert (await ours.hold("o1"))[STATE] == "E"


async def test_an_expired_order_that_is_told_again_takes_nothing_until_it_is_paid(
    ours: World,
) -> None:
    await unpaid(ours)
    await ours.advance(HOLD + GRACE)
    await ours.call("expire", 10)
    ended = await ours.now()
    assert (await unpaid(ours, 2, 4))[:3] == ["UPDATED", "E", "2"]
    hold = await ours.hold("o1")
    assert (hold[DRAWS], hold[LINES], hold[PAY_BY]) == ([], [["A", 0, 400, ""]], 0)
    assert await ours.pool("p") == [10, 0, 10, 0, 0]
    assert (await ours.scores("due"), await ours.scores("done")) == ({}, {"o/o1": ended + KEEP})
    assert (await ours.events("X"))[-1][5] == "E"
    (paid,) = await ours.sync(snap("o1", 3, PAID_FOR, line("A", 4)))
    assert paid[:2] == ["UPDATED", "C"]
    assert await ours.pool("p") == [10, 0, 6, 0, 4]
    assert (await ours.scores("due"), await ours.scores("done")) == ({}, {})


async def test_an_expired_order_that_is_paid_when_nothing_is_left_is_owed(ours: World) -> None:
    await unpaid(ours)
    await ours.advance(HOLD + GRACE)
    await ours.call("expire", 10)
    await ours.sync(snap("o2", 1, PAID_FOR, line("A", 10)))
    (paid,) = await ours.sync(snap("o1", 2, PAID_FOR, line("A", 3)))
    assert paid[3] == [[1, 3, "A"]]
    assert await ours.pool("p") == [10, 3, 0, 0, 13]


async def test_an_expired_order_closes(ours: World) -> None:
    await unpaid(ours)
    await ours.advance(HOLD + GRACE)
    await ours.call("expire", 10)
    (closed,) = await ours.sync(snap("o1", 2, CLOSED, line("A", 3)))
    assert closed[:2] == ["UPDATED", "R"]
    assert await ours.pool("p") == [10, 0, 10, 0, 0]


async def test_a_payment_ends_the_deadline_and_its_loss_begins_it_again(ours: World) -> None:
    await unpaid(ours, placed_at=10_000_000)
    first = await ours.scores("due")
    await ours.sync(snap("o1", 2, PAID_FOR))
    assert (await ours.scores("due"), (await ours.hold("o1"))[PAY_BY]) == ({}, 0)
    await unpaid(ours, 3, placed_at=10_000_000)
    assert await ours.scores("due") == first


async def test_a_deadline_that_moved_stays_where_it_is(ours: World) -> None:
    placed_at = await ours.now()
    await unpaid(ours, placed_at=placed_at)
    await ours.call("close", "for a while")
    await ours.advance(DAY)
    await ours.open(epoch=2)
    moved = await ours.scores("due")
    assert moved == {"o1": placed_at + HOLD + DAY}
    await unpaid(ours, 2, placed_at=placed_at)
    assert await ours.scores("due") == moved


async def test_an_order_that_ends_in_the_same_call_waits_for_nothing(ours: World) -> None:
    now = await ours.now()
    await ours.sync(
        snap("o1", 1, UNPAID, placed_at=now), snap("o1", 2, CLOSED),
        snap("o2", 1, CLOSED), snap("o2", 2, UNPAID, placed_at=now),
    )  # fmt: skip
    assert await ours.scores("due") == {"o2": now + HOLD}
    assert await ours.scores("done") == {"o/o1": now + KEEP}


# remembering -----------------------------------------------------------------------------


@pytest.mark.parametrize("progress", range(6))
async def test_only_what_nothing_is_expected_of_is_forgotten(shop: World, progress: int) -> None:
    await shop.call("rule", [campaign()[0], 2, [2, 0, 5, 0, 0, []]])
    await shop.sync(snap("o1", 1, progress, line("B", 4)))
    await shop.advance(KEEP)
    await shop.call("prune", 10)
    kept = progress < SHIPPED
    assert list(await shop.unpacked("holds")) == (["o1"] if kept else [])
    assert await shop.counters() == ({"c/shared/tmall": "2"} if kept else {})


async def test_a_reopened_order_is_not_forgotten(shop: World) -> None:
    await shop.call("rule", [campaign()[0], 2, [2, 0, 5, 0, 0, []]])
    await shop.sync(snap("o1", 1, CLOSED))
    await shop.sync(snap("o1", 2, PAID_FOR))
    assert await shop.scores("done") == {}
    await shop.advance(KEEP)
    await shop.call("prune", 10)
    assert await shop.pool("p") == [10, 0, 9, 0, 1]
    assert (await shop.sync(snap("o1", 3, SHIPPED)))[0][0] == "UPDATED"


async def test_each_change_of_what_is_final_is_remembered_anew(shop: World) -> None:
    await shop.sync(snap("o1", 1, SHIPPED))
    later = await shop.advance(DAY)
    await shop.sync(snap("o1", 2, DELIVERED))
    assert await shop.scores("done") == {"o/o1": later + KEEP}


@pytest.fixture
async def forgotten(shop: World) -> tuple[World, list[Any]]:
    """Four of B were shipped, two of them under a cap, and the cell has forgotten it."""
    await shop.call("rule", [campaign()[0], 2, [2, 0, 5, 0, 0, []]])
    await shop.sync(snap("o1", 3, SHIPPED, line("B", 4)))
    hold = await shop.hold("o1")
    await shop.advance(KEEP)
    await shop.call("prune", 10)
    assert await shop.unpacked("holds") == {}
    return shop, hold


async def test_a_forgotten_order_is_revived(forgotten: tuple[World, list[Any]]) -> None:
    """With what it counted towards caps: that was given back when it was forgotten."""
    world, hold = forgotten
    assert hold[COUNTERS] == [["c\x1fshared\x1ftmall", 2, 0]]
    old, same, new = await world.sync(
        snap("o1", 2, PAID_FOR, line("B", 9), recalled=hold),
        snap("o1", 3, SHIPPED, line("B", 4), recalled=hold),
        snap("o1", 4, SHIPPED, line("B", 1), recalled=hold),
    )
    assert [old[0], same[0], new[0]] == ["STALE", "UNCHANGED", "UPDATED"]
    assert await world.pool("q") == [2, 0, 1, 0, 1]
    assert await world.pool("shared") == [100, 0, 100, 0, 0]
    assert await world.counters() == {}
    assert (await world.events("X"))[-1][4] == 0, "no new order"
    assert (await world.hold("o1"))[COUNTERS] == []
    await world.sync(snap("o1", 5, PAID_FOR, line("B", 5)))
    assert await world.counters() == {"c/shared/tmall": "3"}


async def test_a_revival_that_changes_nothing_leaves_nothing(
    forgotten: tuple[World, list[Any]],
) -> None:
    world, hold = forgotten
    (same,) = await world.sync(snap("o1", 3, SHIPPED, line("B", 4), recalled=hold))
    assert same[:3] == ["UNCHANGED", "C", "3"]
    assert await world.unpacked("holds") == {}


async def test_what_the_cell_has_is_not_revived(forgotten: tuple[World, list[Any]]) -> None:
    world, hold = forgotten
    await world.sync(snap("o1", 4, PAID_FOR, line("B", 4), recalled=hold))
    await world.sync(snap("o1", 5, PAID_FOR, line("B", 3), recalled=hold))
    assert await world.pool("q") == [2, 0, 0, 0, 2]
    assert await world.pool("shared") == [100, 0, 99, 0, 1]


async def test_a_hold_of_a_marketplace_has_one_layout(shop: World) -> None:
    """Whatever else is done to it, its fields stay where they are."""
    await shop.sync(snap("o1", 1, UNPAID, line("A", 2)))
    await shop.call("confirm", payment("o1", "p1", 200))
    assert isinstance(await shop.hold("o1"), list)


async def test_after_an_offer_has_changed_the_rest_is_drawn_as_it_says_now(shop: World) -> None:
    await shop.sync(snap("o1", 1, UNPAID, line("A", 2)))
    await shop.call("rule", offer("A", "shared", channel="tmall", version=2))
    await shop.sync(snap("o1", 2, UNPAID, line("A", 3)))
    assert (await shop.hold("o1"))[DRAWS] == [[1, "p", 2], [1, "shared", 1]]


async def test_what_was_returned_is_not_given_back_a_second_time(shop: World) -> None:
    """Asked for, paid, partly cancelled; then its channel becomes a marketplace and closes it."""
    await shop.reserve(claim("o1", line("A", 4), settle="paid"))
    before = await shop.pool("p")
    assert await shop.call("return", ["r1", "o1", [["p", 3, 1]]]) == [["RETURNED"]]
    assert (await shop.hold("o1"))[DRAWS] == [[1, "p", 1]]
    await shop.call("rule", tmall(name="mall", version=2))
    assert (await shop.sync(snap("o1", 1, CLOSED, line("A", 4), channel="mall")))[0][0] == "UPDATED"
    assert await shop.pool("p") == [before[0], 0, before[0], 0, 0]


async def test_a_sku_that_is_put_on_sale_is_no_longer_unknown(shop: World) -> None:
    """The same snapshot again: it says the same, and more can be done for it."""
    told = snap("o1", 1, PAID_FOR, line("A", 1), line("new", 2))
    (result,) = await shop.sync(told)
    assert result[4] == [2]
    assert (await shop.sync(told))[0][0] == "UNCHANGED"
    await shop.call(
        "rule",
        offer("new", "shared", of="", channel="tmall"),
        offer("new", "shared", channel="tmall"),
    )
    (again,) = await shop.sync(told)
    assert (again[0], again[4]) == ("UPDATED", [])
    assert (await shop.hold("o1"))[DRAWS][-1] == [2, "shared", 2]
    assert (await shop.sync(told))[0][0] == "UNCHANGED"
