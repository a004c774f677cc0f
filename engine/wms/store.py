"""Secrets of nodes, what they told, and what they have to be told, in Postgres."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.types import Tenant
from engine.shipments.types.shipments import Line
from engine.wms.types import Asked, Content, Due, Facts, Intercept, Member, Sold

SQL: Final = queries.load("engine.wms")


async def put_secret(
    tx: "Connection | Pool", tenant: Tenant, node: str, secret: str, *, keep: bool, actor: str
) -> None:
    """Write the secret of a node; with `keep` the one before is still accepted."""
    await tx.execute(SQL["put_secret"], tenant, node, secret, keep, actor)


async def secrets(db: "Connection | Pool", tenant: Tenant, node: str) -> tuple[str, ...]:
    """Return the secrets in force, the one to sign with first; none where nobody set one."""
    row = await db.fetchrow(SQL["secrets"], tenant, node)
    return () if row is None else tuple(one for one in (row["secret"], row["former"]) if one)


async def take(
    tx: Connection, tenant: Tenant, node: str, report_id: str, consignment_id: str, kind: str
) -> bool:
    """Note a message; False when it came before."""
    taken = await tx.fetchval(
        SQL["take_callback"], tenant, node, report_id, consignment_id, kind, "recorded"
    )
    return taken is not None


async def note(
    tx: Connection, tenant: Tenant, node: str, report_id: str, outcome: str, detail: str = ""
) -> None:
    """Say what became of a message."""
    await tx.execute(SQL["note_callback"], tenant, node, report_id, outcome, detail[:500])


async def prune(db: "Connection | Pool", until: datetime, limit: int) -> None:
    """Forget messages that came before an instant."""
    await db.execute(SQL["prune_callbacks"], until, limit)


async def members(
    tx: "Connection | Pool", tenant: Tenant, node: str, consignment_id: str
) -> list[Member]:
    """Return the shipments of a consignment of a node; none when it is not one of its own."""
    rows = await tx.fetch(SQL["members"], tenant, node, consignment_id)
    return [
        Member(
            row["shipment_id"],
            row["order_id"],
            tuple(Line(*line) for line in codec.decode_json(row["lines"])),
            {
                (carrier, waybill): tuple((n, units) for n, units in items)
                for carrier, waybill, items in codec.decode_json(row["parcels"])
            },
        )
        for row in rows
    ]


async def consignment_of(
    db: "Connection | Pool", tenant: Tenant, channel: str, shipment_id: str
) -> tuple[str, str, str] | None:
    """Return a shipment's consignment, node and state; None: there is none in this channel."""
    row = await db.fetchrow(SQL["consignment_of"], tenant, channel, shipment_id)
    return None if row is None else (row["consignment_id"], row["node"], row["state"])


async def is_consignment(db: "Connection | Pool", tenant: Tenant, node: str, name: str) -> bool:
    """Whether a node was asked for a consignment of this name."""
    return bool(await db.fetchval(SQL["is_consignment"], tenant, node, name))


async def lock_orders(tx: Connection, order_ids: Collection[str]) -> None:
    """Lock orders, in the order of their ids."""
    await tx.execute(SQL["lock_for_report"], sorted(order_ids))


async def facts(db: "Connection | Pool", order_ids: Collection[str]) -> dict[str, Facts]:
    """Return what orders say of where they are to go, and of what is in them."""
    found = {}
    for row in await db.fetch(SQL["order_facts"], sorted(order_ids)):
        document = codec.decode_json(row["document"])
        # empty: a marketplace told it, and its document has it
        changed = codec.decode_json(row["ship_to"]) if row["ship_to"] else {}
        lines = codec.decode_json(row["lines"] or "[]")
        found[row["order_id"]] = Facts(
            row["order_id"], row["channel"], row["channel_order_id"], row["kind"], row["payable"],
            row["paid"], row["placed_at"], row["accepted_at"], row["payment_state"],
            row["payment_id"] or "", row["paid_at"],
            {n: (payable, units) for n, payable, units in lines},
            changed or document.get("ship_to") or {}, document,
        )  # fmt: skip
    return found


async def due(tx: "Connection | Pool", order_id: str) -> Due:
    """Return what is due for an order, and what of it nodes were asked to collect.

    It is locked by whoever is to write of it.
    """
    row = await tx.fetchrow(SQL["due"], order_id)
    assert row is not None, "it is locked"
    return Due(
        row["due"],
        tuple((line_no, units) for line_no, _, units in codec.decode_json(row["draws"])),
        {n: Sold(payable, of) for n, payable, of in codec.decode_json(row["sold"])},
        {
            name: Asked(tuple((line[0], line[2]) for line in lines), asked)
            for name, lines, asked in codec.decode_json(row["live"])
        },
    )


async def contents(db: "Connection | Pool", consignment_id: str) -> list[Content]:
    """Return what is in a consignment, by shipment, whatever became of it."""
    return [
        Content(
            row["shipment_id"], row["order_id"], row["node"], row["mode"],
            tuple((line[0], line[2]) for line in codec.decode_json(row["lines"])),
            row["quoted_grams"], row["due"],
        )
        for row in await db.fetch(SQL["contents"], consignment_id)
    ]  # fmt: skip


async def ask_due(tx: Connection, shipment_id: str, due: int) -> None:
    """Write what a node will be asked to collect; it is never written twice."""
    await tx.execute(SQL["ask_due"], shipment_id, due)


async def to_intercept(db: "Connection | Pool", shipment_id: str) -> Intercept:
    """Return a shipment's service and the numbers that its parcels have, or are to have."""
    row = await db.fetchrow(SQL["to_intercept"], shipment_id)
    assert row is not None, "it was there when its stop was answered"
    return Intercept(row["order_id"], row["service"], tuple(row["waybills"]))
