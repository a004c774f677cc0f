"""A consignment with everything in it, and how it is sent."""

from datetime import UTC, date, datetime

from engine.wms.types import Access, Consignment, Contact, Line

NOW = datetime(2026, 11, 11, 0, 20, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1_000)
QIMEN = Access(
    "HZ", "qimen", "http://127.0.0.1/router", ("s3cret", "older"), warehouse="WH1", owner="OWN",
    app_key="key", customer="cust",
    codes={"E01": "exists", "E02": "no_such_order", "E03": "too_late", "E04": "cancelled",
           "E05": "invalid", "E06": "busy"},
)  # fmt: skip
PLAIN = QIMEN._replace(language="plain")
RECEIVER = Contact(
    "张三", "13800000000", "浙江省", "杭州市", '文一西路 969 号 <3 & "4"', district="余杭区",
    town="仓前街道", phone="0571-1", postcode="310000", country="CN", oaid="oaid-1",
)  # fmt: skip
SENDER = Contact("仓库", "13900000000", "上海市", "上海市", "某路 1 号", district="青浦区")
FULL = Consignment(
    "f7f335ee7020c188fdd0d28cad-s1", "exchange", datetime(2026, 11, 11, 0, 10, tzinfo=UTC),
    datetime(2026, 11, 10, 16, 0, 1, tzinfo=UTC), "旗舰店", "SF", RECEIVER, SENDER,
    (
        Line(
            "f7f335ee7020c188fdd0d28cad-1", "SKU-1", 2, 9_950, list_price=10_000, discount=100,
            owner="OTHER", condition="box_damaged", batch="B7", produced_on=date(2026, 1, 2),
            expires_on=date(2027, 1, 2), order_code="T1", line_code="T1-1",
        ),
        Line("f7f335ee7020c188fdd0d28cad-2", "SKU-2", 1, 5),
    ),
    platform="TM", waybill="SF1", paid_at=datetime(2026, 11, 10, 16, 0, 9, tzinfo=UTC),
    payment="PAY1", total=19_905, items=20_005, discount=100, freight=0, due=0, paid=19_905,
    flags=("COD", "PRESELL"), delivery="PTPS", ship_by=datetime(2026, 11, 12, tzinfo=UTC),
    deliver_by=datetime(2026, 11, 14, tzinfo=UTC), note="放门口",
)  # fmt: skip
LEAST = FULL._replace(
    kind="sale", lines=FULL.lines[1:], platform="", waybill="", paid_at=None, payment="",
    total=None, items=None, discount=None, freight=None, due=None, paid=None, flags=(),
    delivery="", ship_by=None, deliver_by=None, note="",
    receiver=Contact("李*", "138****", "浙江省", "杭州市", "***"),
)  # fmt: skip
