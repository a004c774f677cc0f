"""Parcels, what was told of them, their clocks and scores."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

import asyncpg

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.logistics.types import Leg, Parcel, Score, Seen, TrackedIn

SQL: Final = queries.load("engine.logistics")

_EVENT: Final = ("at", "kind", "order_id", "log_id", "actor", "data")


class Event(NamedTuple):
    """What happened on an order's way, for its timeline and the outbox."""

    kind: str
    order_id: str
    actor: str
    data: Mapping[str, object]


class Due(NamedTuple):
    """A clock that came near its end, or ran out."""

    name: str
    leg: str
    order_id: str
    service: str
    due_at: datetime


class Sent(NamedTuple):
    """A shipment as its node's clock sees it; `left_at` None while nothing left."""

    shipment_id: str
    order_id: str
    service: str
    state: str
    created_at: datetime
    ship_by: datetime | None
    left_at: datetime | None


async def shipments(tx: Connection, order_ids: Collection[str]) -> list[Sent]:
    """Return the shipments of locked orders, by id."""
    return [
        Sent(
            row["shipment_id"], row["order_id"], row["service"], row["state"], row["created_at"],
            row["promised_ship_by"], row["shipped_at"],
        )
        for row in await tx.fetch(SQL["shipments_of"], sorted(order_ids))
    ]  # fmt: skip


async def parcels(tx: Connection, order_ids: Collection[str]) -> list[Parcel]:
    """Return the parcels of locked orders, by id."""
    return [Parcel(**row) for row in await tx.fetch(SQL["parcels_of"], sorted(order_ids))]


async def orders_of(db: "Connection | Pool", tenant: str, told: Iterable[TrackedIn]) -> list[str]:
    """Return the orders whose parcels have these numbers, by id."""
    wanted = sorted({(one.carrier, one.waybill) for one in told})
    rows = await db.fetch(
        SQL["orders_of_waybills"], tenant, [one for one, _ in wanted], [one for _, one in wanted]
    )
    return [row["order_id"] for row in rows]


async def add_milestones(
    tx: Connection, tenant: str, told: Sequence[TrackedIn], at: datetime
) -> set[tuple[object, ...]]:
    """Keep milestones; return (waybill, carrier, milestone, at, source) of those that are new."""
    rows = await tx.fetch(
        SQL["add_milestones"], tenant, [one.waybill for one in told],
        [one.carrier for one in told], [one.milestone for one in told],
        [one.at for one in told], [one.source for one in told], [one.place for one in told],
        [one.raw for one in told], at,
    )  # fmt: skip
    return {tuple(row) for row in rows}


async def milestones(
    db: "Connection | Pool", tenant: str, of: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], list[tuple[Seen, datetime]]]:
    """Return what was told, and when it came, by (carrier, waybill) of parcels.

    What was told without a carrier is of every parcel of that number.
    """
    found: dict[tuple[str, str], list[tuple[Seen, datetime]]] = {one: [] for one in of}
    by_number: dict[str, list[tuple[str, str]]] = {}
    for one in found:
        by_number.setdefault(one[1], []).append(one)
    for row in await db.fetch(SQL["milestones_of"], tenant, sorted(by_number)):
        seen = Seen(row["milestone"], row["at"], row["source"], row["place"])
        for carrier, waybill in by_number[row["waybill"]]:
            if row["carrier"] in {"", carrier}:
                found[carrier, waybill].append((seen, row["received_at"]))
    return found


async def not_waiting(tx: Connection, tenant: str, of: Collection[tuple[str, str]]) -> None:
    """Note that what was told of these (carrier, waybill) has its parcels."""
    wanted = sorted(of)
    await tx.execute(
        SQL["not_waiting"], tenant, [one for one, _ in wanted], [one for _, one in wanted]
    )


async def any_shipped(db: "Connection | Pool") -> bool:
    """Tell whether a node was ever asked to send anything."""
    return bool(await db.fetchval(SQL["any_shipped"]))


async def waited_for(db: "Connection | Pool", limit: int) -> list[str]:
    """Return orders whose parcels came after what was told of them."""
    rows = await db.fetch(SQL["orders_that_were_waited_for"], limit)
    return sorted(row["order_id"] for row in rows)


