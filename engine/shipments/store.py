"""Shipments, what was said of them, and stops, in Postgres; nothing here commits.

Locks are taken in one order, everywhere: orders by id, their shipments by id, their open stops, and
then whatever stock, capacity and queues are to change.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.ids import line_id
from engine.shipments.types.shipments import Line, Package, Planned, Shipment, Slot, Told
from engine.shipments.types.stops import Address, AddressState, Ask, Part, Stop, ToldAddress
from engine.shipments.types.views import (
    ItemShown,
    LineShown,
    OrderStop,
    ParcelShown,
    ShipmentView,
    StopShown,
    TrackShown,
    Wanted,
)

SQL: Final = queries.load("engine.shipments")

_encode: Final = msgspec.json.Encoder().encode

_PLANNED: Final = (
    "shipment_id", "tenant", "order_id", "node", "attempt", "consignment_id", "mode", "lines",
    "service", "card", "quote", "currency", "quoted_grams", "promised_ship_by",
    "promised_deliver_by", "region", "no_return", "intercepts", "merge_hash", "release_at",
    "capacity", "capacity_back", "state", "state_at", "card_version",
)  # fmt: skip
_EVENT: Final = ("at", "kind", "order_id", "log_id", "actor", "data")


class Order(NamedTuple):
    """A locked order as a shipment meets it; `wanted` are units of each line it is to get."""

    order_id: str
    tenant: str
    state: str
    progress: str
    wanted: Mapping[int, int]


class Event(NamedTuple):
    """What happened to an order, for its timeline and the outbox."""

    kind: str
    order_id: str
    actor: str
    data: Mapping[str, object]


async def lock_orders(tx: Connection, order_ids: Iterable[str]) -> dict[str, Order]:
    """Lock orders, in the order of their ids; those that are not recorded are not in the answer."""
    rows = await tx.fetch(SQL["lock_orders"], sorted(set(order_ids)))
    return {row["order_id"]: _order(row) for row in rows}


async def lock_shipments(tx: Connection, order_ids: Iterable[str]) -> list[Shipment]:
    """Lock all shipments of locked orders and return them by id."""
    rows = await tx.fetch(SQL["lock_shipments"], sorted(set(order_ids)))
    return [_shipment(row) for row in rows]


async def shipments_of(tx: Connection, order_ids: Iterable[str]) -> list[Shipment]:
    """Return all shipments of orders, by id, as they stand at this moment."""
    rows = await tx.fetch(SQL["shipments_of"], sorted(set(order_ids)))
    return [_shipment(row) for row in rows]


async def orders_of(db: "Connection | Pool", consignment_id: str) -> list[str]:
    """Return the orders whose goods are in a consignment; none when nobody knows it."""
    return [row["order_id"] for row in await db.fetch(SQL["orders_of"], consignment_id)]


async def is_blocked(tx: Connection, order_id: str) -> bool:
    """Whether a block stands on an order."""
    return bool(await tx.fetchval(SQL["is_blocked"], order_id))


async def has_open_stop(tx: Connection, order_id: str) -> bool:
    """Whether a stop of an order is not answered yet."""
    return bool(await tx.fetchval(SQL["has_open_stop"], order_id))


async def has_unsent(tx: Connection, order_id: str, lines: Collection[int]) -> bool:
    """Return whether a shipment with one of these lines has not left yet."""
    return bool(await tx.fetchval(SQL["has_unsent"], order_id, sorted(lines)))


async def routed_for(tx: Connection, ids: Collection[str]) -> set[str]:
    """Return the regions that shipments were routed for."""
    return {row["region"] for row in await tx.fetch(SQL["routed_for"], sorted(ids))}


async def has_live(tx: Connection, order_id: str) -> bool:
    """Whether an order has a shipment that is neither cancelled nor rejected."""
    return bool(await tx.fetchval(SQL["has_live"], order_id))


async def next_numbers(tx: Connection, order_ids: Collection[str]) -> dict[str, int]:
    """Return the number of the next shipment of each locked order."""
    rows = await tx.fetch(SQL["next_numbers"], sorted(order_ids))
    return dict.fromkeys(order_ids, 1) | {row["order_id"]: row["n"] for row in rows}


async def next_attempts(tx: Connection, order_id: str) -> dict[str, int]:
    """Return the next attempt at each node that ever had a shipment of an order."""
    return {row["node"]: row["attempt"] for row in await tx.fetch(SQL["next_attempts"], order_id)}


async def insert(tx: Connection, planned: Sequence[Planned], at: datetime) -> None:
    """Write new shipments, in one COPY."""
    await tx.copy_records_to_table(
        "shipments",
        columns=_PLANNED,
        records=[
            (
                one.shipment_id, one.tenant, one.order_id, one.node, one.attempt, one.shipment_id,
                one.mode, _json(one.lines), one.service, one.card, one.quote, one.currency,
                one.quoted_grams, one.promised_ship_by, one.promised_deliver_by, one.region,
                one.no_return, one.intercepts, one.merge_hash, one.release_at,
                _json(one.capacity), not one.capacity, "planned", at, one.card_version,
            )
            for one in planned
        ],
    )  # fmt: skip
    declared = {
        (one.tenant, line.sku, one.shipment_id)
        for one in planned
        for line in one.lines
        if not line.bound
    }
    if declared:
        columns = list(map(list, zip(*sorted(declared), strict=True)))
        await tx.execute(SQL["declare"], *columns)


async def counted_since(db: "Connection | Pool", tenant: str, limit: int) -> list[tuple[str, str]]:
    """Return (order, shipment) with lines of goods that were counted since it was planned."""
    rows = await db.fetch(SQL["counted_since"], tenant, limit)
    return [(row["order_id"], row["shipment_id"]) for row in rows]


async def owners_of_counted(tx: Connection, tenant: str, skus: Collection[str]) -> dict[str, str]:
    """Return the owners of those of these SKUs that somebody has counted."""
    rows = await tx.fetch(SQL["owners_of_counted"], tenant, sorted(skus))
    return {row["sku"]: row["owner"] for row in rows}


async def adopt(tx: Connection, one: Shipment, skus: Collection[str]) -> None:
    """Write the lines of a locked shipment, of which these SKUs are assigned now."""
    await tx.execute(SQL["adopt"], one.shipment_id, _json(one.lines), one.tenant, sorted(skus))


async def plan_again(tx: Connection, old: str, new: str, attempt: int, at: datetime) -> None:
    """Write a shipment as one that is over was planned, under a new name and attempt."""
    await tx.execute(SQL["plan_again"], old, new, attempt, at)


async def set_progress(tx: Connection, progress: Mapping[str, str]) -> None:
    """Write how far locked orders are."""
    if progress:
        await tx.execute(SQL["set_progress"], list(progress), list(progress.values()))


async def touch(tx: Connection, order_ids: Collection[str]) -> None:
    """Make the rows of locked orders new ones: what was read of them before is out of date."""
    if order_ids:
        await tx.execute(SQL["touch"], sorted(order_ids))


async def begin_progress(tx: Connection, order_ids: Collection[str]) -> None:
    """Write that locked orders are routed whose first shipments were planned just now.

    What `follow` would come to, without reading them.
    """
    if order_ids:
        await tx.execute(SQL["begin_progress"], sorted(order_ids))


async def move_on(tx: Connection, ids: Collection[str], state: str, at: datetime) -> None:
    """Give locked shipments a state of ours."""
    await tx.execute(SQL["move_on"], sorted(ids), state, at)


async def set_state(tx: Connection, one: Shipment, told: Collection[Told], at: datetime) -> None:
    """Write what the reports of a locked shipment come to."""
    first: dict[str, datetime] = {}
    for report in told:
        first[report.kind] = min(report.at, first.get(report.kind, report.at))
    await tx.execute(
        SQL["set_state"], one.shipment_id, one.state, at, one.reason,
        _json({kind: _moment(first[kind]) for kind in sorted(first)}), one.wms_ref,
        one.cancelling, _json(one.short),
    )  # fmt: skip


async def set_cancelling(tx: Connection, ids: Collection[str]) -> None:
    """Note that a cancel of locked shipments is being sent."""
    await tx.execute(SQL["set_cancelling"], sorted(ids))


async def take_back_capacity(tx: Connection, limit: int) -> list[tuple[str, Slot]]:
    """Return the (tenant, capacity) that shipments which are over had taken, each once ever."""
    rows = await tx.fetch(SQL["take_back_capacity"], limit)
    return [
        (row["tenant"], Slot(*slot)) for row in rows for slot in codec.decode_json(row["capacity"])
    ]


async def add_report(tx: Connection, shipment_id: str, told: Told) -> bool:
    """Keep a report; False when it came before."""
    data = {
        "reply": told.reply, "packages": told.packages, "text": told.text, "ref": told.wms_ref,
        "reason": told.reason, "lacks": told.lacks,
    }  # fmt: skip
    added = await tx.fetchval(
        SQL["add_report"], shipment_id, told.kind, told.report_id, told.at, _json(data)
    )
    return bool(added)


async def reports(tx: "Connection | Pool", ids: Collection[str]) -> dict[str, list[Told]]:
    """Return all that was said of shipments; of each an entry."""
    found: dict[str, list[Told]] = {one: [] for one in ids}
    for row in await tx.fetch(SQL["reports"], sorted(ids)):
        found[row["shipment_id"]].append(_told(row))
    return found


async def add_stop(tx: Connection, ask: Ask, parts: Mapping[str, Part], at: datetime) -> bool:
    """Write a stop and its parts; False when it was asked before."""
    added = await tx.fetchval(
        SQL["add_stop"], ask.stop_id, ask.tenant, ask.order_id, ask.cause, ask.cause_id,
        _json(ask.lines), at, ask.actor, sorted(parts), _json(ask.detail),
    )  # fmt: skip
    if added and parts:
        await tx.execute(SQL["add_stop_parts"], ask.stop_id, list(parts), list(parts.values()), at)
    return bool(added)


async def stop(db: "Connection | Pool", stop_id: str) -> Stop | None:
    """Return a stop, None when it was never asked."""
    row = await db.fetchrow(SQL["stop"], stop_id)
    return None if row is None else _stop(row)


async def lock_open_stops(tx: Connection, order_ids: Iterable[str]) -> list[Stop]:
    """Lock the open stops of locked orders and return them by id."""
    rows = await tx.fetch(SQL["lock_open_stops"], sorted(set(order_ids)))
    return [_stop(row) for row in rows]


async def parts(tx: "Connection | Pool", stop_ids: Collection[str]) -> dict[str, dict[str, Part]]:
    """Return the parts of stops: by stop, then by shipment."""
    found: dict[str, dict[str, Part]] = {one: {} for one in stop_ids}
    for row in await tx.fetch(SQL["parts"], sorted(stop_ids)):
        found[row["stop_id"]][row["shipment_id"]] = row["answer"]
    return found


async def answer_parts(
    tx: Connection, answers: Mapping[tuple[str, str], Part], at: datetime
) -> None:
    """Write the answers of open parts, by (stop, shipment)."""
    if answers:
        stops, shipments = zip(*answers, strict=True)
        await tx.execute(
            SQL["answer_parts"], list(stops), list(shipments), list(answers.values()), at
        )


async def answer(tx: Connection, stop_id: str, word: Part, at: datetime) -> Stop | None:
    """Give a stop its one answer; None when it has one."""
    row = await tx.fetchrow(SQL["answer_stop"], stop_id, word, at)
    return None if row is None else _stop(row)


async def overdue(db: "Connection | Pool", before: datetime, limit: int) -> list[tuple[str, str]]:
    """Return (stop, order) of stops that were asked before an instant and are open."""
    rows = await db.fetch(SQL["overdue_stops"], before, limit)
    return [(row["stop_id"], row["order_id"]) for row in rows]


async def shown(db: "Connection | Pool", wanted: Wanted) -> list[ShipmentView]:
    """Return shipments as they are shown, by id."""
    rows = await db.fetch(SQL["shown"], *wanted)
    if not rows:
        return []
    ids = [row["shipment_id"] for row in rows]
    tracking: dict[str, list[TrackShown]] = {}
    for row in await db.fetch(SQL["tracking_of"], ids):
        told = TrackShown(row["milestone"], _moment(row["at"]), row["place"], row["source"])
        tracking.setdefault(row["parcel_id"], []).append(told)
    parcels: dict[str, list[ParcelShown]] = {one: [] for one in ids}
    for row in await db.fetch(SQL["parcels_of"], ids):
        parcels[row["shipment_id"]].append(_parcel_shown(row, tracking.get(row["parcel_id"], [])))
    stops: dict[str, list[StopShown]] = {one: [] for one in ids}
    for row in await db.fetch(SQL["stops_of"], ids):
        shown_ = StopShown(
            row["stop_id"], row["cause"], _moment(row["asked_at"]), row["answer"],
            _or_none(row["at"]),
        )  # fmt: skip
        stops[row["shipment_id"]].append(shown_)
    return [_view(row, parcels[row["shipment_id"]], stops[row["shipment_id"]]) for row in rows]


async def stops_shown(db: "Connection | Pool", order_id: str) -> list[OrderStop]:
    """Return the stops of an order, the earliest first."""
    return [
        OrderStop(
            row["stop_id"], row["cause"], _moment(row["asked_at"]), row["answer"],
            _or_none(row["answered_at"]), list(row["shipments"]),
        )
        for row in await db.fetch(SQL["stops_of_order"], order_id)
    ]  # fmt: skip


async def ended(tx: Connection) -> tuple[str, str] | None:
    """Return (tenant, order) of a cancelled order with shipments that nobody asked to stop."""
    row = await tx.fetchrow(SQL["ended"])
    return None if row is None else (row["tenant"], row["order_id"])


async def shipped_twice(db: "Connection | Pool") -> int:
    """Return how many shipments left with units that another one had sent, too."""
    return int(await db.fetchval(SQL["shipped_twice"]))


async def was_stopped(tx: Connection, shipment_id: str) -> bool:
    """Whether `stopped` was ever said of a shipment."""
    return bool(await tx.fetchval(SQL["stopped_here"], shipment_id))


async def add_parcels(
    tx: Connection, one: Shipment, boxes: Sequence[Package], at: datetime
) -> list[str]:
    """Write the boxes that are new, and return their ids."""
    if not boxes:
        return []
    rows = await tx.fetch(
        SQL["add_parcels"], one.shipment_id, one.tenant, one.order_id, at,
        [box.carrier for box in boxes], [box.waybill for box in boxes],
        [_json(box.items) for box in boxes], [box.grams for box in boxes],
        [None if box.mm is None else _json(box.mm) for box in boxes],
        [_json(box.serials) for box in boxes],
    )  # fmt: skip
    return [row["parcel_id"] for row in rows]


async def mergeable(
    db: "Connection | Pool", limit: int, ids: Collection[str] | None = None
) -> list[asyncpg.Record]:
    """Return planned shipments that wait for others and stand alone; of these, or of all."""
    return await db.fetch(SQL["mergeable"], limit, None if ids is None else sorted(ids))


async def merge(tx: Connection, code: str, ids: Collection[str], release_at: datetime) -> None:
    """Make locked shipments one consignment."""
    await tx.execute(SQL["merge"], code, sorted(ids), release_at)


async def settle_short(tx: Connection, ids: Collection[str]) -> set[str]:
    """Note that what lacks in locked shipments will not leave; return of which it was new."""
    return {row["shipment_id"] for row in await tx.fetch(SQL["settle_short"], sorted(ids))}


async def withdraw(tx: Connection, ids: Collection[str], at: datetime) -> None:
    """Cancel planned shipments that no node was asked for; they leave their consignments."""
    await tx.execute(SQL["withdraw"], sorted(ids), at)


async def asked_to_stop(tx: Connection, ids: Collection[str]) -> set[str]:
    """Return those of locked shipments that somebody asked to stop."""
    return {row["shipment_id"] for row in await tx.fetch(SQL["asked_to_stop"], sorted(ids))}


async def was_to_leave(tx: Connection, ids: Collection[str]) -> set[str]:
    """Return those of locked shipments of which a stop said that they leave, and none the other."""
    return {row["shipment_id"] for row in await tx.fetch(SQL["was_to_leave"], sorted(ids))}


async def addresses(db: "Connection | Pool", order_id: str) -> list[Address]:
    """Return the changes of an order's address, the newest first."""
    return [_address(row) for row in await db.fetch(SQL["addresses"], order_id)]


