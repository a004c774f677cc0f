"""Qimen: the vector, every row of the field tables both ways, what each message means."""

import re
from datetime import UTC, date, datetime
from urllib.parse import urlencode

import pytest

from engine.kernel.errors import Unauthorised, ValidationFailed
from engine.physical.types.stock import CONDITIONS
from engine.wms.rules import qimen, qimen_codec, qimen_fields, xml
from engine.wms.rules.qimen_fields import Field, Group
from engine.wms.types import Contact, Item, Package, Reference, Reply
from tests.unit.wms.samples import FULL, LEAST, NOW, NOW_MS, QIMEN

VECTOR = [
    ("method", "taobao.qimen.deliveryorder.create"), ("timestamp", "2015-04-26 00:00:07"),
    ("format", "xml"), ("app_key", "testerp_appkey"), ("v", "2.0"), ("sign_method", "md5"),
    ("customerId", "stub-cust-code"),
]  # fmt: skip
VECTOR_BODY = b"<request></request>"
VECTOR_SIGN = "18B6439E32BE3361A6CA03B017C7F03A"
VECTOR_MS = 1_429_977_607_000  # 2015-04-25T16:00:07Z
EVERY = {**qimen_fields.OUT, **qimen_fields.IN, "reply": qimen_fields.REPLY}
# One value of each kind, with the text that stands for it.
VALUES = {
    "text": ("JYCK 中 <&>", "JYCK 中 <&>"),
    "money": (1_234_505, "12345.05"),
    "whole": (7, "7"),
    "instant": (datetime(2026, 11, 10, 16, 0, 1, tzinfo=UTC), "2026-11-11 00:00:01"),
    "day": (date(2026, 11, 11), "2026-11-11"),
    "kg": (1_250, "1.250"),
    "cm": (305, "30.5"),
    "litre": (1_001, "1.001"),
}


def message(table, value=lambda field: VALUES[field.kind][0], without=""):
    """Return a message in which every field of a table stands, but for the one at `without`."""
    values = {one.ours: value(one) for one in table.fields if one.path != without}
    for group in table.groups:
        if group.path != without:
            values[group.ours] = [message(group.table, value), message(group.table, value)]
    return values


def written(table, values):
    return xml.render("request", qimen_codec.write(table, values))


def parsed(table, body):
    return qimen_codec.read(table, xml.parse(body, "request"))


def rows(table, prefix=""):
    for one in (*table.fields, *table.groups):
        yield prefix + one.path, one
        if isinstance(one, Group):
            yield from rows(one.table, f"{prefix}{one.path}/")


ROWS = [(method, path, one) for method, table in EVERY.items() for path, one in rows(table)]


# The signature.


def test_the_vector_of_the_reference():
    assert qimen.sign("test", VECTOR, VECTOR_BODY) == VECTOR_SIGN
    assert qimen.sign("test", VECTOR[::-1], VECTOR_BODY) == VECTOR_SIGN
    assert qimen.sign("test", [*VECTOR, ("sign", "x")], VECTOR_BODY) == VECTOR_SIGN


def test_a_callback_with_the_vector_holds_in_its_time_with_any_secret_in_force():
    for secrets in (["test"], ["newer", "test"]):
        for sent in (VECTOR_SIGN, VECTOR_SIGN.lower()):
            qimen.verify(secrets, [*VECTOR, ("sign", sent)], VECTOR_BODY, VECTOR_MS + 899_000)


