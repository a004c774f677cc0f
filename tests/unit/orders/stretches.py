"""Stretches of the log as the tests write them, and where they leave an order."""

from engine.kernel import codec, events
from engine.kernel.events import Payment
from engine.orders import rules
from engine.orders.types import Logged
from engine.reservation.facts import payload_of
from engine.reservation.rules import claim_of
from engine.reservation.types import decode_order

PAID = Payment("p", 250, "CNY", "alipay", 5, "full", "key-1")
OTHER = Payment("q", 250, "CNY", "wechat", 6, "full", "key-2")
DRAWS = [(1, "a", 2), (2, "b", 1)]


def payload(order_id="o", **more):
    """What ingest packs for the recorder."""
    price = {"amount": 100, "currency": "CNY"}
    lines = [
        {"sku": "A", "quantity": 2, "unit_price": price},
        {"sku": "B", "quantity": 1, "unit_price": {**price, "amount": 50}},
    ]
    document = codec.encode(
        {"channel": "mall", "channel_order_id": f"T-{order_id}", "lines": lines, **more}
    )
    order = decode_order(document)
    claim = claim_of(order, tenant="main", actor="key-1", now_ms=7_000)
    return payload_of(order, claim, document)


def reserved(order_id="o", **over):
    fields = {
        "subject": order_id, "at": 1_000, "moves": [], "attempt": 1, "state": "P", "pay_by": 2_000,
        "held_until": 3_000, "draws": list(DRAWS), "counted": [("b/A/x", 2, 1)], "short": [],
        "dropped": [], "unmapped": [], "below_floor": [], "fingerprint": "print",
        "tenant": "main", "channel": "mall", "campaign": "d11", "buyer": "x", "currency": "CNY",
        "total": 250, "actor": "key-1", "payload": 1, "payment": Payment(), "replaced": "",
        "settle": "", "stages": None,
    } | over  # fmt: skip
    return events.Reserved(**fields)


def released(  # noqa: PLR0913, PLR0917 - one default a field
    lines,
    state="P",
    total=0,
    draws=(),
    kind="cancel",
    order_id="o",
    cancel_id="c",
    moves=(),
    paid=0,
):
    return events.Released(
        order_id,
        1_500,
        list(moves),
        cancel_id,
        kind,
        "why",
        "key-2",
        lines,
        state,
        total,
        list(draws),
        paid,
    )


def fold(*found, told=None):
    logged = [
        Logged(f"{n}-0", event, told or payload(event.subject))
        if isinstance(event, events.Reserved)
        else Logged(f"{n}-0", event)
        for n, event in enumerate(found, start=1)
    ]
    return rules.fold(logged)


def axes(changes, order_id="o"):
    one = changes.orders[order_id] if order_id in changes.orders else changes.patches[order_id]
    return one.state, one.payment_state, one.stock_state


def told(changes):
    return [event.kind for event in changes.events]


CONFIRMED = events.Confirmed("o", 1_400, [], PAID, 1)
EXPIRED = events.Expired("o", 3_000, [])
REHELD = events.Reheld("o", 3_500, [], PAID, 2, [(1, "c", 2), (2, "b", 1)], [("b/A/x", 2, 1)])


def refund_due(reason, payment=OTHER):
    return events.RefundDue("o", 4_000, [], payment, reason)


ALL = [(1, 2, 200), (2, 1, 50)]

# a deposit of 30 a unit of the first line, and the rest later
FIRST = Payment("d", 60, "CNY", "alipay", 5, "deposit", "key-1")
REST = Payment("r", 190, "CNY", "alipay", 6, "balance", "key-1")
STAGES = [["deposit", 2_000, 3_000, [[1, 30]]], ["balance", 9_000, 9_500, []]]


def presold(**over):
    return reserved(stages=STAGES, **over)


DEPOSITED = events.DepositPaid("o", 1_400, [], FIRST, 9_000, 9_500, STAGES[1:])
ALL_PAID = events.Confirmed("o", 8_000, [], REST, 1)
UNPAID_END = events.Expired("o", 3_000, [], 0)
BALANCE_END = events.Expired("o", 9_500, [], 60)
HELD_AGAIN = events.Reheld(
    "o", 3_500, [], FIRST, 2, [(1, "c", 2), (2, "b", 1)], [], "P", 9_000, 9_500, STAGES[1:]
)
