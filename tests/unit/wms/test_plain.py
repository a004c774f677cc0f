"""Plain JSON: signatures both ways, what is asked, what is answered, what is told."""

from datetime import UTC, datetime

import msgspec
import pytest

from engine.kernel.errors import Unauthorised, ValidationFailed
from engine.wms.rules import plain
from engine.wms.types import Item, Package, Reference, Reply
from tests.unit.wms.samples import FULL, LEAST, NOW, NOW_MS, PLAIN

NOW_S = NOW_MS // 1_000


def told(**fields):
    body = {"report_id": "r1", "consignment_id": "o1-s1", "kind": "accepted"} | fields
    return plain.told(msgspec.json.encode(body), "HZ", NOW)


def test_a_vector_of_our_own():
    assert plain.sign("test", b'{"a":1}', 1_700_000_000) == (
        "t=1700000000,v1=baa4d986cfbe1318c57930f77128cb4d4524641d21aaa7d8a313a9bc1e0a3d7b"
    )


def test_what_we_sign_holds_in_its_time_with_any_secret_in_force():
    header = plain.sign("older", b"body", NOW_S)
    plain.verify(["newer", "older"], header, b"body", NOW_MS)
    plain.verify(["older"], header.replace(",", " , ").upper().replace("T=", "t=").replace(
        "V1=", "v1="), b"body", NOW_MS)  # fmt: skip


@pytest.mark.parametrize(
    ("header", "body", "secret", "now_ms"),
    [
        (None, b"other", "s", NOW_MS),
        (None, b"body", "other", NOW_MS),
        (None, b"body", "s", NOW_MS + 901_000),
        (None, b"body", "s", NOW_MS - 902_000),
        ("", b"body", "s", NOW_MS),
        (f"t={NOW_S}", b"body", "s", NOW_MS),
        (f"t={NOW_S},v1=", b"body", "s", NOW_MS),
        ("t=,v1=00", b"body", "s", NOW_MS),
        ("t=\uff11\uff12,v1=00", b"body", "s", NOW_MS),
        (f"t={'9' * 400},v1=00", b"body", "s", NOW_MS),
        ("t=-1,v1=00", b"body", "s", NOW_MS),
    ],
)
def test_another_message_does_not_hold(header, body, secret, now_ms):
    if header is None:
        header = plain.sign("s", b"body", NOW_S)
    with pytest.raises(Unauthorised):
        plain.verify([secret], header, body, now_ms)


def test_a_time_that_was_moved_does_not_hold():
    header = plain.sign("s", b"body", NOW_S - 2_000)
    with pytest.raises(Unauthorised):
        plain.verify(["s"], header.replace(f"{NOW_S - 2_000}", f"{NOW_S}"), b"body", NOW_MS)


def test_a_consignment_is_told_with_all_that_we_know():
    document = msgspec.json.decode(plain.create(FULL))
    assert document["call"] == "create"
    assert document["consignment_id"] == FULL.consignment_id
    assert document["receiver"]["oaid"] == "oaid-1"
    assert document["lines"][0]["produced_on"] == "2026-01-02"
    assert document["lines"][1] == {
        "ref": "f7f335ee7020c188fdd0d28cad-2", "sku": "SKU-2", "units": 1, "price": 5,
        "condition": "good",
    }  # fmt: skip
    assert document["freight"] == 0
    assert set(document) == {*FULL._fields, "call"}
    assert plain.create(FULL) == plain.create(FULL._replace())
    least = msgspec.json.decode(plain.create(LEAST))
    assert {"total", "note", "flags"}.isdisjoint(least)


def test_cancel_and_query_name_the_consignment():
    one = Reference("o1-s1", "sale", "W1")
    assert msgspec.json.decode(plain.cancel(one, "refund")) == {
        "call": "cancel", "consignment_id": "o1-s1", "kind": "sale", "wms_ref": "W1",
        "reason": "refund",
    }  # fmt: skip
    assert msgspec.json.decode(plain.query(one))["call"] == "query"


@pytest.mark.parametrize(
    ("body", "create", "cancel"),
    [
        ({"outcome": "done", "wms_ref": "W1"}, Reply("DONE", "W1"), Reply("DONE", "W1")),
        ({"outcome": "pending"}, Reply("DONE"), Reply("PENDING")),
        ({"outcome": "refused", "code": "E01"}, Reply("DONE", code="exists"),
         Reply("REFUSED", code="exists")),
        ({"outcome": "refused", "code": "E02", "text": "none"},
         Reply("REFUSED", "", "no_such_order", "none", permanent=True),
         Reply("REFUSED", "", "no_such_order", "none", permanent=True)),
        ({"outcome": "refused", "code": "cancelled"},
         Reply("REFUSED", "", "cancelled", permanent=True), Reply("DONE", code="cancelled")),
        ({"outcome": "refused", "code": "new"}, Reply("REFUSED", code="new"),
         Reply("REFUSED", code="new")),
    ],
)  # fmt: skip
def test_what_an_answer_means(body, create, cancel):
    raw = msgspec.json.encode(body | {"more": "than we know"})
    assert plain.reply(raw, PLAIN) == create
    assert plain.reply(raw, PLAIN, cancels=True) == cancel


