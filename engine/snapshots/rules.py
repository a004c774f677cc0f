"""From a marketplace's snapshot to what the cell judges and Postgres remembers; pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from engine.kernel import codec, ids
from engine.kernel.events import Payment
from engine.kernel.limits import QUANTITY_MAX
from engine.kernel.types import OrderId
from engine.reservation.bundles import Components
from engine.reservation.rules import (
    NO_BUNDLES,
    POSTED_PAYMENT,
    check_identifiers,
    currency_of,
    ms_of,
    payable,
)
from engine.reservation.types import Snapshot, SnapshotClaim, Synced
from engine.snapshots.types import (
    FactLine,
    Facts,
    Short,
    SnapshotIn,
    SnapshotLine,
    SyncResult,
    Understood,
    encode_facts,
)

# SKU and units of each that one unit of a link (item_id, sku_id) stands for.
Resolve = Callable[[str, str], Sequence[tuple[str, int]]]

# How far an order has come; from 3 on nothing more is expected of it (`lua/include/snapshot.lua`).
PROGRESS: Final[Mapping[str, int]] = {
    "unpaid": 0, "paid": 1, "partly_shipped": 2, "shipped": 3, "delivered": 4, "closed": 5,
}  # fmt: skip
_FULFILMENT: Final[Mapping[str, str]] = {
    "partly_shipped": "partly_shipped", "shipped": "shipped", "delivered": "delivered",
}  # fmt: skip
_encode: Final = msgspec.msgpack.Encoder().encode
_CLOSED: Final = PROGRESS["closed"]
# Nothing of these lies on a shelf.
_WITHOUT_STOCK: Final = frozenset({"service", "virtual"})


def snapshot_of(  # noqa: PLR0913 - the snapshot, and who told it
    order: SnapshotIn,
    raw: bytes,
    resolve: Resolve,
    *,
    tenant: str,
    actor: str,
    known: Mapping[str, Components] = NO_BUNDLES,
    trace: str = "",
) -> Understood:
    """Return what the cell is asked; `raw` is the snapshot as it was posted.

    `known` are the bundles as they are now; of one that the cell has seen in this order before, it
    keeps what it was then.

    Raises:
        ValidationFailed: names, money or quantities that do not fit together.
    """
    check_identifiers(order)
    codec.identifier(order.version, "/version")
    currency = currency_of(order)
    sold_for, total = payable(order)
    lines = [
        _line(n, line, money, order, resolve)
        for n, (line, money) in enumerate(zip(order.lines, sold_for, strict=True))
    ]
    _check_names([line for _, _, line in lines])
    left = total - sum(sold_for) + sum(line.payable for _, _, line in lines)
    left = left if any(line.open for _, _, line in lines) else 0
    progress = PROGRESS[order.source_status]
    state = _state(order, [line for _, _, line in lines])
    placed_at = ms_of(order.placed_at, "/placed_at")
    digest = ids.fingerprint(_encode((order, [(sku, units) for sku, units, _ in lines])))
    facts = Facts(
        tenant, order.channel, order.channel_order_id, order.campaign, order.buyer_id, order.kind,
        currency, left, actor, placed_at, digest, order.version, progress, order.source_status,
        _payment_state(order, state), _fulfilment_state(order),
        [line for _, _, line in lines], _payments(order, currency, total, actor), raw, trace,
    )  # fmt: skip
    claim = SnapshotClaim(
        ids.order_id(tenant, order.channel, order.channel_order_id), digest, tenant, order.channel,
        order.campaign, order.buyer_id, currency, left, "", order.payment.method, 0,
        tuple((sku, units, line.payable) for sku, units, line in lines), (), (), placed_at, actor,
        "", order.version, state, progress, tuple(line.channel_line_id for _, _, line in lines),
        (), parts_of(lines, known),
    )  # fmt: skip
    unknown = [(line.item_id, line.sku_id) for _, _, line in lines if line.why == "unmapped"]
    return Understood(Snapshot(claim, encode_facts(facts)), unknown)


def parts_of(
    lines: Sequence[tuple[str, int, object]], known: Mapping[str, Components]
) -> tuple[tuple[int, str, int], ...]:
    """Return (line, component, units in each) of lines that are bundles."""
    if not known:
        return ()
    return tuple(
        (n, one, per)
        for n, (sku, _, _) in enumerate(lines, start=1)
        for one, per in known.get(sku, ())
    )


def result_of(order_id: OrderId, synced: Synced) -> SyncResult:
    """Return the answer to one snapshot."""
    short = [Short(ids.line_id(order_id, line), sku, units) for line, units, sku in synced.short]
    found = (("short", short), ("unmapped_sku", synced.unmapped), ("price", synced.below_floor))
    return SyncResult(
        200, synced.word, order_id, synced.version, short, [code for code, some in found if some]
    )


def _line(
    n: int, line: SnapshotLine, money: int, order: SnapshotIn, resolve: Resolve
) -> tuple[str, int, FactLine]:
    """Return the SKU ("" for unknown), the units it takes of our stock, and all the facts."""
    refunded, shipped, quantity = line.refunded_quantity, line.shipped_quantity, line.quantity
    if refunded + shipped > quantity:
        codec.refuse(f"/lines/{n}", "refunded and shipped units are more than its quantity")
    wanted = shipped if order.source_status == "closed" else quantity - refunded
    sku, per, why = _resolved(n, line, resolve)
    item_id = line.listing.item_id if line.listing else ""
    sku_id = line.listing.sku_id if line.listing else ""
    fact = FactLine(
        line.sku, quantity * per, wanted * per, money * wanted // quantity, line.channel_line_id,
        item_id, sku_id, why,
    )  # fmt: skip
    if quantity * per > QUANTITY_MAX:
        codec.refuse(f"/lines/{n}/quantity", f"is {quantity * per} units: at most {QUANTITY_MAX}")
    ours = line.kind not in _WITHOUT_STOCK and order.fulfilled_by == "merchant"
    return sku, wanted * per if ours else 0, fact


def _resolved(n: int, line: SnapshotLine, resolve: Resolve) -> tuple[str, int, str]:
    """Return SKU, units of it in one unit of the line, and why it is not known."""
    if line.sku:
        codec.identifier(line.sku, f"/lines/{n}/sku")
    elif line.listing is None:
        codec.refuse(f"/lines/{n}/sku", "a line says its sku, or the listing that was bought")
    if line.listing is None:
        return line.sku, 1, ""
    item_id = codec.identifier(line.listing.item_id, f"/lines/{n}/listing/item_id")
    if line.listing.sku_id:
        codec.identifier(line.listing.sku_id, f"/lines/{n}/listing/sku_id")
    found = resolve(item_id, line.listing.sku_id)
    meant = [one for one in found if line.sku in {"", one[0]}]
    if len(meant) == 1:
        return (*meant[0], "")
    if found:
        return "", 1, "doubled"
    return (line.sku, 1, "") if line.sku else ("", 1, "unmapped")


def _check_names(lines: Sequence[FactLine]) -> None:
    seen: set[str] = set()
    for n, line in enumerate(lines):
        if line.channel_line_id in seen:
            codec.refuse(f"/lines/{n}/channel_line_id", "stands twice in this order")
        if line.channel_line_id:
            seen.add(codec.identifier(line.channel_line_id, f"/lines/{n}/channel_line_id"))


def _state(order: SnapshotIn, lines: Sequence[FactLine]) -> str:
    """Return the hold's state: P while it is unpaid, C when it is sold, R when nothing is left."""
    if order.source_status == "closed":
        return "C" if any(line.open for line in lines) else "R"
    if order.source_status != "unpaid" or order.payment.status == "on_delivery":
        return "C"
    if order.payment.status == "paid":
        codec.refuse("/payment/status", "an unpaid order is pending or on_delivery")
    return "P"


