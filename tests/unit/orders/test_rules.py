"""What a stretch of the log makes of an order."""

# ruff: noqa: E501 - tables are read by their columns

import msgspec
import pytest

from engine.kernel import codec, events
from engine.kernel.errors import ValidationFailed
from engine.kernel.events import Move
from engine.orders import rules
from engine.orders.types import Logged, packed
from engine.reservation import rules as claims
from engine.reservation.facts import facts_of, payload_of
from engine.reservation.types import decode_order
from tests.unit.orders.stretches import (
    ALL,
    CONFIRMED,
    EXPIRED,
    OTHER,
    PAID,
    REHELD,
    axes,
    fold,
    payload,
    refund_due,
    released,
    reserved,
    told,
)

# fmt: off
#                                 stretch                                                       state        money         stock
STRETCHES = {
    "held":                      ([reserved()],                                                ("open",      "unpaid",      "held")),
    "arrived paid":              ([reserved(state="C", settle="paid", payment=PAID)],          ("open",      "paid",        "committed")),
    "on delivery":               ([reserved(state="C", settle="on_delivery")],                 ("open",      "on_delivery", "committed")),
    "paid":                      ([reserved(), CONFIRMED],                                     ("open",      "paid",        "committed")),
    "paid twice":                ([reserved(), CONFIRMED, refund_due("second_payment")],       ("open",      "paid",        "committed")),
    "cancelled":                 ([reserved(), released(ALL, "R")],                            ("cancelled", "unpaid",      "released")),
    "cancelled in two steps":    ([reserved(), released([(1, 2, 200)]), released([(2, 1, 50)], "R")], ("cancelled", "unpaid", "released")),
    "one line cancelled":        ([reserved(), released([(2, 1, 50)], total=200)],             ("open",      "unpaid",      "held")),
    "one line cancelled, paid":  ([reserved(), released([(2, 1, 50)], total=200), CONFIRMED],  ("open",      "paid",        "committed")),
    "cancelled, then paid":      ([reserved(), released(ALL, "R"), refund_due("cancelled")],   ("cancelled", "refund_due",  "released")),
    "expired":                   ([reserved(), EXPIRED],                                       ("closed",    "unpaid",      "released")),
    "warned and expired":        ([reserved(), events.Expiring("o", 2_000, [], 3_000), EXPIRED], ("closed",  "unpaid",      "released")),
    "expired, then paid":        ([reserved(), EXPIRED, REHELD],                               ("open",      "paid",        "committed")),
    "expired, nothing left":     ([reserved(), EXPIRED, refund_due("no_stock")],               ("closed",    "refund_due",  "released")),
    "expired, at its limit":     ([reserved(), EXPIRED, refund_due("limit")],                  ("closed",    "refund_due",  "released")),
    "a second hold given back":  ([reserved(), CONFIRMED, released(ALL, "R", kind="duplicate")], ("open",    "paid",        "committed")),
    "replaced by another":       ([reserved(), reserved("new", replaced="o")],                 ("cancelled", "unpaid",      "released")),
}
# fmt: on


@pytest.mark.parametrize(("stretch", "wanted"), STRETCHES.values(), ids=STRETCHES)
def test_where_an_order_stands_after_a_stretch(stretch, wanted):
    assert axes(fold(*stretch)) == wanted


@pytest.mark.parametrize(("stretch", "wanted"), STRETCHES.values(), ids=STRETCHES)
def test_cut_into_two_stretches_it_comes_to_the_same(stretch, wanted):
    """Wherever a batch of the recorder ends, rows and patches together say one thing."""
    for cut in range(1, len(stretch)):
        first, then = fold(*stretch[:cut]), fold(*stretch[cut:])
        order = first.orders["o"]
        patch = then.patches.get("o")
        values = {
            name: getattr(patch, name)
            for name in ("state", "payment_state", "stock_state", "payable", "draws", "pay_by")
            if patch is not None and getattr(patch, name) is not None
        }
        whole = fold(*stretch).orders["o"]
        for name, value in values.items():
            setattr(order, name, value)
        assert (order.state, order.payment_state, order.stock_state) == wanted
        assert (order.payable, order.draws, order.pay_by) == (
            whole.payable, whole.draws, whole.pay_by,
        )  # fmt: skip
        lines = {key: (one.open_quantity, one.payable) for key, one in first.lines.items()}
        for key, (units, money) in then.line_cuts.items():
            lines[key] = (lines[key][0] - units, lines[key][1] - money)
        for key, one in fold(*stretch).lines.items():
            if key[0] == "o":
                assert lines[key] == (one.open_quantity, one.payable)
        assert sorted(told(first) + told(then)) == sorted(told(fold(*stretch)))