async def forget_waiting(db: "Connection | Pool", before: datetime, limit: int) -> None:
    """Forget what was told of numbers that were never ours."""
    await db.execute(SQL["forget_waiting"], before, limit)


async def set_milestones(tx: Connection, found: Mapping[str, tuple[str, datetime]]) -> None:
    """Write where parcels of locked orders are, and since when."""
    if found:
        await tx.execute(
            SQL["set_milestones"], list(found), [one for one, _ in found.values()],
            [at for _, at in found.values()],
        )  # fmt: skip


async def lock_legs(tx: Connection, names: Collection[str]) -> dict[str, list[Leg]]:
    """Lock the clocks of locked orders, and return them as `legs`."""
    return _legs(names, await tx.fetch(SQL["lock_legs"], sorted(names)))


async def legs(db: "Connection | Pool", names: Collection[str]) -> dict[str, list[Leg]]:
    """Return clocks by parcel or shipment; of each an entry."""
    return _legs(names, await db.fetch(SQL["legs_of"], sorted(names)))


async def put_legs(tx: Connection, rows: Sequence[tuple[str, str, str, Leg]]) -> None:
    """Write clocks of locked orders: (name, order, service, leg)."""
    if rows:
        await tx.execute(
            SQL["put_legs"], [name for name, *_ in rows], [leg.leg for *_, leg in rows],
            [order_id for _, order_id, *_ in rows], [service for _, _, service, _ in rows],
            [leg.near_at for *_, leg in rows], [leg.due_at for *_, leg in rows],
            [leg.met_at for *_, leg in rows], [leg.state for *_, leg in rows],
        )  # fmt: skip


async def breach(tx: Connection, now: datetime, limit: int) -> list[Due]:
    """Mark clocks that ran out, and return them."""
    return [Due(**row) for row in await tx.fetch(SQL["breach"], now, limit)]


async def come_near(tx: Connection, now: datetime, limit: int) -> list[Due]:
    """Mark clocks that came near their end, and return them."""
    return [Due(**row) for row in await tx.fetch(SQL["come_near"], now, limit)]


async def scores(tx: Connection, parcel_ids: Collection[str]) -> dict[str, Score]:
    """Return what was counted of parcels of locked orders."""
    rows = await tx.fetch(SQL["scores_of"], sorted(parcel_ids))
    return {row["parcel_id"]: Score(*codec.decode_json(row["score"])) for row in rows}


async def set_scores(tx: Connection, found: Mapping[str, Score]) -> None:
    """Write what is counted of parcels of locked orders."""
    if found:
        packed = [codec.encode(list(one)).decode() for one in found.values()]
        await tx.execute(SQL["set_scores"], list(found), packed)


async def add_to_cards(
    tx: Connection, tenant: str, cards: Mapping[tuple[str, date, str], Score]
) -> None:
    """Add to cards, by (service, day, province)."""
    if cards:
        columns = zip(*((*card, *score) for card, score in cards.items()), strict=True)
        await tx.execute(SQL["add_to_cards"], tenant, *map(list, columns))


async def cards(db: "Connection | Pool", *wanted: Any) -> list[asyncpg.Record]:
    """Return cards as the statement has them."""
    return await db.fetch(SQL["cards"], *wanted)


async def parcels_shown(
    db: "Connection | Pool", tenant: str, channel: str, waybill: str
) -> list[asyncpg.Record]:
    """Return parcels of a number; of all channels where none is named."""
    return await db.fetch(SQL["parcels_shown"], tenant, channel, waybill)


async def write_events(tx: Connection, events: Sequence[Event], at: datetime) -> None:
    """Append to timelines and outbox."""
    if events:
        await tx.copy_records_to_table(
            "events",
            columns=_EVENT,
            records=[
                (at, one.kind, one.order_id, "", one.actor, codec.encode(dict(one.data)).decode())
                for one in events
            ],
        )


def moment(at: datetime | None) -> str | None:
    """Return an instant as answers have it."""
    return None if at is None else rfc3339(to_ms(at))


def _legs(names: Iterable[str], rows: Iterable[asyncpg.Record]) -> dict[str, list[Leg]]:
    found: dict[str, list[Leg]] = {one: [] for one in names}
    for row in rows:
        leg = Leg(row["leg"], row["near_at"], row["due_at"], row["met_at"], row["state"])
        found[row["name"]].append(leg)
    return found