async def note_told_addresses(
    tx: Connection, told: Sequence[ToldAddress]
) -> list[tuple[str, Address]]:
    """Write addresses down that marketplaces told, where shipments are under way; return these."""
    columns = [list(column) for column in zip(*told, strict=True)]
    rows = await tx.fetch(SQL["note_told_addresses"], *columns)
    return [(row["order_id"], _address(row)) for row in rows]


async def addresses_to_ask(db: "Connection | Pool", limit: int) -> list[str]:
    """Return orders of which an address was told, and nobody asked that anything be stopped."""
    return [row["order_id"] for row in await db.fetch(SQL["addresses_to_ask"], limit)]


async def take_unasked(tx: Connection, order_id: str) -> list[Address]:
    """Return those of a locked order, the oldest first; from now on they are asked of."""
    found = [_address(row) for row in await tx.fetch(SQL["take_unasked"], order_id)]
    return sorted(found, key=lambda one: one.revision)


async def add_address(tx: Connection, order_id: str, one: Address, actor: str, at: datetime) -> int:
    """Write a change of a locked order's address, and return its revision."""
    revision: int = await tx.fetchval(
        SQL["add_address"], order_id, _json(one.ship_to), one.region, one.change_id, one.state,
        actor, at,
    )  # fmt: skip
    return revision


