"""Everything that is recorded of one SKU, for whoever explains it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.inventory import rules
from engine.inventory.rules.supply import by_group
from engine.inventory.service.bases import Counted
from engine.inventory.service.selling import counted
from engine.inventory.service.skus import read
from engine.inventory.store import recorded
from engine.inventory.types import Dimensions
from engine.inventory.types.supply import Stock
from engine.kernel.types import Tenant
from engine.logical.service import bases as logical
from engine.logical.types.bases import NodeBase

_OFFERS_MAX = 100  # of one SKU: channels by campaigns


class Offered(NamedTuple):
    """What the cell was told that a channel draws from; what is left of a cap, None without one."""

    channel: str
    campaign: str
    draws: Sequence[tuple[Dimensions, int | None]]


class Looked(NamedTuple):
    """A SKU as recorded up to `log_id`. `accounts` are (held, sold, owed); `paused` (scope, id).

    `more`: there are more offers than are read at once.
    """

    at: datetime
    log_id: str
    nodes: Sequence[NodeBase]
    stock: Stock
    accounts: Mapping[Dimensions, tuple[int, int, int]]
    offers: Sequence[Offered]
    paused: set[tuple[str, str]]
    more: bool


async def look(
    runtime: Runtime, db: Connection, tenant: Tenant, sku: str, channel: str = ""
) -> Looked:
    """Read it, offers of one channel or all; to be called in a transaction with one snapshot.

    Raises:
        Overloaded: a channel's draws are capped, and the cell, which counts them, does not answer.
    """
    at, log_id = await recorded.recorded_to(db, runtime.settings.cell)
    nodes = (await logical.bases(db, tenant, [sku], at))[sku]
    stock = (await read(db, tenant, [sku], {sku: Counted(by_group(nodes), None)}))[sku]
    names = {pool.id: pool.name for pool in stock.pools}
    by_id = await recorded.accounts(db, tenant, sku)
    listed = await recorded.list_offers(db, tenant, channel, sku, ("", "", ""), _OFFERS_MAX + 1)
    keys = [key for key, parts in [*listed.items()][:_OFFERS_MAX] if not parts]
    offers = await recorded.offers(db, tenant, keys)
    draws = {key: rules.draws_of(offers[key].body) for key in keys}
    drawn = await counted(runtime, draws)
    offered = [
        Offered(
            key.channel,
            key.campaign,
            [
                (
                    names[pool],
                    None if cap < 0 else cap - drawn.get(rules.cap_field(pool, key.channel), 0),
                )
                for pool, cap in one
            ],
        )
        for key, one in draws.items()
    ]
    paused = await recorded.paused(db, tenant, sku, [key.campaign for key in keys])
    accounts = {names[pool]: one for pool, one in by_id.items()}
    return Looked(at, log_id, nodes, stock, accounts, offered, paused, len(listed) > _OFFERS_MAX)