@pytest.mark.parametrize(
    ("query", "body", "secrets", "now_ms"),
    [
        (VECTOR, VECTOR_BODY, ["test"], VECTOR_MS),
        ([*VECTOR, ("sign", "")], VECTOR_BODY, ["test"], VECTOR_MS),
        ([*VECTOR, ("sign", VECTOR_SIGN)], b"<request> </request>", ["test"], VECTOR_MS),
        ([*VECTOR, ("sign", VECTOR_SIGN)], VECTOR_BODY, ["other"], VECTOR_MS),
        ([*VECTOR, ("sign", VECTOR_SIGN)], VECTOR_BODY, [], VECTOR_MS),
        ([*VECTOR, ("sign", VECTOR_SIGN)], VECTOR_BODY, ["test"], VECTOR_MS + 901_000),
        ([*VECTOR, ("sign", VECTOR_SIGN)], VECTOR_BODY, ["test"], VECTOR_MS - 901_000),
        # an empty value is part of the signed set, so it cannot be added
        ([*VECTOR, ("sign", VECTOR_SIGN), ("extra", "")], VECTOR_BODY, ["test"], VECTOR_MS),
        ([*VECTOR, *VECTOR[:1], ("sign", VECTOR_SIGN)], VECTOR_BODY, ["test"], VECTOR_MS),
        ([*VECTOR[1:], ("sign", VECTOR_SIGN)], VECTOR_BODY, ["test"], VECTOR_MS),
    ],
)  # fmt: skip
def test_another_message_does_not_hold(query, body, secrets, now_ms):
    with pytest.raises(Unauthorised):
        qimen.verify(secrets, query, body, now_ms)


def test_empty_values_are_signed_as_they_are_sent():
    query = [("method", "m"), ("timestamp", "2015-04-26 00:00:07"), ("customerId", "")]
    sent = [*query, ("sign", qimen.sign("s", query, b"x"))]
    qimen.verify(["s"], sent, b"x", VECTOR_MS)
    with pytest.raises(Unauthorised):
        qimen.verify(["s"], [*query[:2], ("customer", ""), sent[-1]], b"x", VECTOR_MS)


@pytest.mark.parametrize("at", ["", "yesterday", "2015-04-26T00:00:07", "0015-04-26 00:00:07"])
def test_a_signed_time_that_is_none_does_not_hold(at):
    query = [("method", "m"), ("timestamp", at)]
    with pytest.raises(Unauthorised):
        qimen.verify(["s"], [*query, ("sign", qimen.sign("s", query, b""))], b"", VECTOR_MS)


def test_our_own_calls_are_signed_as_we_check_others():
    query = qimen.signed(QIMEN, "order.cancel", "中".encode(), NOW_MS)
    assert ("timestamp", "2026-11-11 08:20:00") in query
    assert urlencode(query).startswith("method=taobao.qimen.order.cancel&timestamp=2026-11-11+08")
    qimen.verify(QIMEN.secrets, query, "中".encode(), NOW_MS)
    assert "s3cret" not in repr(QIMEN)


# The tables.


@pytest.mark.parametrize("method", EVERY)
def test_every_field_goes_there_and_back(method):
    table = EVERY[method]
    values = message(table)
    assert parsed(table, written(table, values)) == values


@pytest.mark.parametrize(("method", "path", "row"), ROWS, ids=lambda one: str(one)[:60])
def test_a_row_stands_where_it_says_with_its_type(method, path, row):
    """Not through our own writer: the document is put together here."""
    if isinstance(row, Group):
        return
    text = VALUES[row.kind][1].replace("&", "&amp;").replace("<", "&lt;")
    body = text
    for step in reversed([step for step in path.split("/") if step]):
        body = f"<{step}>{body}</{step}>"
    element = xml.parse(f"<request>{body}</request>".encode(), "request")
    table = EVERY[method]
    # fields of groups are read with the element of their group
    while path != row.path:
        group = next(one for one in table.groups if path.startswith(f"{one.path}/"))
        [element] = element.all(group.path)
        path, table = path.removeprefix(f"{group.path}/"), group.table
    only = qimen_fields.Table((row._replace(required=True),))
    assert qimen_codec.read(only, element) == {row.ours: VALUES[row.kind][0]}


