"""`restore`: what was promised and lost is put back as it was, and nothing else is asked."""

import pytest

from engine.kernel.errors import Closed
from tests.lua.builders import (
    DATABASE,
    DAY,
    DRAWS,
    FINGERPRINT,
    PAY_BY,
    STATE,
    UNTIL,
    World,
    campaign,
    channel,
    claim,
    line,
    offer,
    promised,
)


@pytest.fixture
async def restoring(stocked: World) -> World:
    """Order o1 is still there; the cell fell and is being opened as epoch 2."""
    await stocked.reserve(claim("o1", line("A", 2), buyer="b1"))
    await stocked.call("rule", offer("A", "p", limit=3, version=2))
    await stocked.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=2)
    stocked.cell.epoch = 2
    return stocked


async def restore(world: World, *claims: object) -> list:
    return await world.call("restore", *claims, payloads=[b"order"] * len(claims))


async def test_it_is_put_back_with_its_own_instants(restoring: World) -> None:
    now = await restoring.now()
    old = now - 1_000
    lost = promised(claim("lost", line("A", 3)), old + 5, old)
    assert await restore(restoring, lost) == [["RESERVED", "P", old + 5, 300, []]]
    hold = await restoring.hold("lost")
    assert (hold[STATE], hold[PAY_BY], hold[UNTIL], hold[18]) == ("P", old + 5, old + 60_005, old)
    assert (hold[FINGERPRINT], hold[DRAWS]) == ("print", [[1, "p", 3]])
    assert (await restoring.scores("due"))["lost"] == old + 5
    assert await restoring.pool("p") == [10, 0, 5, 5, 0]
    entry = (await restoring.entries())[-1]
    assert entry[1][0][:3] == ["R", "lost", old]
    assert entry[2] == [b"order"]


async def test_what_is_still_there_is_left(restoring: World) -> None:
    hold = await restoring.hold("o1")
    twice = promised(claim("o1", line("A", 2), buyer="b1"), 1, 3)
    lost = promised(claim("lost"), 1, 3)
    words = await restore(restoring, twice, lost, lost)
    assert [word[0] for word in words] == ["REPEATED", "RESERVED", "REPEATED"]
    assert await restoring.hold("o1") == hold


async def test_window_pause_and_limits_are_not_asked_but_limits_count(stocked: World) -> None:
    await stocked.call("pause", ["main", "sku", "A", 1, "me", ""])
    await stocked.call("rule", offer("A", "p", limit=1, version=2))
    await stocked.call("rule", [campaign()[0], 2, [2, 0, 1, 0, 0, []]])
    await stocked.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=2)
    stocked.cell.epoch = 2
    lost = [promised(claim(f"o{n}", line("A", 2), buyer="b1"), 1, 3) for n in range(2)]
    assert [word[0] for word in await restore(stocked, *lost)] == ["RESERVED"] * 2
    assert (await stocked.counters())["b/main/d11/A/b1"] == "4"


async def test_units_that_are_gone_are_told_and_nothing_is_taken(restoring: World) -> None:
    lost = promised(claim("lost", line("B"), line("A", 9)), 1, 3)
    before = await restoring.counters(), await restoring.unpacked("pools")
    assert await restore(restoring, lost) == [["SHORT", 2]]
    assert (await restoring.counters(), await restoring.unpacked("pools")) == before


async def test_a_paid_claim_is_sold_and_an_external_one_may_owe(restoring: World) -> None:
    await restoring.open(epoch=3)
    tmall = offer("A", "p", channel="tmall", limit=1)
    await restoring.call("rule", channel("tmall", "external"), tmall)
    await restoring.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=4)
    restoring.cell.epoch = 4
    words = await restore(
        restoring,
        promised(claim("paid", settle="paid"), 0, 3),
        promised(claim("ext", line("A", 9), channel="tmall", buyer="b7"), 0, 3),
    )
    assert [word[:2] for word in words] == [["RESERVED", "C"], ["RESERVED", "P"]]
    assert await restoring.pool("p") == [10, 2, 0, 11, 1]
    assert not [name for name in await restoring.counters() if name.endswith("b7")]


async def test_a_deadline_in_the_closed_time_moves_at_opening(restoring: World) -> None:
    closed_at = await restoring.now()
    await restore(restoring, promised(claim("lost"), closed_at + 5, closed_at))
    await restoring.advance(DAY)
    await restoring.cell.call("open", [DATABASE, "0-0"], argument="open", epoch=2)
    await restoring.call("extend", 256)
    assert (await restoring.hold("lost"))[PAY_BY] == closed_at + 5 + DAY


async def test_a_lost_replacement_takes_the_place_of_the_hold_that_it_replaced(
    restoring: World,
) -> None:
    """Else the old hold keeps the units that were promised to the new one."""
    now = await restoring.now()
    claimed = claim("lost", line("A", 9), buyer="b1", replace=1)
    assert await restore(restoring, promised(claimed, now, now + 1)) == [
        ["RESERVED", "P", now, 900, []]
    ]
    assert (await restoring.hold("o1"))[STATE] == "R"
    assert await restoring.pool("p") == [10, 0, 1, 9, 0]
    assert (await restoring.events("R"))[-1][24] == "o1"
    assert (await restoring.counters())["m/main/d11/b1"] == "lost"


async def test_a_lost_claim_never_replaces_a_later_one(restoring: World) -> None:
    now = await restoring.now()
    claimed = claim("lost", line("A", 1), buyer="b1", replace=1)
    await restore(restoring, promised(claimed, now, now - 1))
    assert (await restoring.hold("o1"))[STATE] == "P"
    assert await restoring.pool("p") == [10, 0, 7, 3, 0]
    assert (await restoring.counters())["m/main/d11/b1"] == "o1"


async def test_a_replacement_without_units_leaves_the_old_hold(restoring: World) -> None:
    now = await restoring.now()
    before = await restoring.counters(), await restoring.unpacked("pools")
    claimed = claim("lost", line("A", 11), buyer="b1", replace=1)
    assert await restore(restoring, promised(claimed, now, now + 1)) == [["SHORT", 1]]
    assert (await restoring.counters(), await restoring.unpacked("pools")) == before


async def test_an_open_cell_restores_nothing(stocked: World) -> None:
    with pytest.raises(Closed):
        await restore(stocked, promised(claim("lost"), 1, 3))
