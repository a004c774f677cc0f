"""What a marketplace's snapshot makes of an order, and who is repaid what is owed; pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from engine.kernel import codec
from engine.kernel.events import LogEvent, Synced
from engine.kernel.ids import line_id
from engine.orders.types import (
    CANCELLED,
    CLOSED,
    NOTHING,
    OPEN,
    BlockRow,
    Changes,
    EventRow,
    NewLine,
    NewOrder,
    Owed,
    PaymentRow,
    Repaid,
    Told,
    Unmapped,
    packed,
)
from engine.reservation import bundles
from engine.reservation.bundles import Part
from engine.shipments.rules.addresses import has_moved, region_of
from engine.shipments.types.stops import ToldAddress
from engine.snapshots.rules import PROGRESS
from engine.snapshots.types import FactLine, Facts, decode_facts

UNREADABLE: Final = "unreadable: "  # begins the attention of a row whose snapshot was refused

_REASONS: Final[Mapping[str, str]] = {
    "unmapped": "its listing is mapped to no SKU",
    "doubled": "its listing is mapped to several SKUs",
    "unknown_sku": "nothing of this SKU is sold through this channel",
}


def fold(changes: Changes, log_id: str, event: Synced, payload: bytes) -> None:
    """Make an order's row what its newest snapshot says.

    Raises:
        msgspec.MsgspecError: the payload is not what this version writes.
    """
    order_id, facts = event.subject, decode_facts(payload)
    if event.created and order_id in changes.orders:
        changes.twice.append((log_id, order_id, event.at))
        return
    row = _row(log_id, event, facts)
    first = changes.orders.get(order_id)
    if first is not None:
        row.accepted_at, row.log_id, row.actor = first.accepted_at, first.log_id, first.actor
        row.trace = first.trace
    if event.created or first is not None:
        changes.orders[order_id] = row
    else:
        changes.snapshots[order_id] = row
        changes.patches.pop(order_id, None)  # this says all of it
    into = changes.lines if order_id in changes.orders else changes.snapshot_lines
    by_number = dict(zip(event.numbers, facts.lines, strict=True))
    _lines(changes, event, by_number, into)
    paid = [PaymentRow(order_id, one, "applied", "", log_id, event.at) for one in facts.payments]
    changes.told[order_id] = Told(paid, _marks(changes, event, facts, by_number))
    data = {
        "version": facts.version, "source_status": facts.source_status, "state": row.state,
        "payment_state": row.payment_state, "total": facts.total, "currency": facts.currency,
        "short": sum(units for _, units, _ in event.owed),
    }  # fmt: skip
    kind = "order.synced" if event.created else "order.changed"
    changes.events.append(
        EventRow(event.at, kind, order_id, log_id, facts.actor, data, of_new=bool(event.created))
    )


def _lines(
    changes: Changes,
    event: Synced,
    by_number: dict[int, FactLine],
    into: dict[tuple[str, int], NewLine],
) -> None:
    """Put the lines there; what is told of a bundle's line is told of its components, too."""
    parts = {part.line_no: part for part in bundles.parts_of(event.lines)}
    for one in parts.values():
        if one.of in by_number:
            by_number[one.line_no] = by_number[one.of]._replace(said=one.sku)
    for n in range(1, len(event.lines) + 1):
        fact, part = by_number.get(n), parts.get(n)
        line = _line(event, n, fact) if part is None else _component(event, part, fact)
        before = into.get((event.subject, n))
        if fact is None and before is not None:
            line.quantity = before.quantity
        into[event.subject, n] = line
    if parts:
        for n, columns in enumerate(bundles.columns(event.lines), start=1):
            changes.parts[event.subject, n] = columns


def finish(changes: Changes) -> None:
    """Take over what the newest snapshots of a stretch say; older ones say nothing any more."""
    for told in changes.told.values():
        changes.payments += told.payments
        changes.blocks += told.blocks


def follow_owed(changes: Changes, log_id: str, event: LogEvent) -> None:
    """Note what an event owes newly, and what it repays, in the order of the log."""
    repaid = [move for move in event.moves if move.owed < 0]
    for move in repaid:
        row = Repaid(move.pool_id, -move.owed, event.subject, log_id, event.at)
        changes.debts.append(row)
    if isinstance(event, Synced):
        for pool_id, units, line_no in event.owed:
            changes.debts.append(Owed(event.subject, pool_id, line_no, units))