@pytest.mark.parametrize("method", EVERY)
def test_what_is_required_must_be_there_and_nothing_else(method):
    table = EVERY[method]
    for one in (*table.fields, *table.groups):
        values = message(table, without=one.path)
        if one.required:
            with pytest.raises(ValidationFailed) as failure:
                written(table, values)
            assert failure.value.extra["errors"][0]["pointer"] == f"/{one.path}"
            loose = table._replace(
                fields=tuple(field._replace(required=False) for field in table.fields),
                groups=tuple(group._replace(required=False) for group in table.groups),
            )
            with pytest.raises(ValidationFailed):
                parsed(table, written(loose, values))
        else:
            found = parsed(table, written(table, values))
            assert not found.get(one.ours)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        *[("whole", bad) for bad in ("1.5", "1e3", "NaN", "", "one", "\uff11", "1_0", "9" * 17)],
        *[("kg", bad) for bad in ("-1", "1,5", "1e3", "Infinity", "0x1", "1" * 40)],
        *[("instant", bad) for bad in ("2026-11-11", "2026-13-11 00:00:00", "1026-01-01 00:00:00")],
        ("day", "11/11/2026"),
        ("text", "x" * 11),
    ],
)
def test_what_is_not_of_its_type_is_refused_with_its_place(kind, bad):
    table = qimen_fields.Table((Field("a/b", "x", required=True, kind=kind, length=10),))
    body = f"<request><a><b>{bad}</b></a></request>".encode()
    with pytest.raises(ValidationFailed) as failure:
        parsed(table, body)
    assert failure.value.extra["errors"][0]["pointer"] == "/a/b"


def test_decimals_become_integers_rounded_half_up():
    table = qimen_fields.Table((Field("a", "x", kind="kg"), Field("b", "y", kind="cm")))
    assert parsed(table, b"<request><a>0.0005</a><b>30.25</b></request>") == {"x": 1, "y": 303}
    assert parsed(table, b"<request><a> 0.1 </a><b></b></request>") == {"x": 100}


# What we ask.


def test_a_consignment_is_written_with_all_that_we_know():
    values = parsed(qimen_fields.CREATE, qimen.create(FULL, QIMEN))
    table = qimen_fields.CREATE
    assert {field.ours for field in table.fields} - set(values) == {
        "sender.phone", "sender.postcode", "sender.country", "sender.town"
    }  # fmt: skip
    for name in ("consignment_id", "created_at", "placed_at", "paid_at", "total", "items",
                 "discount", "freight", "due", "paid", "shop", "carrier", "waybill", "delivery",
                 "ship_by", "deliver_by", "platform", "payment", "note"):  # fmt: skip
        assert values[name] == getattr(FULL, name), name
    assert (values["kind"], values["warehouse"], values["flags"]) == ("HHCK", "WH1", "COD^PRESELL")
    for who in ("receiver", "sender"):
        for name, value in getattr(FULL, who)._asdict().items():
            assert values.get(f"{who}.{name}", "") == (value or ""), name
    first, second = values["lines"]
    assert first == FULL.lines[0]._asdict() | {"condition": "XS"}
    assert (second["owner"], second["condition"], second["price"]) == ("OWN", "ZP", 5)
    assert "batch" not in second


def test_the_least_consignment_has_no_empty_elements():
    body = qimen.create(LEAST, QIMEN)
    assert not re.search(rb"<(\w+)></\1>", body)
    values = parsed(qimen_fields.CREATE, body)
    assert values["kind"] == "JYCK"
    assert {"paid_at", "total", "flags", "receiver.oaid"}.isdisjoint(values)


def test_a_consignment_made_again_is_the_same_bytes():
    assert qimen.create(FULL, QIMEN) == qimen.create(FULL._replace(), QIMEN)


def test_what_qimen_wants_and_we_do_not_know_is_refused_before_it_is_sent():
    with pytest.raises(ValidationFailed) as failure:
        qimen.create(FULL._replace(receiver=FULL.receiver._replace(city="", oaid="")), QIMEN)
    [error] = failure.value.extra["errors"]
    assert error["pointer"] == "/deliveryOrder/receiverInfo/city"
    with pytest.raises(ValidationFailed):
        qimen.create(FULL._replace(consignment_id="x" * 51), QIMEN)


