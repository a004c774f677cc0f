"""`resync`: accepted snapshots once more, while a cell is being opened; see also test_sync_time."""

import pytest

from engine.kernel.errors import Closed
from tests.lua.builders import DATABASE, World, claim, line, promised
from tests.lua.marketplace import PAID_FOR, UNPAID, snap


@pytest.fixture
async def restoring(shop: World) -> World:
    """A marketplace's order is there, and the cell is being opened again."""
    await shop.sync(snap("o1", 2, PAID_FOR, line("A", 2)))
    await shop.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=2)
    return shop


async def resync(world: World, *snaps: list[object]) -> list[list[object]]:
    bodies = [b"{}"] * len(snaps)
    reply = await world.cell.call("resync", snaps, bodies, argument="0", epoch=2)
    return [one[:3] for one in reply.results]


async def test_what_is_lacking_comes_back_and_what_is_there_stays(restoring: World) -> None:
    kept = snap("o1", 2, PAID_FOR, line("A", 2)), snap("o2", 5, UNPAID, line("A", 3))
    assert await resync(restoring, *kept) == [["UNCHANGED", "C", "2"], ["CREATED", "P", "5"]]
    assert await restoring.pool("p") == [10, 3, 8, 3, 2], "claims come first, whoever hands them in"
    assert await resync(restoring, *kept) == [["UNCHANGED", "C", "2"], ["UNCHANGED", "P", "5"]]
    await restoring.cell.call("open", [DATABASE, "0-0"], argument="open", epoch=2)
    await restoring.cell.refresh()
    assert await restoring.pool("p") == [10, 0, 5, 3, 2]
    (opened,) = (await restoring.events("O"))[-1:]
    assert opened[3] == [["p", 0, -3, -3, 0, 0]]


async def test_what_a_claim_was_promised_no_snapshot_takes(restoring: World) -> None:
    """Eight are left: the claim had six of them, and the snapshot was short before as well."""
    (made,) = await resync(restoring, snap("o2", 5, PAID_FOR, line("A", 7)))
    assert made == ["CREATED", "C", "5"]
    taken = promised(claim("g1", line("A", 6)), 0, 0)
    reply = await restoring.cell.call("restore", [taken], [b"{}"], argument="0", epoch=2)
    assert reply.results[0][0] == "RESERVED"
    await restoring.cell.call("open", [DATABASE, "0-0"], argument="open", epoch=2)
    await restoring.cell.refresh()
    assert await restoring.pool("p") == [10, 5, 0, 6, 9]


async def test_the_newest_that_any_process_kept_counts(restoring: World) -> None:
    old, new = snap("o1", 1, UNPAID, line("A", 9)), snap("o1", 3, PAID_FOR, line("A", 1))
    assert await resync(restoring, new, old) == [["UPDATED", "C", "3"], ["STALE", "C", "3"]]
    assert await restoring.pool("p") == [10, 0, 9, 0, 1]


async def test_each_script_has_its_phase(restoring: World) -> None:
    with pytest.raises(Closed):
        await restoring.cell.call("sync", [snap("o2", 1, UNPAID)], [b"{}"], argument="0", epoch=2)
    await restoring.cell.call("open", [DATABASE, "0-0"], argument="open", epoch=2)
    with pytest.raises(Closed):
        await resync(restoring, snap("o2", 1, UNPAID))