async def settle_address(
    tx: Connection, order_id: str, change_id: str, state: AddressState
) -> bool:
    """Say what became of a requested change; False when that was said before."""
    return bool(await tx.fetchval(SQL["settle_address"], order_id, change_id, state))


async def shipped_after_stop(db: "Connection | Pool") -> int:
    """Return how many shipments left, wholly or in part, although `stopped` was said of them."""
    number: int = await db.fetchval(SQL["shipped_after_stop"])
    return number


async def write_events(tx: Connection, events: Sequence[Event], at: datetime) -> None:
    """Append to timelines and outbox."""
    if events:
        await tx.copy_records_to_table(
            "events",
            columns=_EVENT,
            records=[
                (at, one.kind, one.order_id, "", one.actor, _json(one.data)) for one in events
            ],
        )


def _view(row: asyncpg.Record, parcels: list[ParcelShown], stops: list[StopShown]) -> ShipmentView:
    lines = [Line(*one) for one in codec.decode_json(row["lines"])]
    quote = None if row["quote"] is None else codec.Money(row["quote"], row["currency"])
    return ShipmentView(
        row["shipment_id"], row["order_id"], row["consignment_id"], row["node"], row["attempt"],
        row["mode"], row["state"], _moment(row["state_at"]), row["reason"], row["service"], quote,
        row["card"], row["card_version"],
        _or_none(row["promised_ship_by"]), _or_none(row["promised_deliver_by"]), row["wms_ref"],
        codec.decode_json(row["told_at"]),
        [LineShown(line_id(row["order_id"], one.line_no), one.sku, one.units) for one in lines],
        parcels, stops,
    )  # fmt: skip


