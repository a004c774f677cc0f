"""Orders over HTTP: every answer of the one hot call, on the fast way as on the ordinary one."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession

from engine import app as composition
from engine.kernel import codec
from engine.kernel.ids import order_id as order_id_of
from engine.kernel.limits import ORDER_BYTES_MAX
from tests.fault.engines import ADMIN, an_order, certificate, house, id_of

MONEY = {"amount": 100, "currency": "CNY"}


def at(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def line(sku="A", quantity=1, **more):
    return {"sku": sku, "quantity": quantity, "unit_price": MONEY, **more}


def campaign(starts, ends, *skus, **more):
    return {
        "name": "Sale", "starts_at": at(starts), "ends_at": at(ends), "channels": ["mall", "app"],
        "skus": list(skus), **more,
    }  # fmt: skip


def sku(name, units=1_000, **more):
    return {"sku": name, "quota": {"mall": units, "app": units}, **more}


PUTS = [
    ("channels/mall", {"name": "Mall"}),
    ("channels/app", {"name": "App"}),
    ("channels/taobao", {"name": "Taobao", "authority": "external"}),
    ("channels/history", {"name": "History", "authority": "record"}),
    *((f"skus/{name}", {"name": name}) for name in ("A", "B", "G", "L", "N", "P")),
    ("campaigns/sale", campaign(
        -60, 3_600, sku("A"), sku("B"), sku("G", 1), sku("L", per_buyer_limit=2), sku("N", 0),
        sku("P"), hold_seconds=600, grace_seconds=60)),
    ("campaigns/early", campaign(3_600, 7_200, sku("A"))),
    ("campaigns/over", campaign(-7_200, -3_600, sku("A"), at_end="keep")),
    ("campaigns/quiet", campaign(-60, 3_600, sku("A"))),
    ("campaigns/short", campaign(-60, 3_600, sku("A", 2), sku("B"), hold_seconds=1,
                                 grace_seconds=0)),
]  # fmt: skip


@pytest.fixture
async def api(settings, eventually):
    async with house(settings) as here:
        await here.worker("keeper", "sweeper", "publisher", "settler")
        await here.worker("recorder", name="recorder")
        one = await here.api()
        one.house = here
        for path, body in PUTS:
            answer = await one.call("PUT", f"/v1/{path}", body)
            assert answer.status == 201, answer.document

        async def published():
            rows = await one.process.pool.fetch("SELECT FROM cell_rules WHERE NOT applied")
            return not rows

        await eventually(published, within_s=20)
        # everything but the two of the short sale is granted before a test begins
        await eventually(lambda: granted(one), within_s=20)
        yield one


async def granted(api):
    waiting = await api.process.pool.fetchval("SELECT count(*) FROM grants WHERE applied IS NULL")
    return waiting == 0


async def key(api, *scopes, channel=None):
    body = {"name": "k", "scopes": list(scopes)} | ({"channel": channel} if channel else {})
    answer = await api.call("POST", "/v1/keys", body)
    assert answer.status == 201, answer.document
    return f"Bearer {answer.document['key']}"


async def recorded(api, order_id, eventually):
    async def there():
        answer = await api.order(order_id)
        return answer.status == 200 and answer.document["recorded"] and answer

    return await eventually(there)


# What is refused: the fields changed, and status, code and, for a fault, its pointer.
REFUSED = {
    "external": ({"channel": "taobao"}, 422, "wrong_call", None),
    "record": ({"channel": "history"}, 422, "wrong_call", None),
    "no such channel": ({"channel": "fair"}, 400, "validation_failed", "/channel"),
    "no such campaign": ({"campaign": "nothing"}, 422, "unknown_sku", None),
    "not sold here": ({"campaign": "short", "lines": [line("L")]}, 422, "unknown_sku", None),
    "no such SKU": ({"lines": [line(), line("ghost")]}, 422, "unknown_sku", None),
    "nothing left": ({"lines": [line("N")]}, 409, "sold_out", None),
    "more than there is": ({"lines": [line("A", 9_999)]}, 409, "sold_out", None),
    "together too many": ({"lines": [line("A", 600), line("A", 600)]}, 409, "sold_out", None),
    "above the limit": ({"lines": [line("L", 3)]}, 409, "limit_reached", None),
    "in two lines": ({"lines": [line("L", 2), line("L", 1)]}, 409, "limit_reached", None),
    "nobody's limit": (
        {"lines": [line("L")], "buyer_id": ""}, 400, "validation_failed", "/buyer_id",
    ),
    "too early": ({"campaign": "early"}, 409, "not_started", None),
    "too late": ({"campaign": "over"}, 409, "ended", None),
    "owing": ({"lines": [line(on_short="owe")]}, 400, "validation_failed", "/lines/0/on_short"),
    "an unknown field": ({"colour": "red"}, 400, "validation_failed", "/colour"),
    "inside a line": (
        {"lines": [line(), line(colour="red")]}, 400, "validation_failed", "/lines/1/colour",
    ),
    "no lines": ({"lines": []}, 400, "validation_failed", "/lines"),
    "too many lines": ({"lines": [line()] * 201}, 400, "validation_failed", "/lines"),
    "none of it": ({"lines": [line(quantity=0)]}, 400, "validation_failed", "/lines/0/quantity"),
    "a huge quantity": (
        {"lines": [line(quantity=10**30)]}, 400, "validation_failed", "/lines/0/quantity",
    ),
    "a huge price": (
        {"lines": [line(unit_price={**MONEY, "amount": 10**30})]},
        400, "validation_failed", "/lines/0/unit_price/amount",
    ),
    "a number as text": (
        {"lines": [line(quantity="1")]}, 400, "validation_failed", "/lines/0/quantity",
    ),
    "NUL in extensions": (
        {"extensions": {"a": [{"b": "x\x00"}]}}, 400, "validation_failed", "/extensions/a/0/b",
    ),
    "NUL in a name inside": (
        {"extensions": {"a\x00": 1}}, 400, "validation_failed", "/extensions",
    ),
    "NUL in a note": ({"buyer_note": "x\x00"}, 400, "validation_failed", "/buyer_note"),
    "NUL in an id": (
        {"channel_order_id": "x\x00"}, 400, "validation_failed", "/channel_order_id",
    ),
    "another currency": (
        {"amounts": {"payable": {"amount": 100, "currency": "USD"}}},
        400, "validation_failed", "/amounts/payable/currency",
    ),
    "after all years": (
        {"placed_at": "9999-12-31T23:59:59-12:00"}, 400, "validation_failed", "/placed_at",
    ),
}  # fmt: skip


async def test_each_refusal_has_its_status_its_code_and_its_pointer(api):
    paused = await api.call("POST", "/v1/skus/P/pause", {"reason": "why"})
    assert paused.status == 200, paused.document
    await api.call("POST", "/v1/campaigns/quiet/pause", {"reason": "why"})
    table = REFUSED | {
        "a paused SKU": ({"lines": [line(), line("P")]}, 409, "paused", None),
        "a paused campaign": ({"campaign": "quiet"}, 409, "paused", None),
    }
    found, wanted = {}, {}
    for name, (fields, *told) in table.items():
        answer = await api.call("POST", "/v1/orders", an_order(f"refused {name}") | fields)
        errors = answer.document.get("errors") or [{"pointer": None}]
        found[name] = [answer.status, answer.code, errors[0]["pointer"]]
        wanted[name] = told
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.document["type"] == f"urn:tidegate:problem:{answer.code}"
        assert answer.document["status"] == answer.status
        assert answer.document["title"]
        assert answer.document["detail"]
    assert found == wanted
    assert await api.process.pool.fetchval("SELECT count(*) FROM orders") == 0
    await certificate(api)


async def post(api, raw, **headers):
    """Post bytes as they stand."""
    named = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await api.client.post("/v1/orders", data=raw, headers=named)
    return answer.status, codec.decode_json(await answer.read()), answer.headers


async def test_bodies_that_are_no_order(api):
    good = codec.encode(an_order("raw"))
    long = codec.encode(an_order("raw", extensions={"a": "x" * ORDER_BYTES_MAX}))
    answers = [
        await post(api, good, Content_Type="text/plain"),
        await post(api, long),
        await post(api, b"{"),
        await post(api, b""),
        await post(api, b"[]"),
        await post(api, good.replace(b'"b-raw"', b'"\\ud800"')),
        await post(api, good.replace(b'"b-raw"', b'"\\udc00\\ud800"')),
        await post(api, good.replace(b'"b-raw"', b'"\xff"')),
        await post(api, good.replace(b'"raw"', b'"raw","extensions":{"a":1e999}')),
        await post(api, good.replace(b'"raw"', b'"raw","extensions":{"a":' + b"[" * 9_999)),
        await post(api, good, Authorization="Bearer wrong"),
        await post(api, good, Authorization="Basic wrong"),
    ]
    assert [(status, document["code"]) for status, document, _ in answers] == [
        (415, "unsupported_media_type"),
        (413, "payload_too_large"),
        *[(400, "validation_failed")] * 8,
        (401, "unauthorised"),
        (401, "unauthorised"),
    ]
    assert all(headers["X-Request-Id"] for _, _, headers in answers)
    reader = await key(api, "orders:read")
    assert (await post(api, good, Authorization=reader))[1]["code"] == "forbidden"


async def test_numbers_that_nothing_could_hold_are_refused(api, eventually):
    big = 2**63 - 1
    raw = codec.encode(an_order("big", extensions={"a": big, "b": 1e17}, flag=5))
    status, document, _ = await post(api, raw)
    assert status == 202, document
    shown = (await recorded(api, document["order_id"], eventually)).document
    assert shown["document"]["extensions"] == {"a": big, "b": 1e17}
    for narrow, wide, pointer in (
        (b"%d" % big, b"%d" % 2**63, "/extensions/a"),
        (b"1e+17", b"1e300", "/extensions/b"),
        (b'"flag":5', b'"flag":%d' % 10**25, "/flag"),
    ):
        assert narrow in raw
        status, document, _ = await post(api, raw.replace(narrow, wide))
        assert (status, document["errors"][0]["pointer"]) == (400, pointer)


PAID = {"payment": {"status": "paid", "method": "alipay"}}


async def test_an_order_sent_again_as_paid_is_paid_once_and_tells_what_became_of_it(
    api, eventually
):
    assert (await api.buy("pending")).document["status"] == "pending_payment"
    for _ in range(2):
        again = await api.buy("pending", **PAID)
        assert (again.status, again.document["status"]) == (200, "paid")
    assert (await api.buy("paid", **PAID)).document["status"] == "paid"
    await recorded(api, id_of("paid"), eventually)
    assert (await cancel(api, "paid", "c")).status == 200
    again = await api.buy("paid", **PAID)
    assert (again.status, again.document["status"]) == (200, "refund_due")
    await api.buy("cancelled")
    assert (await cancel(api, "cancelled", "c")).status == 200
    await eventually(lambda: given(api, "cancelled", "cancelled"))
    await api.buy("cancelled", **PAID)
    await eventually(lambda: given(api, "cancelled", "refund_due"))
    again = await api.buy("cancelled", **PAID)
    assert (again.status, again.document["status"]) == (200, "refund_due")
    for number in ("pending", "paid", "cancelled"):
        assert len((await recorded(api, id_of(number), eventually)).document["payments"]) == 1
    await eventually(lambda: settled_returns(api))
    await certificate(api)


async def given(api, number, word):
    shown = (await api.order(id_of(number))).document
    return shown["recorded"] and shown["status"] == word


async def settled_returns(api):
    return not await api.process.pool.fetch("SELECT FROM stock_returns WHERE log_id = ''")


async def test_an_accepted_order_says_all_a_shop_needs(api, eventually):
    body = an_order("1", ("A", 2), ("B", 1), amounts={"shipping": {**MONEY, "amount": 12}})
    answer = await api.call("POST", "/v1/orders", body, Idempotency_Key="k-1")
    order_id = id_of("1")
    assert answer.status == 202
    assert answer.headers["Location"] == f"/v1/orders/{order_id}"
    assert answer.headers["Idempotency-Key"] == "k-1"
    assert answer.headers["Tidegate-Durability"] == "fsync"
    assert "Idempotency-Replayed" not in answer.headers
    pay_by = datetime.fromisoformat(answer.document.pop("pay_by"))
    assert timedelta(seconds=590) < pay_by - datetime.now(UTC) < timedelta(seconds=610)
    assert answer.document == {
        "order_id": order_id,
        "status": "pending_payment",
        "payable": {"amount": 312, "currency": "CNY"},
        "lines": [
            {"line_id": f"{order_id}-1", "sku": "A", "quantity": 2},
            {"line_id": f"{order_id}-2", "sku": "B", "quantity": 1},
        ],
    }
    again = await api.call("POST", "/v1/orders", body, Idempotency_Key="k-2", Prefer="wait=1")
    assert (again.status, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.headers["Idempotency-Key"] == "k-2"
    assert datetime.fromisoformat(again.document.pop("pay_by")) == pay_by
    assert again.document == answer.document
    other = await api.call("POST", "/v1/orders", body | {"lines": [line()]}, Idempotency_Key="k-1")
    assert other.code == "idempotency_conflict"
    for odd in ("x" * 129, "a\tb"):
        echoed = await api.call("POST", "/v1/orders", body, Idempotency_Key=odd)
        assert echoed.status == 200
        assert "Idempotency-Key" not in echoed.headers
    shown = (await recorded(api, order_id, eventually)).document
    assert shown["payable"] == answer.document["payable"]
    assert shown["document"] == body


async def test_waiting_answers_201_once_recorded_and_else_202(api, eventually):
    waited = await api.call("POST", "/v1/orders", an_order("1"), Prefer="respond-async, wait=10")
    assert waited.status == 201
    assert (await api.order(id_of("1"))).document["recorded"]
    await api.house.stop("recorder")
    given_up = await api.call("POST", "/v1/orders", an_order("2"), Prefer="wait=1")
    assert given_up.status == 202
    for odd in ("wait", "wait=", "wait=x", "wait=-1", "await=1"):
        answer = await api.call("POST", "/v1/orders", an_order(odd), Prefer=odd)
        assert answer.status == 202
    shown = (await api.order(id_of("2"))).document
    assert (shown["recorded"], shown["status"]) == (False, "pending_payment")
    await api.house.worker("recorder", name="recorder")
    await recorded(api, id_of("2"), eventually)


# An order as it is shown before and after the recorder came to it: how it is posted, and its axes.
SHOWN = {
    "pending": ({}, ("pending_payment", "open", "unpaid", "held")),
    "paid": (
        {"payment": {"status": "paid", "method": "alipay"}},
        ("paid", "open", "paid", "committed"),
    ),
    "on delivery": (
        {"payment": {"status": "on_delivery"}},
        ("paid", "open", "on_delivery", "committed"),
    ),
}


async def test_an_order_is_shown_alike_before_and_after_it_is_recorded(api, eventually):
    await api.house.stop("recorder")
    before = {}
    for name, (fields, wanted) in SHOWN.items():
        assert (await api.call("POST", "/v1/orders", an_order(name) | fields)).status == 202
        shown = (await api.order(id_of(name))).document
        assert shown.pop("recorded") is False
        before[name] = shown
        assert axes(shown) == wanted, name
    await api.house.worker("recorder", name="recorder")
    later = {"channel_order_id", "placed_at", "payments", "timeline", "document"}
    for name, shown in before.items():
        after = (await recorded(api, id_of(name), eventually)).document
        assert after.pop("recorded") is True
        assert {k: v for k, v in shown.items() if k not in later} == {
            k: v for k, v in after.items() if k not in later
        }
        assert [entry["kind"] for entry in after["timeline"]] == ["order.reserved"]


def axes(shown):
    return shown["status"], shown["state"], shown["payment_state"], shown["stock_state"]


async def test_what_postgres_does_not_know_yet_is_told_by_the_cell(api, eventually):
    """A repeat and a reading both tell the present, however far behind the recorder is."""
    for number in ("cancelled", "paid", "late"):
        await api.buy(number, campaign="short" if number == "late" else "sale")

    async def expired():
        shown = (await api.order(id_of("late"))).document
        return shown["recorded"] and shown["status"] == "expired"

    await eventually(expired, within_s=15)
    await api.house.stop("recorder")
    assert (await cancel(api, "cancelled", "c")).status == 200
    for number in ("paid", "late"):
        assert (await api.pay(id_of(number), "p", 100)).document["state"] == "applied"
    for number, word in (("cancelled", "cancelled"), ("paid", "paid"), ("late", "paid")):
        again = await api.buy(number, campaign="short" if number == "late" else "sale")
        shown = await api.order(id_of(number))
        assert (again.status, again.document["status"]) == (200, word), number
        assert shown.document["status"] == word, number


async def test_a_gift_that_ran_out_is_dropped_and_nothing_else(api, eventually):
    lines = [line(), line("G", kind="gift", on_short="drop")]
    first = await api.call("POST", "/v1/orders", an_order("1", lines=lines))
    second = await api.call("POST", "/v1/orders", an_order("2", lines=lines))
    assert [one["quantity"] for one in first.document["lines"]] == [1, 1]
    assert [one["quantity"] for one in second.document["lines"]] == [1, 0]
    assert (first.document["payable"]["amount"], second.document["payable"]["amount"]) == (200, 100)
    again = await api.call("POST", "/v1/orders", an_order("2", lines=lines))
    assert (again.status, again.document) == (200, second.document)
    shown = (await recorded(api, id_of("2"), eventually)).document
    assert [one["open_quantity"] for one in shown["lines"]] == [1, 0]
    assert [one["payable"]["amount"] for one in shown["lines"]] == [100, 0]
    await certificate(api)


async def test_a_bound_key_reads_and_writes_its_own_channel_alone(api, eventually):
    await api.call("POST", "/v1/orders", an_order("1"))
    await api.call("POST", "/v1/orders", an_order("2", channel="app"))
    await recorded(api, id_of("1"), eventually)
    await recorded(api, order_id_of("main", "app", "2"), eventually)
    app = await key(api, "orders:read", "orders:write", channel="app")
    own = await api.call("GET", "/v1/orders", Authorization=app)
    assert [one["channel_order_id"] for one in own.document["items"]] == ["2"]
    others = await api.call("GET", "/v1/orders?channel=mall", Authorization=app)
    assert others.document == {"items": [], "next_cursor": None}
    pay = {"payment_id": "p", "amount": MONEY}
    answers = [
        await api.call("GET", f"/v1/orders/{id_of('1')}", Authorization=app),
        await api.call("POST", f"/v1/orders/{id_of('1')}/payments", pay, Authorization=app),
        await api.call(
            "POST", f"/v1/orders/{id_of('1')}/cancel", {"cancel_id": "c"}, Authorization=app
        ),
    ]
    assert [(one.status, one.code) for one in answers] == [(404, "not_found")] * 3
    posted = await api.call("POST", "/v1/orders", an_order("3"), Authorization=app)
    assert posted.status in {403, 404}
    assert (await api.order(id_of("1"))).document["status"] == "pending_payment"


async def test_an_order_nobody_knows(api):
    pay = {"payment_id": "p", "amount": MONEY}
    answers = [
        await api.order(id_of("nothing")),
        await api.call("POST", f"/v1/orders/{id_of('nothing')}/payments", pay),
        await api.call("POST", f"/v1/orders/{id_of('nothing')}/cancel", {"cancel_id": "c"}),
    ]
    assert [(one.status, one.code) for one in answers] == [(404, "not_found")] * 3


async def pages(api, query, limit):
    found, cursor = [], ""
    while cursor is not None:
        page = await api.call("GET", f"/v1/orders?limit={limit}{query}&cursor={cursor}")
        assert page.status == 200, page.document
        assert len(page.document["items"]) <= limit
        found += [one["channel_order_id"] for one in page.document["items"]]
        cursor = page.document["next_cursor"]
    return found


async def test_lists_show_every_order_once_newest_first(api):
    """Many share an instant: those are told apart by their id, on whatever page they fall."""
    day = "2026-11-11T00:00:0{}Z"
    numbers = [str(n) for n in range(23)]
    for n in numbers:
        body = an_order(n, placed_at=day.format(int(n) // 8))
        body |= {"channel": "app"} if int(n) % 5 == 0 else {}
        assert (await api.call("POST", "/v1/orders", body)).status == 202
    await api.cancel(id_of("1"), "c")
    await api.pay(id_of("2"), "p", 100)
    # placed long ago, so each was looked up first; that must not have made it a repeat
    await certificate(api)
    whole = await pages(api, "", 500)
    assert sorted(whole) == sorted(numbers)
    assert [int(n) // 8 for n in whole] == sorted((int(n) // 8 for n in numbers), reverse=True)
    for limit in (1, 7, 8):
        assert await pages(api, "", limit) == whole
    app = [n for n in whole if int(n) % 5 == 0]
    filters = {
        "&channel=app": app,
        "&channel=nothing": [],
        "&channel_order_id=7": ["7"],
        "&channel_order_id=5&channel=app": ["5"],
        "&channel_order_id=7&channel=app": [],
        "&status=cancelled": ["1"],
        "&status=paid": ["2"],
        "&status=pending_payment&channel=app": app,
        "&block=manual": [],
        "&placed_from=2026-11-11T00:00:02Z": [n for n in whole if int(n) // 8 == 2],
        "&placed_to=2026-11-11T00:00:01Z": [n for n in whole if int(n) // 8 == 0],
        "&placed_from=2026-11-11T08:00:01%2B08:00&placed_to=2026-11-11T00:00:02Z": [
            n for n in whole if int(n) // 8 == 1
        ],
    }
    for query, wanted in filters.items():
        assert await pages(api, query, 3) == wanted, query


# fmt: off
BAD_QUERIES = {
    "no limit":            "limit=0",
    "a limit too high":    "limit=501",
    "a strange limit":     "limit=x",
    "a strange cursor":    "cursor=x",
    "another list's":      "cursor=WyJhIl0",                                # ["a"]
    "no instant in it":    "cursor=WyJhIiwiYiJd",                           # ["a","b"]
    "an instant, no zone": "cursor=WyIyMDI2LTExLTExVDAwOjAwOjAwIiwiYiJd",   # and "b"
    "a moment, no zone":   "placed_from=2026-11-11T00:00:00",
    "no moment":           "placed_to=yesterday",
    "before all years":    "placed_to=0001-01-01T00:00:00%2B14:00",
    "after all years":     "placed_from=9999-12-31T23:59:59-14:00",
    "NUL in a filter":     "channel=%00",
    "too long a filter":   "status=" + "x" * 129,
}
# fmt: on


async def test_a_query_that_makes_no_sense_is_refused(api):
    found = {}
    for name, query in BAD_QUERIES.items():
        answer = await api.call("GET", f"/v1/orders?{query}")
        found[name] = (answer.status, answer.code)
    assert found == dict.fromkeys(BAD_QUERIES, (400, "validation_failed"))


async def cancel(api, number, cancel_id, *lines):
    body = {
        "cancel_id": cancel_id,
        "reason": "changed mind",
        "lines": [{"line_id": f"{id_of(number)}-{n}", "quantity": units} for n, units in lines],
    }
    return await api.call("POST", f"/v1/orders/{id_of(number)}/cancel", body)


@pytest.mark.parametrize("paid", [False, True], ids=["unpaid", "paid"])
async def test_lines_are_cancelled_with_their_money(api, eventually, paid):
    """Three units for 100 and one for 100: what is left over of a division stays to the last."""
    lines = [line(quantity=3, payable=MONEY), line("B")]
    await api.call("POST", "/v1/orders", an_order("1", lines=lines))
    if paid:
        assert (await api.pay(id_of("1"), "p", 200)).document["state"] == "applied"
    answers = [
        await cancel(api, "1", "c1", (1, 1)),
        await cancel(api, "1", "c1", (1, 1)),
        await cancel(api, "1", "c2", (1, 1), (2, 1)),
        await cancel(api, "1", "c3", (1, 2)),
        await cancel(api, "1", "c4", (9, 1)),
        await cancel(api, "1", "c5", (1, 1)),
        await cancel(api, "1", "c5", (1, 1)),
    ]
    told = [
        (one.status, one.document.get("state"), one.document.get("payable", {}).get("amount"))
        for one in answers
    ]
    assert told == [
        (200, "open", 167),
        (200, "open", 167),
        (200, "open", 34),
        (409, None, None),
        (409, None, None),
        (200, "cancelled", 0),
        (200, "cancelled", 0),
    ]
    assert {one.code for one in answers[3:5]} == {"not_cancellable"}

    async def settled():
        shown = (await api.order(id_of("1"))).document
        left = [one["open_quantity"] for one in shown["lines"]]
        return shown["recorded"] and left == [0, 0] and shown

    shown = await eventually(settled)
    money = "refund_due" if paid else "unpaid"
    assert axes(shown)[1:] == ("cancelled", money, "released")
    await eventually(lambda: given_back(api))
    await certificate(api)


async def given_back(api):
    row = await api.process.pool.fetchrow("SELECT sum(held) AS held, sum(sold) AS sold FROM pools")
    return (row["held"], row["sold"]) == (0, 0)


async def test_cancels_that_make_no_sense(api):
    await api.buy("1", ("A", 2))
    path = f"/v1/orders/{id_of('1')}/cancel"
    bodies = [
        {},
        {"cancel_id": ""},
        {"cancel_id": "a\x00"},
        {"cancel_id": "c", "reason": "x\x00"},
        {"cancel_id": "c", "lines": [{"line_id": "other-1", "quantity": 1}]},
        {"cancel_id": "c", "lines": [{"line_id": f"{id_of('1')}-1", "quantity": 0}]},
        {"cancel_id": "c", "colour": "red"},
    ]
    answers = [await api.call("POST", path, body) for body in bodies]
    assert [one.code for one in answers] == ["validation_failed"] * len(bodies)
    assert answers[4].document["errors"][0]["pointer"] == "/lines/0/line_id"
    assert (await api.order(id_of("1"))).document["status"] == "pending_payment"


async def test_payments_that_make_no_sense(api):
    await api.buy("1")
    path = f"/v1/orders/{id_of('1')}/payments"
    good = {"payment_id": "p", "amount": MONEY}
    bodies = [
        {},
        good | {"payment_id": "\x1f"},
        good | {"method": "a\x00"},
        good | {"stage": "third"},
        good | {"paid_at": "yesterday"},
        good | {"paid_at": "9999-12-31T23:59:59-12:00"},
        good | {"colour": "red"},
    ]
    answers = [await api.call("POST", path, body) for body in bodies]
    assert [one.code for one in answers] == ["validation_failed"] * len(bodies)
    for amount in ({**MONEY, "amount": 99}, {**MONEY, "currency": "USD"}, {**MONEY, "amount": -1}):
        answer = await api.call("POST", path, good | {"amount": amount})
        assert (answer.status, answer.code) == (422, "wrong_amount")
        assert answer.document["expected"] == MONEY
    paid = await api.call("POST", path, good)
    assert (paid.status, paid.document["state"]) == (200, "applied")


async def test_paying_after_expiry_takes_what_is_there_and_else_is_to_be_given_back(
    api, eventually
):
    for number in ("1", "2"):
        answer = await api.buy(number, campaign="short")
        assert answer.status == 202, answer.document

    async def expired():
        shown = [(await api.order(id_of(n))).document for n in ("1", "2")]
        return all(one["recorded"] and one["status"] == "expired" for one in shown)

    await eventually(expired, within_s=15)
    assert (await api.pay(id_of("1"), "p", 100)).document["state"] == "applied"
    taken = an_order("3", campaign="short", payment={"status": "paid"})
    assert (await api.call("POST", "/v1/orders", taken)).status == 202
    late = await api.pay(id_of("2"), "p", 100)
    assert (late.document["state"], late.document["reason"]) == ("refund_due", "no_stock")

    async def told():
        shown = [(await api.order(id_of(n))).document for n in ("1", "2")]
        return [(one["status"], one["attempt"]) for one in shown] == [
            ("paid", 2),
            ("refund_due", 1),
        ]

    await eventually(told)
    await certificate(api)


async def test_the_fast_way_and_the_ordinary_one_answer_the_same(api):
    """HTTP/1.0 and an expectation go the ordinary way; so does everything without the front."""
    runner = api.client.server.runner
    composition._put_in_front(runner, api.client.app)  # noqa: SLF001 - as a process starts it
    answers = {}
    for way, number, extra in (
        ("fast", "w", ""),
        ("1.0", "w", ""),
        ("expect", "w", "Expect: 100-continue\r\n"),
    ):
        version = "1.0" if way == "1.0" else "1.1"
        answers[way] = [
            await raw_post(api, version, an_order(number), extra),
            await raw_post(api, version, an_order(number, ("N", 1)), extra),
            await raw_post(api, version, an_order("x", ("A", 9_999)), extra),
            await raw_post(api, version, {"channel": "mall"}, extra),
        ]
        if way == "fast":
            assert answers[way].pop(0)[0] == 202
            answers[way].insert(0, await raw_post(api, version, an_order(number), extra))
    assert [one[0] for one in answers["fast"]] == [200, 422, 409, 400]
    assert answers["1.0"] == answers["fast"]
    assert answers["expect"] == answers["fast"]


async def raw_post(api, version, body, extra):
    """Return status, sorted headers without what must vary, and the document."""
    raw = codec.encode(body)
    head = (
        f"POST /v1/orders HTTP/{version}\r\nHost: test\r\nAuthorization: Bearer {ADMIN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n"
        f"Connection: close\r\n{extra}\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
    writer.write(head.encode() + raw)
    text = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    text = text.removeprefix("HTTP/1.1 100 Continue\r\n\r\n")
    top, _, document = text.partition("\r\n\r\n")
    first, *lines = top.split("\r\n")
    headers = dict(one.split(": ", 1) for one in lines)
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", headers.pop("X-Request-Id"))
    assert headers.pop("Date")
    headers.pop("Connection", None)
    return int(first.split(" ")[1]), sorted(headers.items()), document


async def test_a_request_id_and_a_trace_are_carried_through_on_both_ways(api, eventually):
    composition._put_in_front(api.client.server.runner, api.client.app)  # noqa: SLF001 - as above
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for path in ("/v1/orders", "/v1/orders?ordinary"):
        url = str(api.client.make_url(path))
        headers = {
            "Authorization": f"Bearer {ADMIN}", "X-Request-Id": "mine", "traceparent": trace,
        }  # fmt: skip
        async with (  # a connection of its own: the front is new to it
            ClientSession() as session,
            session.post(url, json=an_order("1"), headers=headers) as answer,
        ):
            assert answer.headers["X-Request-Id"] == "mine"
            assert answer.headers["traceparent"] == trace
    assert (await recorded(api, id_of("1"), eventually)).document["trace"] == trace


async def test_an_order_is_recorded_with_the_trace_that_it_was_placed_in(api, eventually):
    trace = "00-{:032x}-00f067aa0ba902b7-00"
    headers = {"Authorization": f"Bearer {ADMIN}"}
    for path, body, traced in (
        ("/v1/orders:batch", {"orders": [an_order("1"), an_order("2")]}, 1),
        ("/v1/orders", an_order("1"), 2),  # the same order again, by another request
        ("/v1/orders", an_order("3"), 0),  # no trace has that id
    ):
        headers["traceparent"] = trace.format(traced)
        async with api.client.post(path, json=body, headers=headers) as answer:
            assert answer.status < 300
    shown = [await recorded(api, id_of(number), eventually) for number in "123"]
    found = [one.document["trace"] for one in shown]
    assert found == [trace.format(1), trace.format(1), ""]
