"""`restore`: what was promised and lost is put back as it was, and nothing else is asked."""

import pytest

from engine.kernel.errors import Closed
from tests.lua.builders import (
    DATABASE,
    DAY,
    DRAWS,
    FINGERPRINT,
    PAY_BY,
    SOLD,
    STATE,
    UNTIL,
    World,
    campaign,
    cancel,
    claim,
    key,
    line,
    offer,
    payment,
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


async def test_a_paid_claim_is_sold(restoring: World) -> None:
    words = await restore(restoring, promised(claim("paid", settle="paid"), 0, 3))
    assert [word[:2] for word in words] == [["RESERVED", "C"]]
    assert (await restoring.pool("p"))[SOLD] == 1


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


def part(units: int, order_id: str = "part", of: str = "o1") -> list:
    return claim(order_id, line("A", units), buyer="b1", split_from=of)


async def test_a_lost_split_takes_from_its_source_that_is_still_there(restoring: World) -> None:
    now, pools = await restoring.now(), await restoring.unpacked("pools")
    counted = await restoring.counters()
    lost = promised(part(1), now + 5, now)
    assert await restore(restoring, lost, lost) == [
        ["RESERVED", "P", now + 5, 100, []], ["REPEATED", "P", now + 5, 100, []],
    ]  # fmt: skip
    assert await restoring.unpacked("pools") == pools
    assert (await restoring.hold("o1"))[DRAWS] == [[1, "p", 1]]
    assert (await restoring.hold("part"))[DRAWS] == [[1, "p", 1]]
    assert await restoring.counters() == counted | {"m/main/d11/b1": "part"}
    kinds = [event[:2] for event in (await restoring.entries())[-1][1]]
    assert kinds == [["R", "part"], ["L", "o1"]]


async def test_a_lost_split_of_all_ends_its_source(restoring: World) -> None:
    now = await restoring.now()
    await restore(restoring, promised(part(2), now + 5, now))
    assert (await restoring.hold("o1"))[STATE] == "R"
    assert await restoring.pool("p") == [10, 0, 8, 2, 0]


async def test_a_lost_source_and_its_split_come_back_as_they_were(restoring: World) -> None:
    now = await restoring.now()
    source = claim("lost", line("A", 3), line("B", 2), buyer="b2")
    split = claim("part", line("B", 1), buyer="b2", split_from="lost")
    words = await restore(
        restoring, promised(source, now + 5, now), promised(split, now + 5, now + 1)
    )
    assert [word[:4] for word in words] == [
        ["RESERVED", "P", now + 5, 500], ["RESERVED", "P", now + 5, 100],
    ]  # fmt: skip
    assert (await restoring.hold("lost"))[DRAWS] == [[1, "p", 3], [2, "q", 1]]
    assert (await restoring.counters())["m/main/d11/b2"] == "part"


async def test_a_split_waits_for_the_order_that_it_was_split_from(restoring: World) -> None:
    """Another process has it: fresh units for the split would be lacking when it comes."""
    now, before = await restoring.now(), await restoring.dump()
    source = promised(claim("lost", line("A", 3), buyer="b1"), now + 5, now)
    split = promised(part(1, of="lost"), now + 5, now)
    assert await restore(restoring, split) == [["LATER"]]
    before[key("cell")] |= {b"now": (await restoring.dump())[key("cell")][b"now"]}
    assert await restoring.dump() == before
    words = await restore(restoring, split, source, split)
    assert [word[0] for word in words] == ["LATER", "RESERVED", "RESERVED"]
    assert await restoring.pool("p") == [10, 0, 5, 5, 0]


UNFIT = {
    "its source is lost for good": (part(2, of="gone"), None),
    "its source was cancelled": (part(2), "release"),
    "its source was paid": (part(2), "confirm"),
    "its source has fewer units": (part(3), None),
}


@pytest.mark.parametrize(("lost", "before"), UNFIT.values(), ids=UNFIT)
async def test_a_split_that_cannot_take_from_its_source_takes_anew(
    stocked: World, lost: list, before: str | None
) -> None:
    await stocked.call("rule", offer("A", "p", limit=3, version=2))
    await stocked.reserve(claim("o1", line("A", 2), buyer="b1"))
    if before:
        how = payment("o1", amount=200) if before == "confirm" else cancel("o1")
        await stocked.call(before, how)
    had = await stocked.pool("p")
    counted = int((await stocked.counters()).get("b/main/d11/A/b1", 0))
    await stocked.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=2)
    stocked.cell.epoch = 2
    (word,) = await restore(stocked, promised(lost, 5, 3, anew=1))
    units = lost[11][0][1]
    assert word == ["RESERVED", "P", 5, 100 * units, []]
    assert (await stocked.pool("p"))[2:4] == [had[2] - units, had[3] + units]
    assert int((await stocked.counters())["b/main/d11/A/b1"]) == counted + units
    assert not [event for event in await stocked.events("L") if event[5] == "split"]


async def test_a_split_without_source_and_without_units_is_short(restoring: World) -> None:
    before = await restoring.counters(), await restoring.unpacked("pools")
    assert await restore(restoring, promised(part(9, of="gone"), 5, 3, anew=1)) == [["SHORT", 1]]
    assert (await restoring.counters(), await restoring.unpacked("pools")) == before


@pytest.mark.parametrize("late_by", [0, -1])
async def test_units_of_a_hold_that_had_ended_are_there_again(stocked: World, late_by: int) -> None:
    """A rebuilt cell has a hold again whose end nobody recorded, and what then took its units."""
    await stocked.reserve(claim("first", line("A", 8), buyer="b1"), claim("second", line("A", 2)))
    hold = await stocked.hold("first")
    await stocked.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=2)
    stocked.cell.epoch = 2
    accepted_at = hold[UNTIL] + late_by
    new = claim("new", line("A", 3))
    assert await restore(stocked, promised(new, accepted_at + 5, accepted_at)) == [["SHORT", 1]]
    found = await restore(stocked, promised(new, accepted_at + 5, accepted_at, 1))
    if late_by < 0:
        assert found == [["SHORT", 1]], "it had not ended: the units are gone"
        assert (await stocked.hold("first"))[STATE] == "P"
        return
    assert found == [["RESERVED", "P", accepted_at + 5, 300, []]]
    # both were due; the one that came first ended, and is enough
    assert (await stocked.hold("first"))[STATE] == "E"
    assert (await stocked.hold("second"))[STATE] == "P"
    assert await stocked.pool("p") == [10, 0, 5, 5, 0]
    assert [event[:2] for event in (await stocked.events("E", "R"))[-2:]] == [
        ["E", "first"], ["R", "new"],
    ]  # fmt: skip