def test_a_taken_claim_becomes_an_order_with_its_lines():
    changes = fold(reserved())
    order = changes.orders["o"]
    assert (order.tenant, order.channel, order.channel_order_id) == ("main", "mall", "T-o")
    assert (order.campaign, order.buyer_id, order.kind) == ("d11", "x", "sale")
    assert (order.currency, order.payable, order.fingerprint) == ("CNY", 250, "print")
    assert (order.pay_by, order.held_until, order.attempt) == (2_000, 3_000, 1)
    assert (order.placed_at, order.accepted_at, order.log_id) == (1_000, 1_000, "1-0")
    assert (order.actor, order.attention) == ("key-1", "")
    assert order.draws == '[[1,"a",2],[2,"b",1]]'
    assert (order.counters, order.stages) == ('[["b/A/x",2,1]]', "[]")
    assert codec.decode_json(order.document)["channel_order_id"] == "T-o"
    lines = [
        (line.line_no, line.sku, line.quantity, line.open_quantity, line.payable, line.short)
        for line in changes.lines.values()
    ]
    assert lines == [(1, "A", 2, 2, 200, 0), (2, "B", 1, 1, 50, 0)]
    (event,) = changes.events
    assert (event.kind, event.of_new, event.actor) == ("order.reserved", True, "key-1")
    assert event.data == {"state": "P", "total": 250, "currency": "CNY"}
    assert (changes.payments, changes.blocks, changes.cancels, changes.twice) == ([], [], [], [])


def test_an_order_that_says_when_was_placed_then():
    changes = fold(reserved(), told=payload(placed_at="2026-11-11T00:00:00Z"))
    assert changes.orders["o"].placed_at == 1_794_355_200_000
    assert changes.orders["o"].accepted_at == 1_000


def test_a_dropped_gift_is_a_line_of_which_nothing_is_left():
    changes = fold(reserved(dropped=[2], total=200))
    assert (changes.lines["o", 2].quantity, changes.lines["o", 2].open_quantity) == (1, 0)
    assert changes.lines["o", 2].payable == 0
    assert changes.lines["o", 1].open_quantity == 2


def test_a_line_sold_too_cheaply_is_blocked():
    changes = fold(reserved(below_floor=[1, 2]))
    assert [(block.code, block.line_id, block.by) for block in changes.blocks] == [
        ("price", "o-1", "engine"),
        ("price", "o-2", "engine"),
    ]


def test_the_same_order_twice_in_one_stretch_is_one_order_and_a_duplicate():
    changes = fold(reserved(), reserved(pay_by=9_999, at=1_100))
    assert list(changes.orders) == ["o"]
    assert changes.orders["o"].pay_by == 2_000
    assert changes.twice == [("2-0", "o", 1_100)]
    assert told(changes) == ["order.reserved"]


def test_reserve_pay_and_a_cancel_of_one_line_in_one_stretch():
    changes = fold(
        reserved(), released([(1, 1, 100)], total=150, draws=[(1, "a", 1), (2, "b", 1)]), CONFIRMED
    )
    order = changes.orders["o"]
    assert (order.payable, order.draws) == (150, '[[1,"a",1],[2,"b",1]]')
    assert (changes.lines["o", 1].open_quantity, changes.lines["o", 1].payable) == (1, 100)
    assert (changes.patches, changes.line_cuts) == ({}, {})
    (cancel,) = changes.cancels
    assert (cancel.cancel_id, cancel.kind, cancel.lines) == ("c", "cancel", [(1, 1, 100)])
    assert [(one.state, one.payment.payment_id) for one in changes.payments] == [("applied", "p")]
    assert told(changes) == ["order.reserved", "order.lines_cancelled", "order.paid"]


def test_cuts_of_one_line_add_up_and_others_are_patched_once():
    changes = fold(released([(1, 1, 100)], total=150), released([(1, 1, 100)], "R", cancel_id="d"))
    assert changes.line_cuts == {("o", 1): (2, 200)}
    assert list(changes.patches) == ["o"]
    patch = changes.patches["o"]
    assert (patch.state, patch.payable, patch.draws, patch.counters) == ("cancelled", 0, "[]", "[]")
    assert told(changes) == ["order.lines_cancelled", "order.cancelled"]