@pytest.mark.parametrize("body", [b"", b"{}", b"ok", b'{"outcome":"perhaps"}', b"<a/>", b"\xff"])
def test_an_answer_that_is_none_leaves_the_outcome_unknown(body):
    assert plain.reply(body, PLAIN).outcome == "UNKNOWN"
    assert plain.seen(body, PLAIN).reply.outcome == "UNKNOWN"


def test_a_reference_that_postgres_cannot_keep_is_no_answer():
    assert plain.reply(b'{"outcome": "done", "wms_ref": "a\\u0000"}', PLAIN).outcome == "UNKNOWN"


def test_what_a_warehouse_has():
    assert plain.seen(b'{"outcome":"done","state":"shipped"}', PLAIN).state == "shipped"
    none = plain.seen(b'{"outcome":"refused","code":"no_such_order"}', PLAIN)
    assert (none.reply.outcome, none.state) == ("DONE", "none")
    busy = plain.seen(b'{"outcome":"refused","code":"E06"}', PLAIN)
    assert busy.reply.outcome == "REFUSED"


def test_boxes_that_left():
    [report] = told(
        kind="partly_shipped", at="2026-11-11T09:00:00+08:00", wms_ref="W1",
        packages=[
            {"carrier": "SF", "waybill": "SF1", "grams": 1_200, "mm": [1, 2, 3], "cm3": 6,
             "items": [{"sku": "A", "units": 2, "line": "o1-1"}], "serials": ["S1"]},
            {"carrier": "SF", "waybill": "SF2"},
        ],
    )  # fmt: skip
    assert (report.kind, report.step, report.at) == (
        "PARTLY_SHIPPED", "", datetime(2026, 11, 11, 1, tzinfo=UTC)
    )  # fmt: skip
    assert report.packages == (
        Package("SF", "SF1", "", 1_200, (1, 2, 3), 6, (Item("A", 2, "o1-1"),), ("S1",)),
        Package("SF", "SF2"),
    )


@pytest.mark.parametrize(
    ("kind", "report_kind", "step"),
    [
        ("accepted", "ACCEPTED", ""), ("picked", "PROGRESS", "picked"),
        ("intercept_failed", "PROGRESS", "intercept_failed"), ("cancelled", "CANCELLED", ""),
        ("cancel_failed", "CANCEL_FAILED", ""), ("rejected", "REJECTED", ""), ("lack", "LACK", ""),
    ],
)  # fmt: skip
def test_what_a_kind_means(kind, report_kind, step):
    [report] = told(kind=kind)
    assert (report.kind, report.step, report.at) == (report_kind, step, NOW)


def test_stock_is_signed_and_named():
    [report] = told(
        kind="stock_delta", consignment_id="", lines=[{"sku": "A", "units": -2, "total": 5}]
    )
    assert report.lines == (Item("A", -2, total=5, reference="plain:HZ:r1:1"),)
    [report] = told(kind="stock_count", lines=[{"sku": "A", "units": -2}])
    assert report.kind == "STOCK_COUNT"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"kind": "vanished"}, "/kind"),
        ({"report_id": ""}, "/report_id"),
        ({"report_id": "a\nb"}, "/report_id"),
        ({"consignment_id": ""}, "/consignment_id"),
        ({"kind": "stock_delta"}, "/lines"),
        ({"lines": [{"sku": "A", "units": -1}]}, "/lines/0/units"),
        ({"lines": [{"sku": "A", "units": 1.0}]}, "/lines/0/units"),
        ({"packages": [{"carrier": "SF", "waybill": "1", "items": [{"sku": "A", "units": -1}]}]},
         "/packages/0/items"),
        ({"packages": [{"carrier": "SF", "waybill": ""}]}, "/packages/0/waybill"),
        ({"packages": [{"carrier": "SF", "waybill": "SF1\n2"}]}, "/packages/0/waybill"),
        ({"packages": [{"carrier": "SF", "waybill": "1" * 129}]}, "/packages/0/waybill"),
        ({"packages": [{"carrier": "S\x7fF", "waybill": "1"}]}, "/packages/0/carrier"),
        ({"packages": [{"carrier": "", "waybill": "1"}]}, "/packages/0/carrier"),
        ({"packages": [{"carrier": "SF", "waybill": "1", "grams": -1}]}, "/packages/0/grams"),
        ({"packages": [{"carrier": "SF", "waybill": "1"}] * 201}, "/packages"),
        ({"at": "2026-11-11T09:00:00"}, "/at"),
        ({"at": "1026-11-11T09:00:00Z"}, "/at"),
        ({"text": "x" * 501}, "/text"),
        ({"text": "\x00"}, "/text"),
        ({"surprise": 1}, "/surprise"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_place(fields, pointer):
    with pytest.raises(ValidationFailed) as failure:
        told(**fields)
    assert failure.value.extra["errors"][0]["pointer"] == pointer