def test_nobody_is_shown_in_what_may_be_logged():
    assert "张三" not in repr(FULL)
    assert "13800000000" not in repr(FULL)


def test_cancel_and_query_name_the_order():
    one = Reference(FULL.consignment_id, "reship", "W-1")
    values = parsed(qimen_fields.CANCEL, qimen.cancel(one, "买家取消", QIMEN))
    assert values == {
        "warehouse": "WH1", "owner": "OWN", "consignment_id": FULL.consignment_id,
        "wms_ref": "W-1", "kind": "BFCK", "reason": "买家取消",
    }  # fmt: skip
    values = parsed(qimen_fields.QUERY, qimen.query(one, QIMEN))
    assert values["consignment_id"] == FULL.consignment_id


# What they answer.


def response(flag="success", code="", message="", more=""):
    return (
        f"<response><flag>{flag}</flag><code>{code}</code><message>{message}</message>{more}"
        "</response>"
    ).encode()


@pytest.mark.parametrize(
    ("code", "create", "cancel"),
    [
        ("E01", ("DONE", "exists", False), ("REFUSED", "exists", False)),
        ("E02", ("REFUSED", "no_such_order", True), ("REFUSED", "no_such_order", True)),
        ("E03", ("REFUSED", "too_late", True), ("REFUSED", "too_late", True)),
        ("E04", ("REFUSED", "cancelled", True), ("DONE", "cancelled", False)),
        ("E05", ("REFUSED", "invalid", True), ("REFUSED", "invalid", True)),
        ("E06", ("REFUSED", "busy", False), ("REFUSED", "busy", False)),
        ("S999", ("REFUSED", "S999", False), ("REFUSED", "S999", False)),
    ],
)
def test_a_refusal_means_what_the_profile_says_of_its_code(code, create, cancel):
    body = response("failure", code, "已存在")
    for cancels, wanted in ((False, create), (True, cancel)):
        told = qimen.reply(body, QIMEN, cancels=cancels)
        assert (told.outcome, told.code, told.permanent) == wanted
        assert told.text == "已存在"


def test_success_is_done_but_a_cancel_may_only_be_noted():
    body = response(more="<deliveryOrderId>W-1</deliveryOrderId>")
    assert qimen.reply(body, QIMEN) == Reply("DONE", "W-1")
    assert qimen.reply(body, QIMEN, cancels=True).outcome == "DONE"
    later = QIMEN._replace(cancels_later=True)
    assert qimen.reply(body, later, cancels=True).outcome == "PENDING"
    assert qimen.reply(body, later).outcome == "DONE"


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"busy", b"<response></response>"])
def test_an_answer_that_is_none_leaves_the_outcome_unknown(body):
    assert qimen.reply(body, QIMEN).outcome == "UNKNOWN"
    assert qimen.seen(body, QIMEN).reply.outcome == "UNKNOWN"


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        ([], "open"), (["ACCEPT", "PICK"], "open"), (["ACCEPT", "CANCELED"], "cancelled"),
        (["ACCEPT", "PARTDELIVERED"], "partly_shipped"),
        (["CANCELED", "ACCEPT", "DELIVERED"], "shipped"),  # what left has left
    ],
)  # fmt: skip
def test_what_a_warehouse_has_of_an_order(statuses, state):
    steps = "".join(f"<process><processStatus>{s}</processStatus></process>" for s in statuses)
    more = f"<orderProcess><processes>{steps}</processes></orderProcess>"
    assert qimen.seen(response(more=more), QIMEN).state == state


def test_an_order_that_a_warehouse_does_not_have():
    told = qimen.seen(response("failure", "E02"), QIMEN)
    assert (told.reply.outcome, told.state) == ("DONE", "none")
    assert qimen.seen(response("failure", "E06"), QIMEN).reply.outcome == "REFUSED"


def test_our_answers_are_read_as_qimen_reads_them():
    for success in (True, False):
        body = qimen.answer(success=success, message="1 < 2")
        assert qimen.reply(body, QIMEN).outcome == ("DONE" if success else "REFUSED")


