"""What a refund does to an order; pure.

Money that goes back is first what no goods were for (a second payment, one that came too late),
then what was paid for the goods.
"""

from collections.abc import Sequence
from typing import Final

from engine.aftersales.types import (
    REFUND_REQUESTED,
    WAITS_FOR_SNAPSHOT,
    Block,
    Refund,
    Standing,
    Step,
)
from engine.kernel.errors import IdempotencyConflict, InConflict, WrongAmount
from engine.orders.types import CANCELLED, CLOSED, OPEN

_DUE: Final = "a refund is due for "  # how such an `attention` begins, see `orders.rules`
_NOT_CONFIRMED: Final = frozenset({"unpaid", "deposit_paid"})


def is_news(known: Refund, asked: Refund) -> bool:
    """Whether a refund that is known goes on; one that came before or goes back stays as it is.

    Raises:
        IdempotencyConflict: it came before and said something else.
        InConflict: it is done, so it cannot be rejected.
    """
    if known._replace(state=asked.state) != asked:
        raise IdempotencyConflict(
            f"refund {asked.refund_id} came before with another kind, amount or lines",
            amount={"amount": known.amount, "currency": known.currency}, kind=known.kind,
        )  # fmt: skip
    if known.state == "done" and asked.state == "rejected":
        raise InConflict(f"refund {asked.refund_id} is done: it cannot be rejected any more")
    return asked.state not in {known.state, "requested"} and known.state != "done"


def step_before(order: Standing, asked: Refund, *, caught_up: bool, ended: bool) -> Step | None:
    """Return what must be done first; None when the refund can be booked as the order stands.

    Of an external order the marketplace says what it gave back: neither its amount nor its units
    are judged.

    Raises:
        WrongAmount: another currency, or more than was paid and not given back yet.
        InConflict: a line has not so many units.
    """
    _require_lines(order, asked)
    if asked.currency != order.currency:
        raise WrongAmount(f"the order is in {order.currency}", accepted=_accepted(order))
    if asked.state == "rejected" or order.version:
        return None
    if asked.amount > _left(order):
        if caught_up:
            raise WrongAmount(
                f"{_left(order)} {order.currency} were paid and not given back",
                accepted=_accepted(order),
            )
        return Step.CATCH_UP
    return Step.END_HOLD if _ends_hold(order, asked) and not ended else None


def is_held(order: Standing) -> bool:
    """Whether the order waits for its money: what becomes of it is the cell's to say."""
    waits = order.stock_state == "short" and order.payment_state in _NOT_CONFIRMED
    return order.state == OPEN and (order.stock_state == "held" or waits)


def units_to_cut(order: Standing, asked: Refund) -> tuple[tuple[int, int], ...]:
    """Return (line, units) that are to go back to sale for a `cancel` that is done.

    Of each line as many units are gone, in the end, as money was given back for; so a refund of
    what was cancelled before takes nothing more.
    """
    if asked.kind != "cancel" or order.state != OPEN:
        return ()
    cut = []
    for n, units in asked.lines:
        line = order.lines[n]
        more = line.refunded + units - (line.quantity - line.open_quantity)
        if more > 0:
            cut.append((n, more))
    return tuple(cut)


def units_left_to_cut(order: Standing, asked: Refund) -> tuple[tuple[int, int], ...]:
    """Return (line, units) as `units_to_cut` does, of a refund that is counted as done already."""
    if asked.kind != "cancel" or asked.state != "done" or order.state != OPEN:
        return ()
    lines = {n: order.lines[n] for n, _ in asked.lines}
    more = {n: one.refunded - (one.quantity - one.open_quantity) for n, one in lines.items()}
    return tuple((n, units) for n, units in more.items() if units > 0)


def waits_for_snapshot(order: Standing, asked: Refund) -> bool:
    """Whether a marketplace gave money back for units that its order here still has."""
    told = order.version and asked.kind == "cancel" and asked.state == "done"
    return bool(told) and order.state == OPEN and (not asked.lines or lacks_snapshot(order, asked))


def lacks_snapshot(order: Standing, asked: Refund | None = None) -> bool:
    """Whether more units of an external order's line were refunded than are gone from it."""
    more = dict(asked.lines) if asked else {}
    return order.version != "" and any(
        line.refunded + more.get(n, 0) > line.quantity - line.open_quantity
        for n, line in order.lines.items()
    )


def settled(order: Standing) -> tuple[str, str]:
    """Return `payment_state` and `attention` of an order whose refunds are all counted."""
    kept = order.applied + order.due_back - order.refunded
    state, goods_back = order.payment_state, max(0, order.refunded - order.due_back)
    if order.state == CANCELLED or _expired(order):
        owed = kept
        state = "refund_due" if owed > 0 else "refunded"
    elif is_held(order):
        owed = order.due_back - order.refunded
    else:
        owed = max(order.due_back - order.refunded, kept - order.payable)
        if goods_back:
            state = "refunded" if goods_back >= _paid(order) else "partly_refunded"
    was_due = is_due(order.attention)
    return state, "" if was_due and owed <= 0 else order.attention


def block_of(requested: Sequence[str], *, waits: bool) -> Block | None:
    """Return the block that refunds put on an order; None when they keep it from nothing.

    `requested` are the refunds that are neither done nor rejected, the oldest first; `waits`: a
    snapshot has yet to tell which units a refund was for.
    """
    if requested:
        return Block(REFUND_REQUESTED, "", f"refund {requested[0]} is requested", None)
    return Block(REFUND_REQUESTED, "", WAITS_FOR_SNAPSHOT, None) if waits else None


def is_due(attention: str) -> bool:
    """Whether what a person must look at is that money is to be given back."""
    return attention.startswith(_DUE)


def _left(order: Standing) -> int:
    return order.applied + order.due_back - order.refunded


def _accepted(order: Standing) -> dict[str, object]:
    return {"amount": _left(order), "currency": order.currency}


def _paid(order: Standing) -> int:
    """Return what was paid for the goods; a marketplace may tell of its sale and of no payment."""
    return order.applied or (order.payable if order.version else 0)


def _expired(order: Standing) -> bool:
    return order.state == CLOSED and order.stock_state == "released"


def _ends_hold(order: Standing, asked: Refund) -> bool:
    """Whether the cell must be told that what it counts as paid is not there any more.

    An allowance out of money that it never counted leaves the order as payable as it was.
    """
    if asked.state != "done" or not (is_held(order) or _expired(order)):
        return False
    uncounted = order.refunded + asked.amount <= order.due_back
    return asked.kind != "allowance" or not uncounted


def _require_lines(order: Standing, asked: Refund) -> None:
    for n, units in asked.lines:
        line = order.lines.get(n)
        if line is None:
            raise InConflict(f"the order has no line {n}", line=n)
        if order.version or asked.state == "rejected":
            continue
        refunded = line.refunded if asked.kind == "cancel" else 0
        if units + refunded > line.quantity:
            raise InConflict(f"line {n} has {line.quantity} units, {refunded} refunded", line=n)
