"""How an order follows from its marketplace's snapshots, and how debts follow from the log."""

from engine.kernel import events
from engine.kernel.events import Move, Payment
from engine.orders import rules
from engine.orders.types import Logged, Owed, Repaid
from engine.snapshots.types import FactLine, Facts, encode_facts
from tests.unit.orders.stretches import EXPIRED, reserved

PAID = Payment("p", 200, "CNY", "alipay", 5, "full", "key-1")


def facts(**over):
    fields = {
        "tenant": "main", "channel": "tmall", "channel_order_id": "T-1", "campaign": "",
        "buyer": "b", "kind": "sale", "currency": "CNY", "total": 200, "actor": "key-1",
        "placed_at": 500, "digest": "print", "version": "1", "progress": 1,
        "source_status": "paid", "payment_state": "paid", "fulfilment_state": "unrouted",
        "lines": [FactLine("A", 2, 2, 200, "x", "", "", "")], "payments": [PAID],
        "document": b'{"n": 1}',
    } | over  # fmt: skip
    return encode_facts(Facts(**fields))


def synced(**over):
    fields = {
        "subject": "o", "at": 1_000, "moves": [], "created": 1, "state": "C", "pay_by": 0,
        "held_until": 0, "lines": [("A", 2, 200, "")], "line_keys": ["x"],
        "draws": [(1, "a", 2)], "counted": [], "owed": [], "unmapped": [], "below_floor": [],
        "payload": 1, "numbers": [1],
    } | over  # fmt: skip
    return events.Synced(**fields)


def fold(*found):
    return rules.fold([Logged(f"{n}-0", *one) for n, one in enumerate(found, start=1)])


def test_a_first_snapshot_is_a_new_order():
    changes = fold((synced(), facts()))
    order = changes.orders["o"]
    assert (order.state, order.payment_state, order.stock_state) == ("open", "paid", "committed")
    assert (order.version, order.source_status, order.placed_at) == ("1", "paid", 500)
    assert changes.lines["o", 1].channel_line_id == "x"
    assert [one.payment for one in changes.payments] == [PAID]
    (event,) = changes.events
    assert (event.kind, event.of_new, event.data["version"]) == ("order.synced", True, "1")


def test_a_later_one_in_the_same_stretch_changes_the_new_row():
    later = facts(version="2", total=0, source_status="closed", payment_state="refunded")
    changes = fold((synced(), facts()), (synced(created=0, state="R", draws=[], at=2_000), later))
    order = changes.orders["o"]
    assert (order.version, order.state, order.stock_state) == ("2", "cancelled", "released")
    assert (order.accepted_at, order.log_id) == (1_000, "1-0")
    assert changes.snapshots == {}


def test_a_later_one_is_all_of_the_row_that_postgres_has():
    expired = events.Expired("o", 900, [])
    changes = fold((expired,), (synced(created=0), facts(version="2")))
    assert changes.orders == {}
    assert changes.snapshots["o"].version == "2"
    assert changes.patches == {}, "what came before it is overwritten anyhow"
    after = fold((synced(created=0, state="P"), facts()), (expired,))
    assert after.patches["o"].state == "closed"


def test_lines_that_are_told_of_no_more_want_nothing():
    event = synced(
        created=0, lines=[("A", 0, 0, ""), ("B", 1, 50, "")], line_keys=["x", "y"], numbers=[2],
        draws=[(2, "b", 1)],
    )  # fmt: skip
    changes = fold((event, facts(lines=[FactLine("B", 1, 1, 50, "y", "", "", "")])))
    rows = changes.snapshot_lines.values()
    assert [(r.line_no, r.sku, r.quantity, r.open_quantity, r.payable) for r in rows] == [
        (1, "A", 0, 0, 0),
        (2, "B", 1, 1, 50),
    ]


def test_unknown_and_cheap_lines_are_blocked_and_named():
    lines = [
        FactLine("Z", 1, 1, 50, "", "i", "s", "doubled"),
        FactLine("A", 1, 1, 1, "", "", "", ""),
    ]
    event = synced(
        lines=[("", 0, 50, ""), ("A", 1, 1, "")], line_keys=["", ""], numbers=[1, 2], unmapped=[1],
        below_floor=[2],
    )  # fmt: skip
    changes = fold((event, facts(lines=lines)))
    assert [(one.code, one.line_id) for one in changes.blocks] == [
        ("unmapped_sku", "o-1"),
        ("price", "o-2"),
    ]
    assert changes.lines["o", 1].sku == "Z", "what the channel calls it"
    (alarm,) = changes.unmapped
    assert tuple(alarm) == ("main", "tmall", "i", "s", "Z", "doubled")


def test_the_newest_snapshot_alone_says_what_is_blocked():
    unknown = synced(unmapped=[1], lines=[("", 0, 0, "")])
    changes = fold((unknown, facts()), (synced(created=0, at=2_000), facts(version="2")))
    assert changes.blocks == []


def test_debts_stand_in_the_order_of_the_log():
    owing = synced(owed=[("a", 2, 1)], moves=[Move("a", 0, 2, 0, 0, 2)])
    granted = events.Granted("a", 2_000, [Move("a", 5, -2, 3, 0, 0)], 1, 5, 5, "load", "ref")
    expired = events.Expired("g", 3_000, [Move("a", 0, -1, 0, -1, 0)])
    changes = fold((owing, facts()), (granted,), (expired,))
    assert changes.debts == [
        Owed("o", "a", 1, 2),
        Repaid("a", 2, "a", "2-0", 2_000),
        Repaid("a", 1, "g", "3-0", 3_000),
    ]


def test_what_cannot_be_read_is_a_row_to_find_and_is_owed_all_the_same():
    event = synced(owed=[("a", 1, 1)], moves=[Move("a", 0, 1, 0, 0, 1)])
    changes = rules.set_aside(Logged("1-0", event, b"?"), "no facts")
    assert changes.orders["o"].attention == "unreadable: no facts"
    assert (changes.orders["o"].payment_state, changes.orders["o"].version) == ("paid", "0")
    assert changes.debts == [Owed("o", "a", 1, 1)]
    later = rules.set_aside(Logged("2-0", synced(created=0), b"?"), "no facts")
    assert (later.orders, later.snapshots["o"].attention) == ({}, "unreadable: no facts")
    known = rules.set_aside(Logged("3-0", synced(), facts()), "no document")
    assert (known.orders["o"].channel_order_id, known.orders["o"].document) == ("T-1", "{}")


def test_only_what_the_cell_counts_is_new():
    assert rules.is_new(reserved())
    assert rules.is_new(synced())
    assert not rules.is_new(synced(created=0))
    assert not rules.is_new(EXPIRED)