# What they tell.


CONFIRM = """<?xml version="1.0" encoding="utf-8"?><request><deliveryOrder>
  <deliveryOrderCode>o1-s1</deliveryOrderCode><deliveryOrderId>W1</deliveryOrderId>
  <warehouseCode>WH1</warehouseCode><orderType>JYCK</orderType><status>PARTDELIVERED</status>
  <outBizCode>biz-1</outBizCode><confirmType>1</confirmType>
  <orderConfirmTime>2026-11-11 09:00:00</orderConfirmTime></deliveryOrder>
<packages><package><logisticsCode>SF</logisticsCode><expressCode>SF100</expressCode>
  <packageCode>P1</packageCode><length>30.5</length><width>20</width><height>10</height>
  <weight>1.2345</weight><volume>6.1</volume>
  <items><item><itemCode>A</itemCode><quantity>2</quantity>
    <snList><sn>S1</sn><sn>S2</sn></snList></item>
    <item><itemCode>B</itemCode><quantity>1</quantity></item></items></package>
<package><logisticsCode>SF</logisticsCode><expressCode>SF101</expressCode>
  <theoreticalWeight>0.5</theoreticalWeight>
  <items><item><itemCode>A</itemCode><quantity>1</quantity></item></items></package></packages>
<orderLines><orderLine><orderLineNo>o1-1</orderLineNo><itemCode>A</itemCode>
  <inventoryType>ZP</inventoryType><planQty>4</planQty><actualQty>3</actualQty></orderLine>
<orderLine><orderLineNo>o1-2</orderLineNo><itemCode>B</itemCode><planQty>1</planQty>
  <actualQty>1</actualQty></orderLine></orderLines></request>"""


def told(method, text):
    return qimen.told(method, text.encode(), "HZ", NOW)


def test_a_partial_confirm_with_two_packages():
    [report] = told("deliveryorder.confirm", CONFIRM)
    assert (report.kind, report.report_id, report.consignment_id) == (
        "PARTLY_SHIPPED", "biz-1", "o1-s1"
    )  # fmt: skip
    assert report.at == datetime(2026, 11, 11, 1, tzinfo=UTC)
    assert report.packages == (
        Package(
            "SF", "SF100", "P1", 1_235, (305, 200, 100), 6_100, (Item("A", 2), Item("B", 1)),
            ("S1", "S2"),
        ),
        Package("SF", "SF101", grams=500, items=(Item("A", 1),)),
    )  # fmt: skip
    assert [(line.line, line.sku, line.units) for line in report.lines] == [
        ("o1-1", "A", 3), ("o1-2", "B", 1)
    ]  # fmt: skip
    assert report.wms_ref == "W1"


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("<confirmType>1<", "<confirmType>0<", "SHIPPED"),
        ("<confirmType>1</confirmType>", "", "SHIPPED"),
        ("PARTDELIVERED", "DELIVERED", "PARTLY_SHIPPED"),  # confirmType decides
        ("PARTDELIVERED", "CANCELED", "CANCELLED"),
        ("PARTDELIVERED", "REJECT", "REJECTED"),
        ("PARTDELIVERED", "CANCELEDFAIL", "CANCEL_FAILED"),
    ],
)
def test_what_a_confirm_confirms(old, new, kind):
    assert old in CONFIRM
    [report] = told("deliveryorder.confirm", CONFIRM.replace(old, new))
    assert report.kind == kind


def test_without_an_id_the_same_bytes_are_the_same_report():
    without = CONFIRM.replace("<outBizCode>biz-1</outBizCode>", "")
    [one], [again] = (told("deliveryorder.confirm", without) for _ in range(2))
    [other] = told("deliveryorder.confirm", without.replace("SF100", "SF200"))
    assert one == again
    assert one.report_id != other.report_id
    assert len(one.report_id) == 32