def unreadable_order(log_id: str, event: Synced, payload: bytes, reason: str) -> NewOrder:
    """Return a row a person can find for a snapshot that was refused; the dead letter has all.

    Its next snapshot makes it an order like any other.
    """
    try:
        facts = decode_facts(payload)
    except msgspec.MsgspecError:
        status = {"P": "unpaid", "C": "paid"}.get(event.state, "closed")
        facts = Facts(
            "main", "", f"unreadable:{event.subject}", "", "", "sale", "", 0, "engine", event.at,
            "", "0", PROGRESS[status], status, "paid" if event.state == "C" else "unpaid",
            "unrouted", [], [], b"",
        )  # fmt: skip
    row = _row(log_id, event, facts)
    row.document, row.attention = "{}", UNREADABLE + reason
    return row


def readdressed(row: NewOrder, before: str | None) -> ToldAddress | None:
    """Return that a snapshot tells another address than the JSON `before`, None if it does not.

    Of an order that is over, or was delivered, nothing is to be stopped any more.
    """
    if row.state != OPEN or row.source_status == "delivered":
        return None
    former = codec.decode_json(before) if before else {}
    now = codec.decode_json(row.document).get("ship_to")
    former, now = former or {}, now or {}
    if not has_moved(former, now):
        return None
    return ToldAddress(
        row.order_id, region_of(now), region_of(former), f"told:{row.version}", row.actor,
        row.accepted_at,
    )  # fmt: skip


def _row(log_id: str, event: Synced, facts: Facts) -> NewOrder:
    return NewOrder(
        order_id=event.subject, tenant=facts.tenant, channel=facts.channel,
        channel_order_id=facts.channel_order_id, campaign=facts.campaign, buyer_id=facts.buyer,
        kind=facts.kind, state=_state(event, facts), payment_state=facts.payment_state,
        stock_state=_stock_state(event), currency=facts.currency, payable=facts.total,
        pay_by=event.pay_by or None, held_until=event.held_until or None, attempt=1,
        fingerprint=facts.digest, placed_at=facts.placed_at, accepted_at=event.at, log_id=log_id,
        actor=facts.actor, attention="",
        draws=packed(event.draws), counters=packed(event.counted), stages=NOTHING,
        document=facts.document.decode(), fulfilment_state=facts.fulfilment_state,
        version=facts.version, source_status=facts.source_status, trace=facts.trace or None,
    )  # fmt: skip


def _state(event: Synced, facts: Facts) -> str:
    if facts.source_status == "closed":
        return CANCELLED if event.state == "R" else CLOSED
    return CLOSED if event.state == "E" else OPEN


def _stock_state(event: Synced) -> str:
    if event.state in {"R", "E"}:
        return "released"
    if not event.draws:
        return "none"
    return "committed" if event.state == "C" else "held"


def _line(event: Synced, n: int, fact: FactLine | None) -> NewLine:
    """Return a line's row; one that the snapshot does not tell of any more wants nothing."""
    sku, _, _, _ = event.lines[n - 1]
    if fact is None:
        return NewLine(event.subject, n, sku, 0, 0, 0, 0, event.line_keys[n - 1])
    return NewLine(
        event.subject, n, sku or fact.said, fact.quantity, fact.open, fact.payable, 0,
        fact.channel_line_id,
    )  # fmt: skip


def _component(event: Synced, part: Part, fact: FactLine | None) -> NewLine:
    """Return the row of a bundle's component; the money stands in the bundle's line."""
    quantity, wanted = (fact.quantity, fact.open) if fact else (0, 0)
    return NewLine(event.subject, part.line_no, part.sku, quantity * part.per, wanted * part.per, 0)


def _marks(
    changes: Changes, event: Synced, facts: Facts, by_number: Mapping[int, FactLine]
) -> list[BlockRow]:
    """Return blocks of what nobody here knows, which is an alarm, and of what was too cheap."""
    blocks = []
    for n in event.unmapped:
        fact = by_number.get(n)
        why = (fact.why if fact else "") or "unknown_sku"
        where = line_id(event.subject, n)
        blocks.append(
            BlockRow(event.subject, "unmapped_sku", where, _REASONS[why], event.at, "engine")
        )
        if fact is not None:
            alarm = (facts.tenant, facts.channel, fact.item_id, fact.sku_id, fact.said, why)
            changes.unmapped.append(Unmapped(*alarm))
    for n in event.below_floor:
        where = line_id(event.subject, n)
        blocks.append(BlockRow(event.subject, "price", where, "", event.at, "engine"))
    return blocks
