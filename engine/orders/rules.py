"""How an order's state follows from events; pure, and the only place that says so."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec.structs import astuple

from engine.kernel.events import (
    Confirmed,
    DeadlineMoved,
    DepositPaid,
    Expired,
    Expiring,
    LogEvent,
    Payment,
    RefundDue,
    Reheld,
    Released,
    Reserved,
    Returned,
    Synced,
)
from engine.kernel.ids import line_id
from engine.orders import synced
from engine.orders.types import (
    CANCELLED,
    CLOSED,
    NOTHING,
    OPEN,
    BlockRow,
    CancelRow,
    Changes,
    EventRow,
    Logged,
    NewLine,
    NewOrder,
    Patch,
    PaymentRow,
    Post,
    packed,
)
from engine.reservation import bundles
from engine.reservation.facts import ClaimFacts, facts_of

# Nothing is sold for this money; a second payment, by contrast, leaves the order paid.
_ORDER_IS_NOT_PAID: Final = frozenset({"cancelled", "no_stock", "limit", "too_late"})


def posts(log_id: str, events: Iterable[LogEvent]) -> list[Post]:
    """Return the ledger rows of one log entry."""
    rows: list[Post] = []
    for event in events:
        for move in event.moves:
            kind, accounts = type(event).__name__.lower(), astuple(move)
            rows.append((log_id, len(rows), kind, event.subject, *accounts))
    return rows


def is_new(event: LogEvent) -> bool:
    """Whether the cell counts it among the orders it accepted."""
    return isinstance(event, Reserved) or (isinstance(event, Synced) and event.created == 1)


def fold(events: Iterable[Logged]) -> Changes:
    """Merge events, in the order of the log, into the rows they become.

    Raises:
        msgspec.MsgspecError: a payload is not what ingest packs; folding its event alone names it.
    """
    changes = Changes()
    for logged in events:
        _fold_one(changes, logged)
    synced.finish(changes)
    return changes


def _fold_one(changes: Changes, logged: Logged) -> None:  # noqa: C901, PLR0912, PLR0915 - one case a kind of event
    log_id, event, payload = logged
    for move in event.moves:
        if move.owed:
            synced.follow_owed(changes, log_id, event)
            break
    match event:
        case Reserved():
            _reserved(changes, log_id, event, payload)
        case Synced():
            synced.fold(changes, log_id, event, payload)
        case Confirmed():
            _applied(changes, log_id, event, event.payment)
            _paid(changes, event.subject)
        case DepositPaid():
            _applied(changes, log_id, event, event.payment, "order.deposit_paid")
            _deposit_paid(changes, event)
        case Reheld():
            _reheld(changes, log_id, event)
        case RefundDue():
            _refund_due(changes, log_id, event)
        case Released():
            _released(changes, log_id, event)
        case Expired():
            _patch(
                changes, event.subject, state=CLOSED, stock_state="released", draws=NOTHING,
                counters=NOTHING,
            )  # fmt: skip
            _note(changes, log_id, event, "order.expired", {})
            _deposit_due_back(changes, log_id, event, "expired")
        case Expiring():
            _note(changes, log_id, event, "hold.expiring", {"held_until": event.held_until})
        case DeadlineMoved():
            _deadline_moved(changes, log_id, event)
        case Returned():
            changes.returns.append((event.return_id, log_id))
            _note(changes, log_id, event, "stock.returned", {"return_id": event.return_id})
        case _:
            pass  # of pools, rules and the cell: not an order's


def _reserved(changes: Changes, log_id: str, event: Reserved, payload: bytes) -> None:
    if event.subject in changes.orders:
        changes.twice.append((log_id, event.subject, event.at))
        return
    facts = facts_of(payload)
    changes.orders[event.subject] = new_order(log_id, event, facts)
    _note_lines(changes, event, facts)
    if event.payment.amount > event.total:
        _overpaid(changes, log_id, event)
    if event.payment.payment_id:
        row = PaymentRow(event.subject, event.payment, "applied", "", log_id, event.at)
        changes.payments.append(row)
    for n in event.below_floor:
        where = line_id(event.subject, n)
        changes.blocks.append(BlockRow(event.subject, "price", where, "", event.at, "engine"))
    if event.replaced:
        _replaced(changes, log_id, event)
    data = {"state": event.state, "total": event.total, "currency": event.currency}
    changes.events.append(
        EventRow(event.at, "order.reserved", event.subject, log_id, event.actor, data, of_new=True)
    )


def _note_lines(changes: Changes, event: Reserved, facts: ClaimFacts) -> None:
    for n, (sku, quantity, units, _) in enumerate(facts.lines, start=1):
        kept = n not in event.dropped
        changes.lines[event.subject, n] = NewLine(
            event.subject, n, sku, quantity, quantity if kept else 0, units if kept else 0
        )
    if bundles.have_parts(facts.lines):
        for n, columns in enumerate(bundles.columns(facts.lines), start=1):
            changes.parts[event.subject, n] = columns


def new_order(log_id: str, event: Reserved, facts: ClaimFacts) -> NewOrder:
    """Return the row of a claim that was taken."""
    # by position: names cost this hottest of calls a third more
    return NewOrder(
        event.subject, event.tenant, event.channel, facts.channel_order_id, event.campaign,
        event.buyer, facts.kind, OPEN, event.settle or "unpaid",
        "committed" if event.state == "C" else "held", event.currency, event.total,
        event.pay_by or None, event.held_until or None, event.attempt, event.fingerprint,
        facts.placed_at or event.at, event.at, log_id, event.actor, "", packed(event.draws),
        packed(event.counted), packed(event.stages), facts.document.decode(), "unrouted", "", "",
        facts.trace or None,
    )  # fmt: skip


def set_aside(logged: Logged, reason: str) -> Changes:
    """Return what becomes of a claim or snapshot that Postgres refused: a person can find it.

    It counts in pools and debts as if it had been read.
    """
    log_id, event, payload = logged
    changes = Changes()
    assert isinstance(event, Reserved | Synced), "the others are not of one order"
    if isinstance(event, Reserved):
        order = unreadable_order(log_id, event, reason)
        changes.orders[order.order_id] = order
    else:
        order = synced.unreadable_order(log_id, event, payload, reason)
        synced.follow_owed(changes, log_id, event)
        (changes.orders if event.created else changes.snapshots)[order.order_id] = order
    kind, at = "order.needs_attention", event.at
    changes.events.append(
        EventRow(
            at, kind, order.order_id, log_id, "engine", {"reason": reason}, of_new=is_new(event)
        )
    )
    return changes


def unreadable_order(log_id: str, event: Reserved, reason: str) -> NewOrder:
    """Return a row a person can find for a claim that Postgres refused; the dead letter has all."""
    clean = {
        name: getattr(event, name).replace("\x00", "").encode("utf-8", "replace").decode()
        for name in ("tenant", "channel", "campaign", "buyer", "currency", "actor")
    }
    return NewOrder(
        order_id=event.subject, tenant=clean["tenant"], channel=clean["channel"],
        channel_order_id=f"unreadable:{event.subject}", campaign=clean["campaign"],
        buyer_id=clean["buyer"], kind="sale", state=OPEN, payment_state=event.settle or "unpaid",
        stock_state="committed" if event.state == "C" else "held", currency=clean["currency"],
        payable=event.total, pay_by=event.pay_by or None, held_until=event.held_until or None,
        attempt=event.attempt, fingerprint=event.fingerprint, placed_at=event.at,
        accepted_at=event.at, log_id=log_id, actor=clean["actor"], attention=reason,
        draws=packed(event.draws), counters=NOTHING, stages=packed(event.stages), document="{}",
    )  # fmt: skip


def _applied(
    changes: Changes, log_id: str, event: LogEvent, payment: Payment, kind: str = "order.paid"
) -> None:
    row = PaymentRow(event.subject, payment, "applied", "", log_id, event.at)
    changes.payments.append(row)
    data = {"payment_id": payment.payment_id, "amount": payment.amount}
    _note(changes, log_id, event, kind, data, payment.actor)


def _paid(changes: Changes, order_id: str) -> None:
    _patch(changes, order_id, payment_state="paid", stock_state="committed", stages=NOTHING)


def _deadline_moved(changes: Changes, log_id: str, event: DeadlineMoved) -> None:
    _patch(changes, event.subject, pay_by=event.pay_by, held_until=event.held_until)
    if event.stages is not None:
        _patch(changes, event.subject, stages=packed(event.stages))
    _note(changes, log_id, event, "order.deadline_moved", {"pay_by": event.pay_by})


def _deposit_paid(changes: Changes, event: DepositPaid | Reheld) -> None:
    _patch(
        changes, event.subject, payment_state="deposit_paid", pay_by=event.pay_by,
        held_until=event.held_until, stages=packed(event.stages),
    )  # fmt: skip


def _reheld(changes: Changes, log_id: str, event: Reheld) -> None:
    _patch(
        changes, event.subject, state=OPEN, attempt=event.attempt, draws=packed(event.draws),
        counters=packed(event.counted),
    )  # fmt: skip
    if event.state == "P":
        _applied(changes, log_id, event, event.payment, "order.deposit_paid")
        _patch(changes, event.subject, stock_state="held")
        _deposit_paid(changes, event)
    else:
        _applied(changes, log_id, event, event.payment)
        _paid(changes, event.subject)


def _deposit_due_back(
    changes: Changes, log_id: str, event: Released | Expired, reason: str
) -> None:
    """A deposit was paid for goods that nobody will get: a person decides what becomes of it."""
    if event.paid:
        _patch(changes, event.subject, payment_state="refund_due")
        _note(
            changes, log_id, event, "payment.refund_due", {"amount": event.paid, "reason": reason}
        )


def _refund_due(changes: Changes, log_id: str, event: RefundDue) -> None:
    payment = event.payment
    row = PaymentRow(event.subject, payment, "refund_due", event.reason, log_id, event.at)
    changes.payments.append(row)
    if event.reason in _ORDER_IS_NOT_PAID:
        _patch(changes, event.subject, payment_state="refund_due")
    else:
        _patch(changes, event.subject, attention=refund_words(event.reason))
    data = {"payment_id": payment.payment_id, "amount": payment.amount, "reason": event.reason}
    _note(changes, log_id, event, "payment.refund_due", data, payment.actor)


def refund_words(reason: str) -> str:
    """Return the sentence by which a person finds an order whose own state does not say it."""
    words = {"second_payment": "a second payment", "wrong_amount": "a payment of a wrong amount"}
    return f"a refund is due for {words.get(reason, 'a payment that came too late')}"


def _released(changes: Changes, log_id: str, event: Released) -> None:
    if event.kind == "duplicate":
        # the second hold of an order that Postgres has: the order itself is as it was
        if event.paid or any(move.sold < 0 for move in event.moves):
            why = "a repeat of it was paid, and its units went back to sale: refund it or sell it"
            _patch(changes, event.subject, attention=why)
        return
    for n, units, money in event.lines:
        _cut(changes, event.subject, n, units, money)
    _patch(changes, event.subject, payable=event.total, draws=packed(event.draws))
    over = event.state == "R"
    if over:
        _patch(changes, event.subject, state=CANCELLED, stock_state="released", counters=NOTHING)
    changes.cancels.append(
        CancelRow(
            event.subject, event.cancel_id, event.kind, event.reason, event.lines, event.actor,
            log_id, event.at,
        )
    )  # fmt: skip
    kind = "order.cancelled" if over else "order.lines_cancelled"
    if event.kind == "split":
        _note(changes, log_id, event, "order.split", {"into": event.cancel_id}, event.actor)
        return
    data = {"cancel_id": event.cancel_id, "reason": event.reason, "total": event.total}
    _note(changes, log_id, event, kind, data, event.actor)
    _deposit_due_back(changes, log_id, event, "cancelled")


def _overpaid(changes: Changes, log_id: str, event: Reserved) -> None:
    """Paid for lines that were dropped: the difference is owed back, and a person sees it."""
    changes.orders[event.subject].attention = "a refund is due for dropped lines"
    data = {
        "payment_id": event.payment.payment_id,
        "amount": event.payment.amount - event.total,
        "reason": "dropped_lines",
    }
    _note(changes, log_id, event, "payment.refund_due", data, event.actor)


def _replaced(changes: Changes, log_id: str, event: Reserved) -> None:
    other = event.replaced
    _patch(changes, other, state=CANCELLED, stock_state="released", draws=NOTHING, counters=NOTHING)
    changes.cancels.append(
        CancelRow(other, event.subject, "replaced", "", [], event.actor, log_id, event.at)
    )
    data = {"by": event.subject}
    changes.events.append(EventRow(event.at, "order.replaced", other, log_id, event.actor, data))


def _patch(changes: Changes, order_id: str, **values: Any) -> None:
    """Change a row of this stretch, or leave a patch for one that Postgres already has."""
    target: object = changes.orders.get(order_id)
    if target is None:
        target = changes.patches.setdefault(order_id, Patch())
    for name, value in values.items():
        setattr(target, name, value)


def _cut(changes: Changes, order_id: str, n: int, units: int, money: int) -> None:
    line = changes.lines.get((order_id, n))
    if line is not None:
        line.open_quantity -= units
        line.payable -= money
    else:
        before = changes.line_cuts.get((order_id, n), (0, 0))
        changes.line_cuts[order_id, n] = (before[0] + units, before[1] + money)


def _note(
    changes: Changes,
    log_id: str,
    event: LogEvent,
    kind: str,
    data: dict[str, Any],
    actor: str = "engine",
) -> None:
    changes.events.append(EventRow(event.at, kind, event.subject, log_id, actor, data))


def status(axes: Mapping[str, Any], *, blocked: bool = False) -> str:  # noqa: PLR0911 - one line a word
    """Return the one word for people, from the axes of an order."""
    if axes["attention"] or (blocked and axes["state"] == OPEN):
        return "needs_attention"
    if axes["payment_state"] == "refund_due":
        return "refund_due"
    if axes["state"] == CANCELLED:
        return "cancelled"
    if axes["state"] == CLOSED:
        return "expired" if axes["stock_state"] == "released" else "closed"
    if axes["fulfilment_state"] in {"shipped", "delivered"}:
        return str(axes["fulfilment_state"])
    return "pending_payment" if axes["payment_state"] in {"unpaid", "deposit_paid"} else "paid"