def process(status):
    return (
        "<request><order><orderCode>o1-s1</orderCode></order><process>"
        f"<processStatus>{status}</processStatus></process></request>"
    )


@pytest.mark.parametrize(
    ("status", "kind", "step"),
    [(status, *meaning) for status, meaning in qimen.STATUSES.items()]
    + [("OTHER", "PROGRESS", "other"), ("FULFILLED", "PROGRESS", "other")],
)
def test_what_a_step_means(status, kind, step):
    [report] = told("orderprocess.report", process(status))
    assert (report.kind, report.step, report.consignment_id, report.at) == (
        kind, step, "o1-s1", NOW
    )  # fmt: skip


def test_every_status_of_the_reference_is_known_or_said_to_be_other():
    known = {
        "ACCEPT", "PRINT", "PICK", "CHECK", "PACKAGE", "WEIGH", "READY", "DELIVERED", "SIGN",
        "REFUSE", "EXCEPTION", "CLOSED", "CANCELED", "REJECT", "TMSCANCELED", "TMSCANCELFAILED",
        "PARTDELIVERED", "CANCELEDFAIL",
    }  # fmt: skip
    assert set(qimen.STATUSES) == known
    # that an order has left is told by the confirm alone
    assert not {kind for kind, _ in qimen.STATUSES.values()} & {"SHIPPED", "PARTLY_SHIPPED"}


def test_lacking_goods():
    text = """<request><warehouseCode>WH1</warehouseCode>
      <deliveryOrderCode>o1-s1</deliveryOrderCode><outBizCode>biz-9</outBizCode>
      <createTime>2026-11-11 09:00:00</createTime><items><item><itemCode>A</itemCode>
      <inventoryType>ZP</inventoryType><planQty>4</planQty><lackQty>3</lackQty>
      <reason>实物报缺</reason></item></items></request>"""
    [report] = told("itemlack.report", text)
    assert (report.kind, report.report_id, report.text) == ("LACK", "biz-9", "实物报缺")
    assert report.lines == (Item("A", 3),)


def test_trouble_is_for_people():
    text = """<request><deliveryOrderCode>o1-s1</deliveryOrderCode><messageId>m1</messageId>
      <messageType>ADDRESS</messageType><messageDesc>超区</messageDesc></request>"""
    [report] = told("orderexception.report", text)
    assert (report.kind, report.step, report.report_id) == ("PROGRESS", "trouble", "m1")
    assert report.text == "ADDRESS: 超区"


INVENTORY = """<request><totalPage>2</totalPage><currentPage>2</currentPage><pageSize>50</pageSize>
  <warehouseCode>WH1</warehouseCode><checkOrderCode>C1</checkOrderCode><ownerCode>OWN</ownerCode>
  <outBizCode>biz-5</outBizCode><adjustType>CHECK</adjustType><items>
  <item><itemCode>A</itemCode><inventoryType>CC</inventoryType><quantity>-3</quantity>
    <totalQty>7</totalQty></item>
  <item><itemCode>A</itemCode><quantity>2</quantity></item></items></request>"""


def test_quantities_of_an_inventory_report_are_differences_and_only_totals_are_counts():
    [report] = told("inventory.report", INVENTORY)
    assert (report.kind, report.page, report.pages) == ("STOCK_DELTA", 2, 2)
    first, second = report.lines
    assert (first.units, first.total, first.condition) == (-3, 7, "defective")
    assert (second.units, second.total, second.condition) == (2, None, "good")
    assert (first.owner, first.cause) == ("OWN", "C1")
    assert [line.reference for line in report.lines] == [
        "qimen:HZ:biz-5:2:1", "qimen:HZ:biz-5:2:2"
    ]  # fmt: skip


@pytest.mark.parametrize("page", ["0", "3", "-1"])
def test_a_page_beyond_the_last_one_is_refused(page):
    with pytest.raises(ValidationFailed):
        told("inventory.report", INVENTORY.replace("Page>2</current", f"Page>{page}</current"))


