"""What warehouses tell, taken in: all that follows from a message, or nothing, in one transaction.

Only then its sender is answered; whoever gets no answer, or a failure, sends it again.
"""

from datetime import timedelta
from typing import Final, Literal

import structlog

from engine.aftersales.answering import act
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.kernel import limits
from engine.kernel.clock import instant
from engine.kernel.errors import EngineError
from engine.kernel.types import Tenant
from engine.physical.service import counts, movements
from engine.physical.types.stock import CountFields, CountLine, MovementFields, MovementLine
from engine.routing.service import rejecting
from engine.shipments import service as shipments
from engine.wms import store
from engine.wms.rules import reading
from engine.wms.types import Access, Item, Report

Taken = Literal["recorded", "repeated", "ignored"]
KEEP: Final = timedelta(days=30)
PRUNED_PER_CALL_MAX: Final = 1_000
_log: Final = structlog.get_logger()


async def take(runtime: Runtime, tenant: Tenant, access: Access, report: Report) -> Taken:
    """Take in one report of a node; the same again changes nothing."""
    if report.consignment_id:
        return await _of_consignment(runtime, tenant, access, report)
    return await _of_stock(runtime, tenant, access, report)


async def prune(runtime: Runtime) -> None:
    """Forget old messages; a repeat of one is told apart by what it is about."""
    until = instant(runtime.clock.now_ms()) - KEEP
    await store.prune(runtime.pool, until, PRUNED_PER_CALL_MAX)


async def _of_consignment(
    runtime: Runtime, tenant: Tenant, access: Access, report: Report
) -> Taken:
    now_ms, node = runtime.clock.now_ms(), access.node
    async with runtime.pool.acquire() as tx, tx.transaction():
        known = await store.members(tx, tenant, node, report.consignment_id)
        if not known:
            return await _note(tx, tenant, node, report, "ignored", "no such consignment here")
        orders = {one.order_id for one in known}
        await store.lock_orders(tx, orders)
        # what parcels there are, as of now that nobody else can add any
        known = await store.members(tx, tenant, node, report.consignment_id)
        told = reading.told(report, known, instant(now_ms), access.reasons)
        if not told:
            return await _note(tx, tenant, node, report, "ignored", f"{report.kind} {report.step}")
        if not await _first(tx, tenant, node, report):
            return "repeated"
        outcome = await shipments.report(tx, orders, told, instant(now_ms))
        await act(tx, outcome.answered, now_ms)
        await rejecting.take(tx, tenant, outcome, instant(now_ms))
        for shipment_id in outcome.after_stop:
            _log.error("shipped_after_stop", shipment_id=shipment_id, node=node)
        for shipment_id in outcome.again:
            _log.error("taken_over_after_cancel", shipment_id=shipment_id, node=node)
        return outcome.outcome


async def _of_stock(runtime: Runtime, tenant: Tenant, access: Access, report: Report) -> Taken:
    """Book changes of stock, a movement each, and counts, each once by its reference.

    Of what cannot be booked the others are, and it is noted.
    """
    faults = []
    for n, item in enumerate(report.lines, start=1):
        try:
            if report.kind == "STOCK_COUNT":
                await counts.record(runtime, tenant, _count(access, report, n, item), access.node)
            else:
                await _move(runtime, tenant, access, report, item)
        except EngineError as refused:
            if refused.retryable:
                raise
            faults.append(f"{item.sku}: {refused.code}")
    async with runtime.pool.acquire() as tx, tx.transaction():
        if not await _first(tx, tenant, access.node, report):
            return "repeated"
        if faults:
            _log.warning("stock_not_booked", node=access.node, faults=faults[:10])
            name = _name(report)
            await store.note(tx, tenant, access.node, name, "ignored", "; ".join(faults))
    return "recorded"


async def _move(
    runtime: Runtime, tenant: Tenant, access: Access, report: Report, item: Item
) -> None:
    """Book a change; what left for a consignment of ours is booked by its confirm alone."""
    ours = item.cause and await store.is_consignment(runtime.pool, tenant, access.node, item.cause)
    if item.units and not ours:
        await movements.record(runtime, tenant, _movement(access, report, item), access.node)


def _count(access: Access, report: Report, n: int, item: Item) -> CountFields:
    """Return what was counted of one key: all of it that lies there, promised or not."""
    line = CountLine(item.sku, item.units, condition=item.condition, batch=item.batch)
    name = f"{report.report_id[: limits.IDENTIFIER_LENGTH_MAX - 6]}:{n}"
    return CountFields(
        name, access.node, "on_hand", item.at or report.at, [line], owner=_owner(access, item)
    )


def _movement(access: Access, report: Report, item: Item) -> MovementFields:
    line = MovementLine(
        access.node, item.sku, item.units, owner=_owner(access, item), condition=item.condition,
        batch=item.batch,
    )  # fmt: skip
    return MovementFields(
        item.reference[: limits.IDENTIFIER_LENGTH_MAX], "adjustment", [line],
        happened_at=item.at or report.at, reason=report.text[:256],
    )  # fmt: skip


def _owner(access: Access, item: Item) -> str | None:
    """Return whose the units are; None: the SKU's own, where we are all that the node knows."""
    return None if item.owner in {"", access.owner} else item.owner


async def _note(
    tx: Connection, tenant: Tenant, node: str, report: Report, outcome: Taken, detail: str
) -> Taken:
    if await _first(tx, tenant, node, report):
        await store.note(tx, tenant, node, _name(report), outcome, detail)
        _log.warning("callback_ignored", node=node, kind=report.kind, detail=detail)
    return outcome


async def _first(tx: Connection, tenant: Tenant, node: str, report: Report) -> bool:
    name, kind = _name(report), report.kind
    return await store.take(tx, tenant, node, name, report.consignment_id, kind)


def _name(report: Report) -> str:
    """Return what a message is told apart by: some count their ids by kind, or by consignment."""
    step = f"{report.kind}{report.step and '.'}{report.step}"
    return f"{step}:{report.consignment_id}:{report.report_id}"
