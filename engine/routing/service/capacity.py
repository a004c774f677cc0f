"""What nodes and carriers' services take of a day: granted in turn, given back once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Final

from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant
from engine.physical.service.binding import share_out
from engine.routing.rules.binding import cells
from engine.routing.store import capacity as store
from engine.routing.types.capacity import Cell, Room
from engine.shipments.service.planning import capacity_to_give_back

GIVEN_BACK_PER_CALL_MAX: Final = 500
_KEPT_DAYS: Final = 14
_BOUNDLESS: Final = 1 << 60


async def grant(
    tx: Connection,
    tenant: Tenant,
    needs: Sequence[Mapping[Cell, int] | None],
    limits: Mapping[Cell, int],
) -> tuple[list[bool], dict[Cell, Room]]:
    """Take capacity for those who can have all they need, the first first; None needs nothing.

    Returns who has it (nobody who is None), and the room there is now of what they asked for.
    """
    asked = sorted({cell for need in needs if need is not None for cell in need})
    rooms = await store.lock(tx, tenant, {cell: limits.get(cell) for cell in asked})
    left = {cell: room.left(_BOUNDLESS) for cell, room in rooms.items()}
    won = share_out(needs, left)
    taken = Counter[Cell]()
    for need, has in zip(needs, won, strict=True):
        if has and need is not None:
            taken.update(need)
    await store.take(tx, tenant, taken)
    return won, {cell: Room(room.used + taken[cell], room.limit) for cell, room in rooms.items()}


async def give_back(pool: Pool) -> int:
    """Give back what shipments that are over had taken; return how many slots that were."""
    async with pool.acquire() as tx, tx.transaction():
        slots = await capacity_to_give_back(tx, GIVEN_BACK_PER_CALL_MAX)
        for tenant, own in groupby(sorted(slots), key=lambda one: one[0]):
            await store.give_back(tx, Tenant(tenant), cells(slot for _, slot in own))
    return len(slots)


async def since(db: "Connection | Pool", tenant: Tenant, day: date) -> dict[Cell, Room]:
    """Return what is taken of a day and of those after it."""
    return await store.since(db, tenant, day)


async def forget(db: "Connection | Pool", now: datetime) -> None:
    """Delete days that are long over."""
    await store.forget(db, now.date() - timedelta(days=_KEPT_DAYS))