def _parcel_shown(row: asyncpg.Record, tracking: list[TrackShown]) -> ParcelShown:
    order_id = row["shipment_id"].rpartition("-s")[0]
    items = [ItemShown(line_id(order_id, n), units) for n, units in codec.decode_json(row["items"])]
    return ParcelShown(
        row["parcel_id"], row["carrier"], row["waybill"], items, row["grams"],
        codec.decode_json(row["mm"] or "null"), codec.decode_json(row["serials"]),
        _moment(row["shipped_at"]), row["milestone"], _or_none(row["milestone_at"]), tracking,
    )  # fmt: skip


def _moment(at: datetime) -> str:
    return rfc3339(to_ms(at))


def _or_none(at: datetime | None) -> str | None:
    return None if at is None else _moment(at)


def _json(value: object) -> str:
    """Return JSON of what we made ourselves; named tuples are arrays."""
    return _encode(value).decode()


def _address(row: asyncpg.Record) -> Address:
    return Address(
        row["revision"], row["change_id"], row["state"], row["region_code"],
        codec.decode_json(row["ship_to"]), row["former_region"],
    )  # fmt: skip


def _order(row: asyncpg.Record) -> Order:
    wanted: dict[int, int] = {}
    for line_no, _, units in codec.decode_json(row["draws"]):
        wanted[line_no] = wanted.get(line_no, 0) + units
    return Order(row["order_id"], row["tenant"], row["state"], row["fulfilment_state"], wanted)


