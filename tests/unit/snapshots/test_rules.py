"""What a snapshot asks of the cell, and what of it Postgres is told: tables."""

import msgspec
import pytest

from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.snapshots import rules
from engine.snapshots.types import decode_facts, decode_snapshot

PRICE = {"amount": 100, "currency": "CNY"}
MAPPED = {("i1", ""): [("A", 1)], ("i2", "s"): [("A", 2)], ("i3", ""): [("A", 1), ("B", 1)]}


def line(sku="A", quantity=2, **more):
    return {"sku": sku, "quantity": quantity, "unit_price": PRICE, **more}


def body(status="paid", *lines, **more):
    return {
        "channel": "tmall", "channel_order_id": "t1", "version": "7", "source_status": status,
        "placed_at": "2026-11-10T12:00:00+08:00", "lines": list(lines) or [line()], **more,
    }  # fmt: skip


def understood(document):
    raw = codec.encode(document)
    return rules.snapshot_of(
        decode_snapshot(raw), raw, lambda item, sku: MAPPED.get((item, sku), []),
        tenant="main", actor="key-1",
    )  # fmt: skip


def claim_and_facts(document):
    (claim, payload), _ = understood(document)
    return claim, decode_facts(payload)


# The snapshot, and then: state, progress, units, payable, payment_state, fulfilment_state.
STATES = {
    "unpaid": (body("unpaid"), ("P", 0, 2, 200, "unpaid", "unrouted")),
    "deposit paid": (
        body("unpaid", payments=[{"payment_id": "d", "amount": PRICE, "stage": "deposit"}]),
        ("P", 0, 2, 200, "deposit_paid", "unrouted"),
    ),
    "on delivery": (
        body("unpaid", payment={"status": "on_delivery"}),
        ("C", 0, 2, 200, "on_delivery", "unrouted"),
    ),
    "paid": (body("paid"), ("C", 1, 2, 200, "paid", "unrouted")),
    "part refunded": (
        body("paid", line(refunded_quantity=1)), ("C", 1, 1, 100, "partly_refunded", "unrouted"),
    ),
    "partly shipped": (
        body("partly_shipped", line(shipped_quantity=1)),
        ("C", 2, 2, 200, "paid", "partly_shipped"),
    ),
    "shipped": (body("shipped"), ("C", 3, 2, 200, "paid", "shipped")),
    "delivered": (body("delivered"), ("C", 4, 2, 200, "paid", "delivered")),
    "closed unpaid": (body("closed"), ("R", 5, 0, 0, "unpaid", "unrouted")),
    "closed after payment": (
        body("closed", payment={"status": "paid"}), ("R", 5, 0, 0, "refunded", "unrouted"),
    ),
    "closed after a part was shipped": (
        body("closed", line(shipped_quantity=1), payment={"status": "paid"}),
        ("C", 5, 1, 100, "refunded", "shipped"),
    ),
    "of goods that are not ours": (
        body("paid", fulfilled_by="platform"), ("C", 1, 0, 200, "paid", "unrouted"),
    ),
    "a service": (body("paid", line(kind="service")), ("C", 1, 0, 200, "paid", "unrouted")),
}  # fmt: skip


@pytest.mark.parametrize("case", STATES)
def test_how_far_an_order_has_come(case):
    document, expected = STATES[case]
    claim, facts = claim_and_facts(document)
    found = (claim.state, claim.progress, claim.lines[0][1], facts.total)
    assert (*found, facts.payment_state, facts.fulfilment_state) == expected


# The line, then: SKU and units asked of the cell, why it is not known, links that are looked up.
LINKS = {
    "a SKU": (line("A"), ("A", 2, "", 0)),
    "a link": (line("", listing={"item_id": "i1"}), ("A", 2, "", 0)),
    "a link of two": (line("", listing={"item_id": "i2", "sku_id": "s"}), ("A", 4, "", 0)),
    "a link and its SKU": (line("A", listing={"item_id": "i1"}), ("A", 2, "", 0)),
    "a link and another SKU": (line("Z", listing={"item_id": "i1"}), ("", 2, "doubled", 0)),
    "a link of two SKUs": (line("", listing={"item_id": "i3"}), ("", 2, "doubled", 0)),
    "one of them": (line("B", listing={"item_id": "i3"}), ("B", 2, "", 0)),
    "an unknown link": (line("", listing={"item_id": "new"}), ("", 2, "unmapped", 1)),
    "an unknown link with a SKU": (line("Z", listing={"item_id": "new"}), ("Z", 2, "", 0)),
}


@pytest.mark.parametrize("case", LINKS)
def test_what_a_line_stands_for(case):
    asked, (sku, units, why, unknown) = LINKS[case]
    found = understood(body("paid", asked))
    facts = decode_facts(found.snapshot.payload)
    assert found.snapshot.claim.lines[0][:2] == (sku, units)
    assert facts.lines[0].why == why
    assert len(found.unknown) == unknown


REFUSED = {
    "more than there are": (
        body("paid", line(refunded_quantity=2, shipped_quantity=1)), "/lines/0",
    ),
    "neither SKU nor link": (body("paid", line("")), "/lines/0/sku"),
    "unpaid and paid": (body("unpaid", payment={"status": "paid"}), "/payment/status"),
    "a line twice": (
        body("paid", line(channel_line_id="x"), line("B", channel_line_id="x")),
        "/lines/1/channel_line_id",
    ),
    "a payment twice": (
        body("paid", payments=[{"payment_id": "p", "amount": PRICE}] * 2), "/payments",
    ),
    "other money": (
        body("paid", payments=[{"payment_id": "p", "amount": {"amount": 1, "currency": "USD"}}]),
        "/payments/0/amount/currency",
    ),
    "negative money": (
        body("paid", payments=[{"payment_id": "p", "amount": {"amount": -1, "currency": "CNY"}}]),
        "/payments/0/amount/amount",
    ),
    "an odd version": (body("paid", version="7\x1f"), "/version"),
    "no version": ({k: v for k, v in body().items() if k != "version"}, "/version"),
    "no placed_at": ({k: v for k, v in body().items() if k != "placed_at"}, "/placed_at"),
    "a status of its own": (body("WAIT_BUYER_PAY"), "/source_status"),
    "negative units": (body("paid", line(refunded_quantity=-1)), "/lines/0/refunded_quantity"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_together_is_named(case):
    document, pointer = REFUSED[case]
    with pytest.raises(ValidationFailed) as refusal:
        understood(document)
    (fault,) = refusal.value.extra["errors"]
    assert fault["pointer"] == pointer


def test_a_paid_order_that_names_no_payment_was_paid_in_one():
    _, facts = claim_and_facts(body("paid", amounts={"shipping": {**PRICE, "amount": 30}}))
    assert [(one.payment_id, one.amount) for one in facts.payments] == [("posted", 230)]
    assert claim_and_facts(body("closed"))[1].payments == []


def test_the_digest_tells_snapshots_apart_and_not_their_spelling():
    document = body("paid", ship_to={"city": "深圳市"})
    one, _ = claim_and_facts(document)
    same, _ = claim_and_facts(dict(reversed(document.items())))
    moved, _ = claim_and_facts(body("paid", ship_to={"city": "杭州市"}))
    assert one.fingerprint == same.fingerprint != moved.fingerprint


def test_a_claim_is_packed_as_the_script_reads_it():
    claim, _ = claim_and_facts(body("paid", line(channel_line_id="x")))
    packed = msgspec.msgpack.decode(msgspec.msgpack.encode(claim))
    assert packed[11] == [["A", 2, 200]]
    assert packed[17:] == ["7", "C", 1, ["x"], [], []]