def test_a_posted_payment_is_booked_with_its_order():
    changes = fold(reserved(state="C", settle="paid", payment=PAID))
    (row,) = changes.payments
    assert (row.order_id, row.payment, row.state, row.log_id) == ("o", PAID, "applied", "1-0")


def test_what_was_paid_for_a_dropped_line_is_owed_back():
    changes = fold(reserved(state="C", settle="paid", payment=PAID, dropped=[2], total=200))
    order = changes.orders["o"]
    assert (order.payment_state, order.attention) == ("paid", "a refund is due for dropped lines")
    owed = [event.data for event in changes.events if event.kind == "payment.refund_due"]
    assert owed == [{"payment_id": "p", "amount": 50, "reason": "dropped_lines"}]


def test_money_without_goods_is_kept_with_its_reason():
    changes = fold(refund_due("second_payment"))
    (row,) = changes.payments
    assert (row.state, row.reason, row.payment) == ("refund_due", "second_payment", OTHER)
    assert axes(changes) == (None, None, None)
    assert changes.patches["o"].attention == "a refund is due for a second payment"
    (event,) = changes.events
    assert (event.kind, event.actor) == ("payment.refund_due", "key-2")
    assert event.data == {"payment_id": "q", "amount": 250, "reason": "second_payment"}


def test_held_again_is_the_next_attempt_with_its_own_draws():
    patch = fold(REHELD).patches["o"]
    wanted = (2, packed(REHELD.draws), packed(REHELD.counted))
    assert (patch.attempt, patch.draws, patch.counters) == wanted


def test_replacing_ends_the_other_order_and_says_by_which():
    changes = fold(reserved("new", replaced="o"))
    assert axes(changes) == ("cancelled", None, "released")
    (cancel,) = changes.cancels
    assert (cancel.order_id, cancel.cancel_id, cancel.kind) == ("o", "new", "replaced")
    assert told(changes) == ["order.replaced", "order.reserved"]
    assert changes.events[0].data == {"by": "new"}


def test_a_moved_deadline_a_warning_and_a_return():
    changes = fold(
        events.DeadlineMoved("o", 5_000, [], 6_000, 7_000),
        events.Expiring("o", 6_000, [], 7_000),
        events.Returned("o", 8_000, [], "r"),
    )
    assert (changes.patches["o"].pay_by, changes.patches["o"].held_until) == (6_000, 7_000)
    assert changes.returns == [("r", "3-0")]
    assert [(event.kind, event.data) for event in changes.events] == [
        ("order.deadline_moved", {"pay_by": 6_000}),
        ("hold.expiring", {"held_until": 7_000}),
        ("stock.returned", {"return_id": "r"}),
    ]


def test_a_second_hold_given_back_leaves_no_trace_on_the_order():
    changes = fold(released(ALL, "R", kind="duplicate"))
    assert (changes.patches, changes.line_cuts, changes.cancels) == ({}, {}, [])
    assert changes.events == []