def _shipment(row: asyncpg.Record) -> Shipment:
    values = dict(row)
    values["lines"] = tuple(Line(*one) for one in codec.decode_json(row["lines"]))
    values["short"] = tuple((n, units) for n, units in codec.decode_json(row["short"]))
    values["capacity"] = tuple(Slot(*one) for one in codec.decode_json(row["capacity"]))
    return Shipment(**values)


def _told(row: asyncpg.Record) -> Told:
    data = codec.decode_json(row["data"])
    boxes = tuple(_package(box) for box in data["packages"])
    return Told(
        row["kind"], row["report_id"], row["at"], data["reply"], boxes, data["text"], data["ref"],
        data.get("reason", ""), tuple((n, units) for n, units in data.get("lacks", ())),
    )  # fmt: skip


def _package(told: Sequence[Any]) -> Package:
    carrier, waybill, items, grams, mm, serials = told
    return Package(
        carrier, waybill, tuple((n, units) for n, units in items), grams,
        None if mm is None else (mm[0], mm[1], mm[2]), tuple(serials),
    )  # fmt: skip


def _stop(row: asyncpg.Record) -> Stop:
    lines = tuple((n, units) for n, units in codec.decode_json(row["lines"]))
    return Stop(
        row["stop_id"], row["order_id"], row["cause"], row["cause_id"], lines, row["actor"],
        tuple(row["shipments"]), row["answer"], codec.decode_json(row["detail"]),
    )  # fmt: skip
