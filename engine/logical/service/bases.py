"""What may be sold of SKUs at their nodes, and when that changes by time alone."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

from engine.infra import publishing
from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.logical.rules.base import node_base
from engine.logical.rules.change import next_change
from engine.logical.rules.documents import compiled
from engine.logical.rules.matching import Book
from engine.logical.store import reading
from engine.logical.types.bases import Card, Held, NodeBase, Place


class Chains(NamedTuple):
    """The chain of a SKU at each of its nodes, and when one of them may be another.

    `changes_at` is None when time alone changes nothing.
    """

    nodes: list[NodeBase]
    changes_at: datetime | None


async def bases(
    db: Connection, tenant: Tenant, skus: Collection[str], at: datetime, without: str = ""
) -> Mapping[str, list[NodeBase]]:
    """Return, for each of these SKUs, the chain at each node where its owner ever had stock.

    Nodes that do not count for what is shared are among them (`counts`). A SKU that was never
    counted, or does not exist, has none. `without` is a rule that is left out. Four statements,
    however many SKUs.
    """
    found = await _read(db, tenant, skus, at, without)
    return {sku: one.nodes for sku, one in found.items()}


async def present(
    db: Connection, tenant: Tenant, skus: Collection[str], at: datetime
) -> Mapping[str, Chains]:
    """Return what `bases` does and when time changes it, for whoever only looks."""
    return await _read(db, tenant, skus, at)


async def chains(
    tx: Connection, tenant: Tenant, skus: Collection[str], at: datetime
) -> Mapping[str, Chains]:
    """Return what `bases` does, for whoever plans by it until the transaction ends.

    He comes back when time changes it (`changes_at`), and when `infra.publishing` says so: of no
    rule or node is read what is just being changed.
    """
    await publishing.keep_inputs(tx, tenant)
    return await _read(tx, tenant, skus, at)


async def _read(
    db: Connection, tenant: Tenant, skus: Collection[str], at: datetime, without: str = ""
) -> Mapping[str, Chains]:
    found = {sku: Chains([], None) for sku in skus}
    cards = await reading.cards(db, tenant, found)
    if not cards:
        return found
    held = await reading.held(db, tenant, cards)
    nodes = {node for by_node in held.values() for node in by_node}
    places = await reading.places(db, tenant, nodes)
    told = await reading.rules(db, tenant, cards, at)
    book = Book((compiled(key, fields) for key, fields in told if key != without), at)
    for card in cards:
        if by_node := held.get(card.sku):
            found[card.sku] = _chains(card, by_node, places, book)
    return found


def _chains(
    card: Card, by_node: Mapping[str, list[Held]], places: Mapping[str, Place], book: Book
) -> Chains:
    made, changes = [], []
    for node in sorted(by_node):
        place, held = places[node], by_node[node]
        applied = book.of(card, place)
        made.append(node_base(place, held, applied))
        if change := next_change(place, held, applied):
            changes.append(change)
    return Chains(made, min(changes, default=None))