def _payment_state(order: SnapshotIn, state: str) -> str:
    if order.payment.status == "on_delivery":
        return "on_delivery"
    if state == "P":
        return "deposit_paid" if order.payments else "unpaid"
    if order.source_status == "closed":
        paid = order.payment.status == "paid" or order.payments
        return "refunded" if paid else "unpaid"
    return "partly_refunded" if any(line.refunded_quantity for line in order.lines) else "paid"


def _fulfilment_state(order: SnapshotIn) -> str:
    if order.source_status == "closed" and any(line.shipped_quantity for line in order.lines):
        return "shipped"
    return _FULFILMENT.get(order.source_status, "unrouted")


def _payments(order: SnapshotIn, currency: str, total: int, actor: str) -> list[Payment]:
    """Return what was paid; a paid order that names no payment was paid in one."""
    found = []
    for n, one in enumerate(order.payments):
        if one.amount.amount < 0:
            codec.refuse(f"/payments/{n}/amount/amount", "must not be negative")
        if one.amount.currency != currency:
            codec.refuse(
                f"/payments/{n}/amount/currency", f"one order has one currency: {currency}"
            )
        payment_id = codec.identifier(one.payment_id, f"/payments/{n}/payment_id")
        paid_at = 0 if one.paid_at is None else ms_of(one.paid_at, f"/payments/{n}/paid_at")
        found.append(
            Payment(payment_id, one.amount.amount, currency, one.method, paid_at, one.stage, actor)
        )
    if len({one.payment_id for one in found}) < len(found):
        codec.refuse("/payments", "a payment_id stands twice")
    paid = order.payment.status == "paid" or (
        0 < PROGRESS[order.source_status] < _CLOSED and order.payment.status != "on_delivery"
    )
    if paid and not found:
        method = order.payment.method
        found.append(Payment(POSTED_PAYMENT, total, currency, method, 0, "full", actor))
    return found