def change(*items):
    rows = "".join(
        f"<item><ownerCode>OWN</ownerCode><warehouseCode>WH1</warehouseCode><orderCode>{order}"
        f"</orderCode><outBizCode>{biz}</outBizCode><itemCode>{sku}</itemCode>"
        f"<quantity>{units}</quantity></item>"
        for order, biz, sku, units in items
    )
    return f"<request><items>{rows}</items></request>"


def test_stock_changes_are_named_by_their_own_ids_whatever_they_come_with():
    one, two, three = ("o1-s1", "b1", "A", -3), ("o1-s1", "b1", "B", -1), ("x", "b2", "A", 5)
    [report] = told("stockchange.report", change(one, two, three))
    assert [(line.reference, line.units, line.cause) for line in report.lines] == [
        ("qimen:HZ:b1:1", -3, "o1-s1"), ("qimen:HZ:b1:2", -1, "o1-s1"), ("qimen:HZ:b2:1", 5, "x")
    ]  # fmt: skip
    [again] = told("stockchange.report", change(three, one, two))
    assert {line.reference: line.units for line in again.lines} == {
        line.reference: line.units for line in report.lines
    }


def test_inventory_types_are_those_of_stock():
    assert set(qimen.INVENTORY_TYPES.values()) == {"ZP", "CC", "JS", "XS", "ZT"}
    assert all(CONDITIONS[word] == plain for plain, word in qimen.INVENTORY_TYPES.items())
    with pytest.raises(ValidationFailed):
        told("inventory.report", INVENTORY.replace("CC", "QQ"))


@pytest.mark.parametrize(
    ("old", "new", "pointer"),
    [
        ("SF100<", "SF1&#10;00<", "/packages/package/0/expressCode"),
        ("SF101<", f"{'9' * 129}<", "/packages/package/1/expressCode"),
        ("<logisticsCode>SF<", "<logisticsCode>S\tF<", "/packages/package/0/logisticsCode"),
        (">o1-s1<", ">o1\x85s1<", "/deliveryOrder/deliveryOrderCode"),
    ],
)
def test_names_that_no_label_could_bear_are_refused_with_their_place(old, new, pointer):
    assert old in CONFIRM
    with pytest.raises(ValidationFailed) as failure:
        told("deliveryorder.confirm", CONFIRM.replace(old, new, 1))
    assert failure.value.extra["errors"][0]["pointer"] == pointer


def test_a_box_with_less_than_nothing_is_refused():
    with pytest.raises(ValidationFailed):
        told("deliveryorder.confirm", CONFIRM.replace("<quantity>2<", "<quantity>-2<"))


def test_methods_that_are_read():
    for method in qimen_fields.IN:
        assert qimen.method_of([("method", f"taobao.qimen.{method}")]) == method
        assert qimen.method_of([("method", method)]) == method
    for query in ([], [("method", "taobao.qimen.entryorder.confirm")]):
        with pytest.raises(ValidationFailed):
            qimen.method_of(query)


def test_what_a_marketplace_hides_is_hidden_and_what_lacks_otherwise_is_refused():
    hidden = Contact("", "", "浙江省", "", "", oaid="oaid-1")
    body = qimen.create(FULL._replace(receiver=hidden), QIMEN)
    values = parsed(qimen_fields.CREATE, body)
    told = [values[f"receiver.{name}"] for name in ("name", "mobile", "province", "city", "oaid")]
    assert told == ["*", "*", "浙江省", "*", "oaid-1"]
    with pytest.raises(ValidationFailed):
        qimen.create(FULL._replace(receiver=hidden._replace(oaid="")), QIMEN)


def test_a_weight_that_nothing_has_is_refused():
    package = {"carrier": "SF", "waybill": "1", "grams": 10**12, "items": []}
    values = {
        "consignment_id": "o1-s1", "packages": [package], "lines": [], "report_id": "r", "at": NOW,
    }  # fmt: skip
    with pytest.raises(ValidationFailed):
        qimen._confirm(values, "N")  # noqa: SLF001 - past the table, which knows no bounds
