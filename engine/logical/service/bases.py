"""What may be sold of SKUs at their nodes, and when that changes by time alone."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.logical.rules.base import node_base
from engine.logical.rules.change import next_day
from engine.logical.rules.documents import compiled
from engine.logical.rules.matching import Book
from engine.logical.store import documents, reading
from engine.logical.store.reading import Day
from engine.logical.types.bases import NodeBase, Rule
from engine.logical.types.documents import RuleFields


async def bases(
    tx: Connection, tenant: Tenant, skus: Collection[str], at: datetime
) -> Mapping[str, list[NodeBase]]:
    """Return, for each of these SKUs, the chain at each node where its owner ever had stock.

    Nodes that do not count for what is shared are among them (`counts`). A SKU that was never
    counted, or does not exist, has none. Four statements, however many SKUs.
    """
    found: dict[str, list[NodeBase]] = {sku: [] for sku in skus}
    cards = await reading.cards(tx, tenant, found)
    if not cards:
        return found
    held = await reading.held(tx, tenant, cards)
    places = await reading.places(
        tx, tenant, {node for by_node in held.values() for node in by_node}
    )
    book = Book(_compiled(await reading.rules(tx, tenant, cards, at)))
    for card in cards:
        by_node = held.get(card.sku, {})
        for node in sorted(by_node):
            place = places[node]
            chain = node_base(place, by_node[node], book.of(card, place), at)
            found[card.sku].append(chain)
    return found


async def mark_passed(tx: Connection, tenant: Tenant, since: datetime, until: datetime) -> None:
    """Have every SKU planned anew whose chain time alone may have changed after `since`.

    `until` is now. To ask twice about the same time plans twice and changes nothing.
    """
    turned = await reading.begun_or_ended(tx, tenant, since, until)
    await documents.changed(tx, tenant, _compiled(turned))
    days = []
    for zone in await reading.zones(tx, tenant):
        before, now = (at.astimezone(ZoneInfo(zone)).date() for at in (since, until))
        if before < now:
            days.append(Day(zone, before, now))
    if days:
        await reading.batches_passed(tx, tenant, days)


async def next_passing(db: Connection, tenant: Tenant, after: datetime) -> datetime | None:
    """Return the first instant after `after` at which `mark_passed` may find something.

    None: no rule begins or ends any more, and no batch expires.
    """
    bound = await reading.next_bound(db, tenant, after)
    yesterday = after.date() - timedelta(days=1)  # in a zone it may be a day earlier
    if not await reading.some_expire(db, tenant, yesterday):
        return bound
    zones = [ZoneInfo(zone) for zone in await reading.zones(db, tenant)]
    return min((at for at in (bound, next_day(after, zones)) if at is not None), default=None)


def _compiled(told: Iterable[tuple[str, RuleFields]]) -> list[Rule]:
    return [compiled(key, fields) for key, fields in told]
