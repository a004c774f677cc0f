"""What channels can sell now, as the cell would: three reads, for any number of SKUs."""

from collections.abc import Collection

from engine.infra.cell import Cell
from engine.publications.rules import numbers, offers
from engine.publications.rules.offers import Asked, Pool
from engine.publications.store import cellside
from engine.publications.types import Reach


async def reaches(cell: Cell, asked: Collection[Asked]) -> dict[tuple[str, str, str], Reach]:
    """Return by (tenant, channel, SKU) what each can sell now.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    fields = {field for one in asked for field in offers.fields_of(one)}
    rules = await cellside.read(cell, "rules", fields)
    now_ms = cell.now_ms()
    force = {one: offers.in_force(one, rules, now_ms) for one in asked}
    drawn = [
        (one, draws) for one, (_, all_of) in force.items() for offer in all_of for draws in offer
    ]
    have = await pools(cell, {pool for _, draws in drawn for pool, _ in draws})
    capped = {field for one, draws in drawn for field in offers.capped(one.channel, draws)}
    told = await cellside.read(cell, "counters", capped)
    counted = {field: int(value) for field, value in told.items()}
    found = {}
    for one, (paused, all_of) in force.items():
        least = numbers.smallest([offers.reach(one, offer, have, counted) for offer in all_of])
        found[one.tenant, one.channel, one.sku] = Reach("paused") if paused else least
    return found


async def pools(cell: Cell, ids: Collection[str]) -> dict[str, Pool]:
    """Return those of these pools that the cell has.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    packed = await cellside.read(cell, "pools", ids)
    return {pool: offers.pool_of(one) for pool, one in packed.items()}