@pytest.mark.parametrize(
    "event",
    [
        events.Granted("pool", 1, [], 1, 5, 5, "load", "ref"),
        events.Moved("m", 1, [], "a", "b", 1, "", 0),
        events.PauseSet("sku", 1, [], "main", "A", 1, "key-1", ""),
        events.RuleSet("offer", 1, [], 1),
        events.Checkpoint("c", 1, [], 1, 1, 0, []),
        events.Opened("opened", 1, [], 1, "", 0, 0),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_is_not_about_an_order_changes_none(event):
    assert fold(event) == rules.fold([])


@pytest.mark.parametrize("poison", [b"", b"[]", b"{}", payload()[:-1], payload() + b"\x00"])
def test_a_payload_that_ingest_did_not_pack_is_refused(poison):
    with pytest.raises((msgspec.MsgspecError, ValidationFailed)):
        rules.fold([Logged("1-0", reserved(), poison)])


def test_a_payload_of_an_earlier_version_is_read_as_what_ingest_would_pack():
    order = {
        "channel": "mall", "channel_order_id": "c-1", "placed_at": "2026-11-11T00:00:00Z",
        "lines": [
            {"sku": "A", "quantity": 2, "unit_price": {"amount": 150, "currency": "CNY"}},
            {"sku": "B", "quantity": 1, "unit_price": {"amount": 50, "currency": "CNY"},
             "on_short": "drop"},
        ],
    }  # fmt: skip
    raw = codec.encode(order)
    decoded = decode_order(raw)
    claim = claims.claim_of(decoded, tenant="main", actor="key", now_ms=0)
    assert facts_of(raw) == facts_of(payload_of(decoded, claim, raw))
    without = msgspec.msgpack.decode(payload_of(decoded, claim, raw))
    traced = payload_of(decoded, claim, raw, "00-1-2-01")
    assert msgspec.msgpack.decode(traced) == [*without, "00-1-2-01"]  # an older process reads on
    assert facts_of(traced) == msgspec.structs.replace(facts_of(raw), trace="00-1-2-01")


def test_a_claim_that_cannot_be_read_still_becomes_an_order_a_person_can_find():
    event = reserved(buyer="a\x00b", campaign="c\ud800", settle="paid", state="C")
    order = rules.unreadable_order("7-0", event, "because")
    assert (order.buyer_id, order.campaign) == ("ab", "c?")
    assert (order.channel_order_id, order.attention) == ("unreadable:o", "because")
    assert (order.payment_state, order.stock_state) == ("paid", "committed")
    assert (order.payable, order.draws, order.document) == (250, '[[1,"a",2],[2,"b",1]]', "{}")
    waiting = rules.unreadable_order("7-0", reserved(), "because")
    assert (waiting.payment_state, waiting.stock_state) == ("unpaid", "held")


def test_the_ledger_has_one_row_for_each_pool_an_event_moved():
    one = reserved(moves=[Move("a", 0, 0, -2, 2, 0), Move("b", 0, 1, 0, 1, 0)])
    two = events.Granted("a", 1_100, [Move("a", 5, 0, 5, 0, 0)], 1, 5, 5, "load", "ref")
    rows = rules.posts("9-1", [one, two, events.RuleSet("offer", 1, [], 1)])
    assert [tuple(row) for row in rows] == [
        ("9-1", 0, "reserved", "o", "a", 0, 0, -2, 2, 0),
        ("9-1", 1, "reserved", "o", "b", 0, 1, 0, 1, 0),
        ("9-1", 2, "granted", "a", "a", 5, 0, 5, 0, 0),
    ]


# fmt: off
#                                   state        money           stock        fulfilment   attention  blocked   word
WORDS = {
    "waits for money":             ("open",      "unpaid",       "held",      "unrouted",  "",        False,    "pending_payment"),
    "waits for the balance":       ("open",      "deposit_paid", "held",      "unrouted",  "",        False,    "pending_payment"),
    "paid":                        ("open",      "paid",         "committed", "unrouted",  "",        False,    "paid"),
    "to be paid at the door":      ("open",      "on_delivery",  "committed", "unrouted",  "",        False,    "paid"),
    "paid and routed":             ("open",      "paid",         "committed", "routed",    "",        False,    "paid"),
    "on its way":                  ("open",      "paid",         "consumed",  "shipped",   "",        False,    "shipped"),
    "there":                       ("open",      "paid",         "consumed",  "delivered", "",        False,    "delivered"),
    "blocked":                     ("open",      "paid",         "committed", "unrouted",  "",        True,     "needs_attention"),
    "unreadable":                  ("open",      "paid",         "committed", "unrouted",  "why",     False,    "needs_attention"),
    "unreadable, cancelled":       ("cancelled", "unpaid",       "released",  "unrouted",  "why",     False,    "needs_attention"),
    "cancelled":                   ("cancelled", "unpaid",       "released",  "unrouted",  "",        False,    "cancelled"),
    "cancelled, blocked":          ("cancelled", "unpaid",       "released",  "unrouted",  "",        True,     "cancelled"),
    "cancelled, money to go back": ("cancelled", "refund_due",   "released",  "unrouted",  "",        False,    "refund_due"),
    "cancelled, money gone back":  ("cancelled", "refunded",     "released",  "unrouted",  "",        False,    "cancelled"),
    "expired":                     ("closed",    "unpaid",       "released",  "unrouted",  "",        False,    "expired"),
    "over and done":               ("closed",    "paid",         "consumed",  "delivered", "",        False,    "closed"),
}
# fmt: on


@pytest.mark.parametrize("row", WORDS.values(), ids=WORDS)
def test_the_one_word_for_people(row):
    names = ("state", "payment_state", "stock_state", "fulfilment_state", "attention")
    *values, blocked, word = row
    assert rules.status(dict(zip(names, values, strict=True)), blocked=blocked) == word
