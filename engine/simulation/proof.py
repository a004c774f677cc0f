"""What buyers were told against what is recorded: every 2xx is in Postgres exactly once."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import asyncpg

from engine.infra import queries
from engine.infra.postgres import Pool
from engine.kernel.clock import Clock
from engine.simulation.fulfilment import Fulfilled
from engine.simulation.marketplace.recorded import Markets
from engine.simulation.seen import Seen, SeenOrder
from engine.simulation.shop import CHANNEL
from engine.simulation.types import Demand

SQL: Final = queries.load("engine.simulation")

Row: TypeAlias = asyncpg.Record | Mapping[str, Any]

_POLL_S: Final = 0.1
_IN_HAND: Final = {"held", "committed"}  # stock states in which an order has its units


@dataclass(slots=True)
class Recorded:
    """What Postgres has of one sale; `faults` are differences from what its buyers were told.

    All but `markets` and `fulfilled` is of the own mall; the latter is a reason where nothing was.
    """

    orders: int = 0
    payments: int = 0
    cancels: int = 0
    expired: int = 0
    cancelled: int = 0
    paid: int = 0
    refund_due: int = 0
    units_in_hand: Counter[str] = field(default_factory=Counter)
    markets: Markets = field(default_factory=Markets)
    fulfilled: Fulfilled | str = ""
    faults: list[str] = field(default_factory=list)


async def settle(pool: Pool, campaign: str, clock: Clock, within_s: float) -> int:
    """Wait until nothing of a sale moves by itself any more; return how much still does."""
    until = clock.monotonic() + within_s
    while True:
        moving = int(await pool.fetchval(SQL["unsettled"], campaign, CHANNEL))
        if not moving or clock.monotonic() > until:
            return moving
        await asyncio.sleep(_POLL_S)


class Rows(NamedTuple):
    """What Postgres has of one sale: orders by order_no, lines by order_id."""

    orders: Mapping[str, Row]
    lines: Mapping[str, Sequence[Row]]
    payments: Mapping[tuple[str, str], str]
    cancels: AbstractSet[tuple[str, str]]


async def rows_of(pool: Pool, campaign: str, mark: str) -> Rows:
    """Read a settled sale."""
    lines: dict[str, list[Row]] = {}
    for row in await pool.fetch(SQL["sale_lines"], campaign, CHANNEL):
        lines.setdefault(row["order_id"], []).append(row)
    return Rows(
        orders={
            row["channel_order_id"].removeprefix(f"{mark}-"): row
            for row in await pool.fetch(SQL["sale_orders"], campaign, CHANNEL)
        },
        lines=lines,
        payments={
            (row["order_id"], row["payment_id"]): row["state"]
            for row in await pool.fetch(SQL["sale_payments"], campaign, CHANNEL)
        },
        cancels={
            (row["order_id"], row["cancel_id"])
            for row in await pool.fetch(SQL["sale_cancels"], campaign, CHANNEL)
        },
    )


def compare(rows: Rows, seen: Seen, demand: Demand) -> Recorded:
    """Compare what is recorded with what buyers were told and with the shelf."""
    found = _count(rows)
    found.faults += _order_faults(seen, rows)
    found.faults += _payment_faults(seen, rows.payments)
    found.faults += [f"cancel {key} is not recorded" for key in seen.cancels - rows.cancels]
    found.faults += [
        f"{units} units of {sku} are sold, {demand.stock.get(sku, 0)} were on the shelf"
        for sku, units in found.units_in_hand.items()
        if units > demand.stock.get(sku, 0)
    ]
    return found


def _count(rows: Rows) -> Recorded:
    found = Recorded(
        orders=len(rows.orders), payments=len(rows.payments), cancels=len(rows.cancels)
    )
    refunds = {order_id for (order_id, _), state in rows.payments.items() if state == "refund_due"}
    for row in rows.orders.values():
        found.cancelled += row["state"] == "cancelled"
        found.expired += row["state"] == "closed" and row["stock_state"] == "released"
        found.paid += row["payment_state"] == "paid"
        found.refund_due += row["payment_state"] == "refund_due" or row["order_id"] in refunds
        if row["stock_state"] in _IN_HAND:
            for line in rows.lines.get(row["order_id"], []):
                found.units_in_hand[line["sku"]] += line["open_quantity"]
    return found


def _order_faults(seen: Seen, rows: Rows) -> Iterator[str]:
    for order_no, told in seen.orders.items():
        row = rows.orders.get(order_no)
        if row is None:
            yield f"order {order_no} was accepted and is not recorded"
        elif row["order_id"] != told.order_id:
            yield f"order {order_no} was told {told.order_id} and is recorded as {row['order_id']}"
        elif not _same_lines(told, rows.lines.get(told.order_id, [])):
            yield f"order {order_no} is recorded with other lines than it was told"
    for order_no in rows.orders.keys() - seen.orders.keys() - seen.unknown:
        yield f"order {order_no} is recorded, and its buyer was refused"


def _same_lines(told: SeenOrder, rows: Sequence[Row]) -> bool:
    """Compare lines; one that was told as dropped has no open unit."""
    return len(rows) == len(told.lines) and all(
        row["sku"] == sku and (row["quantity"] == units if units else row["open_quantity"] == 0)
        for row, (_, sku, units) in zip(rows, told.lines, strict=True)
    )


def _payment_faults(seen: Seen, payments: Mapping[tuple[str, str], str]) -> Iterator[str]:
    for key, told in seen.payments.items():
        state = payments.get(key)
        if state is None:
            yield f"payment {key} was answered {told} and is not recorded"
        elif state == "received":
            yield f"payment {key} was received and never booked"
        elif told not in {state, "received"}:
            yield f"payment {key} was answered {told} and is recorded as {state}"
