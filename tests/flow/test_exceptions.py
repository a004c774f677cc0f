"""What waits for a person is listed once, remedied in bulk, and leaves; each is made by a story."""

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import msgspec
import pytest

from engine import settings as settings_of
from engine.desk import command
from engine.desk.service.remedying import Hands
from engine.infra import jobs
from engine.infra.http.auth import ADMIN, Principal
from engine.kernel.errors import Misconfigured
from engine.kernel.ids import line_id
from tests.conftest import eventually
from tests.fault.engines import id_of as mall_id
from tests.fault.engines import open_sale
from tests.fault.marketplace import (
    PRICE,
    TMALL,
    id_of,
    line,
    open_shops,
    recorded,
    snapshot,
    synced,
)
from tests.flow.fulfilment import SECRET, brand
from tests.flow.test_parcels import Post
from tests.flow.test_payments import close, open_again

LIST = "/v1/exceptions"
DEAD_ENTRY = """
INSERT INTO dead_letters (cell, log_id, order_id, kind, reason, event, payload)
VALUES ('1', '1-0', $1, 'reserved', E'CheckViolation: no\nDETAIL: 张三', '', '')
"""
UNKNOWN = {"listing": {"item_id": "gone", "sku_id": ""}, "quantity": 1, "unit_price": PRICE}
PARTY = {"name": "张三", "phone": "13800000000", "address": "中山路 1 号", "country": "CN"}


class Desk:
    """What is asked of the desk."""

    def __init__(self, api):
        self.api, self.runs = api, 0

    async def page(self, query="", status=200, **headers):
        answer = await self.api.call("GET", f"{LIST}{query}", **headers)
        assert answer.status == status, answer.document
        return answer.document

    async def items(self, query="", **headers):
        return (await self.page(query, **headers))["items"]

    async def codes(self, query="", **headers):
        return sorted(one["code"] for one in await self.items(query, **headers))

    async def there(self, *codes, query=""):
        """Wait until these wait, and nothing else does; return them by code."""

        async def waits():
            found = await self.items(query)
            assert sorted(one["code"] for one in found) == sorted(codes)
            return {one["code"]: one for one in found}

        return await eventually(waits, within_s=20) if codes else await self.none(query)

    async def none(self, query=""):
        async def empty():
            return not await self.items(query)

        return await eventually(empty, within_s=20)

    async def ask(self, remedy, status=200, headers=None, **fields):
        body = {"remedy": remedy} | fields
        answer = await self.api.call("POST", f"{LIST}:remedy", body, **(headers or {}))
        assert answer.status == status, answer.document
        return answer.document

    async def do(self, remedy, status=200, **fields):
        """The dry run tells the number, the real run does it; return what became of each."""
        fields = {"reason": "looked at"} | fields
        told = await self.ask(remedy, **fields)
        assert told["dry_run"], "nothing is done unless it is said"
        self.runs += 1
        real = {
            "dry_run": False, "remedy_id": f"r{self.runs}", "expect_max": told["touches"],
        }  # fmt: skip
        done = await self.ask(remedy, status, **(fields | real))
        again = await self.ask(remedy, status, **(fields | real))
        assert again == done, "the same id again has the same answer"
        return [(one["outcome"], one["order_id"]) for one in done["results"]]


@pytest.fixture
async def api(here):
    return await here.api()


async def test_a_marketplaces_orders_and_its_confirmations(api):  # noqa: PLR0915 - one story
    desk = Desk(api)
    await open_shops(api, A=1)
    ship_by = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
    assert await synced(
        api,
        snapshot("1", 1, "paid"),
        snapshot("2", 1, "paid", line("A", 3), promise={"ship_by": ship_by},
                 ship_to=PARTY),
        snapshot("3", 1, "paid", UNKNOWN),
    ) == ["created"] * 3  # fmt: skip
    await recorded(api)
    found = await desk.there("short", "unmapped_sku", "unmapped_listing")
    first, *_ = await desk.items()
    short = found["short"]
    assert first == short, "what has to leave is before what has no such instant"
    assert (short["order_id"], short["channel"], short["channel_order_id"]) == (
        id_of("2"), TMALL, "2",
    )  # fmt: skip
    assert (short["at_risk"], short["overdue"]) == ({"amount": 300, "currency": "CNY"}, False)
    assert [one["remedy"] for one in short["remedies"]] == [
        "send_to_manual", "cancel_order", "count_stock",
    ]  # fmt: skip
    assert "张三" not in str(found)
    assert "13800000000" not in str(found)
    link = found["unmapped_listing"]
    assert (link["subject"], link["channel"], link["order_id"]) == ("gone", TMALL, "")
    # what the single call refuses, the bulk call skips
    assert await desk.do("cancel_order", code="short") == [("skipped", id_of("2"))]

    await Post(api).ship()
    given = []

    async def due():
        path = f"/v1/acks?channel={TMALL}&due=true"
        given.extend((await api.call("GET", path)).document["items"])
        return given

    await eventually(due, within_s=10)
    refused = {
        "parcel_id": given[0]["parcel_id"], "version": given[0]["version"], "accepted": False,
        "permanent": True, "reason": "no such order",
    }  # fmt: skip
    told = {"channel": TMALL, "items": [refused]}
    assert (await api.call("POST", "/v1/acks:result", told)).status == 200
    (failed,) = await desk.items("?code=ack_failed")
    assert (failed["order_id"], failed["subject"]) == (id_of("1"), given[0]["parcel_id"])
    assert (failed["reason"], failed["at_risk"]["amount"]) == ("no such order", 100)
    assert await desk.do("retry_ack", code="ack_failed") == [("done", id_of("1"))]
    (again,) = (await api.call("GET", f"/v1/acks?channel={TMALL}&due=true")).document["items"]
    assert again["parcel_id"] == given[0]["parcel_id"]

    # its node has no system: the call that asked for the parcel was given up
    await desk.there("short", "unmapped_listing", "unmapped_sku", "dead_job")
    rows = (await api.call("GET", f"{LIST}:summary")).document["items"]
    assert (rows[0]["code"], rows[0]["overdue"]) == ("dead_job", 1)
    del rows[0]
    assert [(one["code"], one["channel"], one["count"], one["capped"]) for one in rows] == [
        ("short", TMALL, 1, False), ("unmapped_listing", TMALL, 1, False),
        ("unmapped_sku", TMALL, 1, False),
    ]  # fmt: skip
    assert rows[0]["at_risk"] == [{"amount": 300, "currency": "CNY"}]
    assert rows[0]["next_ship_by"] == short["ship_by"]
    assert await desk.codes("?sku=A") == ["dead_job", "short"]
    assert await desk.codes("?overdue=true") == ["dead_job"]
    assert await desk.codes("?min_age=3600") == []
    soon = quote((datetime.now(UTC) + timedelta(hours=4)).isoformat())
    assert await desk.codes(f"?ship_by_before={soon}") == ["dead_job", "short"]
    shown = await (await api.client.get("/metrics")).text()
    assert 'tidegate_exceptions{code="short"} 1.0' in shown


async def test_our_own_orders_their_blocks_and_their_money(api):  # noqa: PLR0915 - one story
    desk = Desk(api)
    pool = api.process.pool
    await open_sale(api, A=20)
    for n in range(5):
        await api.buy(str(n), ("A", 1))
        await api.pay(mall_id(str(n)), "p", 100)
    await recorded(api)
    assert await desk.items() == []
    for n in range(3):
        body = {"code": "review", "reason": "odd", "line_id": line_id(mall_id("1"), 1)}
        if n != 1:
            del body["line_id"]
        path = f"/v1/orders/{mall_id(str(n))}/blocks"
        assert (await api.call("POST", path, body)).status == 200
    assert await desk.codes() == ["review"] * 3
    seen, cursor = [], ""
    while cursor is not None:
        page = await desk.page(f"?limit=1{cursor and f'&cursor={cursor}'}")
        seen += [one["order_id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [mall_id(str(n)) for n in range(3)], "the oldest first, each once"

    # two runs at once, under two names: each order is let go by one of them
    body = {"code": "review", "reason": "fine", "dry_run": False, "expect_max": 3}
    asked = [api.call("POST", f"{LIST}:remedy", body | {"remedy": "approve", "remedy_id": name})
             for name in ("a", "b")]  # fmt: skip
    first, second = [one.document for one in await asyncio.gather(*asked)]
    done = [one["order_id"] for run in (first, second) for one in run["results"]
            if one["outcome"] == "done"]  # fmt: skip
    assert sorted(done) == sorted(seen)
    lifted = "SELECT count(*) FROM events WHERE kind = 'order.unblocked'"
    assert await pool.fetchval(lifted) == 3
    assert await desk.items() == []

    # too many, twice the same name for something else, nobody's
    path = f"/v1/orders/{mall_id('0')}/blocks"
    await api.call("POST", path, {"code": "manual", "reason": "odd"})
    none = {"code": "manual", "reason": "x", "dry_run": False, "remedy_id": "c", "expect_max": 0}
    refused = await desk.ask("lift_block", 409, **none)
    assert (refused["code"], refused["touches"]) == ("conflict", 1)
    assert await desk.codes() == ["manual"]
    (item,) = await desk.items()
    assert await desk.do("lift_block", ids=[item["id"], "block:manual:none"]) == [
        ("done", mall_id("0")), ("skipped", ""),
    ]  # fmt: skip
    again = none | {"remedy_id": "r1", "expect_max": 9}
    assert (await desk.ask("lift_block", 422, **again))["code"] == "idempotency_conflict"

    # money that is to go back
    await api.cancel(mall_id("3"), "c1")
    due = (await desk.there("refund_due"))["refund_due"]
    assert (due["order_id"], due["at_risk"]["amount"]) == (mall_id("3"), 100)
    await api.pay(mall_id("4"), "p2", 100)
    await desk.there("refund_due", "refund_due")
    for number in ("3", "4"):
        refund = {"refund_id": "f", "kind": "allowance", "state": "done",
                  "amount": {"amount": 100, "currency": "CNY"}}  # fmt: skip
        path = f"/v1/orders/{mall_id(number)}/refunds"
        assert (await api.call("POST", path, refund)).status == 200
    assert await desk.none()

    # paid while the cell is closed
    await api.buy("9", ("A", 1))
    await recorded(api)
    await close(api)
    assert (await api.pay(mall_id("9"), "p", 100)).status == 202
    (waits,) = await desk.items()
    assert (waits["code"], waits["order_id"]) == ("payment_waiting", mall_id("9"))
    assert waits["at_risk"]["amount"] == 100
    await open_again(api)
    assert await desk.none()

    # what cannot be told as a short story: a recorder's dead letter, and an order it spoilt
    await pool.execute(DEAD_ENTRY, mall_id("4"))
    attention = "UPDATE orders SET attention = $2 WHERE order_id = $1"
    await pool.execute(attention, mall_id("2"), "return: UNKNOWN")
    found = await desk.there("dead_entry", "needs_attention")
    assert found["dead_entry"]["reason"] == "reserved: CheckViolation: no"
    assert found["needs_attention"]["reason"] == "return: UNKNOWN"
    await pool.execute(attention, mall_id("2"), "")
    await desk.there("dead_entry")
    assert await desk.do("settle_letter", code="dead_entry") == [("done", mall_id("4"))]
    assert await desk.none()


@asynccontextmanager
async def selling(settings, pg, **more):
    async with brand(settings, pg, eventually, **more) as one:
        await one.activate()
        yield one, Desk(one.api)


async def test_what_no_node_can_send_and_what_is_done_of_it(settings, pg):  # noqa: PLR0915 - one story
    async with selling(settings, pg) as (one, desk):
        rule = {"name": "all", "when": "true", "reason": "looked at"}
        await one.put("/v1/review-rules", {"rules": [rule]})
        order_id = await one.buy("1", ("cup", 3))
        review = (await desk.there("review"))["review"]
        assert (review["reason"], review["at_risk"]["amount"]) == ("looked at", 300)
        lines = [{"node": node, "sku": "cup", "quantity": n} for node, n in
                 (("hangzhou", 2), ("beijing", 10))]  # fmt: skip
        lost = {"reference": "lost", "kind": "damage", "lines": lines}
        await one.call("POST", "/v1/inventory/movements", lost)
        short = (await desk.there("review", "stock_short"))["stock_short"]
        assert (short["sku"], short["order_id"], short["at_risk"]) == ("cup", "", None)
        assert await desk.do("approve", code="review") == [("done", order_id)]
        waiting = ("unfillable", "broken_promise", "stock_short")
        found = await desk.there(*waiting)
        assert found["broken_promise"]["line_id"] == line_id(order_id, 1)
        assert found["broken_promise"]["at_risk"]["amount"] == 300
        since = found["unfillable"]["since"]
        assert await desk.do("route_again", code="unfillable") == [("done", order_id)]

        async def tried():
            rows = await desk.items("?code=unfillable")
            return rows and rows[0]["since"] != since

        await eventually(tried, within_s=20)
        assert await desk.do("send_to_manual", code="unfillable") == [("done", order_id)]
        await eventually(lambda: desk.items("?code=manual"), within_s=20)
        held = "SELECT queue = 'HELD_RISK' FROM routing_queue WHERE order_id = $1"
        await eventually(lambda: pg.fetchval(held, order_id), within_s=20)
        assert await desk.do("lift_block", code="manual") == [("done", order_id)]
        await desk.there(*waiting)
        assert await desk.do("cancel_latest", code="stock_short") == [("done", order_id)]
        due = (await desk.there("refund_due"))["refund_due"]
        assert (due["order_id"], due["at_risk"]["amount"]) == (order_id, 300)
        kinds = "SELECT count(*) FROM events WHERE kind = 'exceptions.remedied' AND actor = 'admin'"
        assert await pg.fetchval(kinds) == 5


async def test_a_call_that_was_given_up_and_a_shipment_that_is_late(settings, pg, monkeypatch):
    monkeypatch.setattr(jobs, "TRIES_MAX", 1)
    async with selling(settings, pg) as (one, desk):
        await one.call("PUT", "/v1/nodes/hangzhou/secret", {"secret": "a wrong one of sixteen"})
        order_id = await one.buy("1", ("tea", 2))
        found = await desk.there("dead_job", "route_by_hand")
        dead = found["dead_job"]
        assert (dead["order_id"], dead["subject"]) == (order_id, f"{order_id}-s1")
        assert dead["at_risk"]["amount"] == 200
        await pg.execute("UPDATE shipments SET promised_ship_by = now() - interval '1 h'")
        first, *_ = await desk.items()
        assert (first["overdue"], first["age_seconds"] >= 0) == (True, True)
        late = (await desk.there(*found, "ship_by_missed"))["ship_by_missed"]
        assert (late["subject"], late["at_risk"]["amount"]) == (f"{order_id}-s1", 200)
        assert await desk.codes("?overdue=true") == ["dead_job", "ship_by_missed"]
        await one.call("PUT", "/v1/nodes/hangzhou/secret", {"secret": SECRET})
        assert await desk.do("retry_letter", code="dead_job") == [("done", order_id)]
        assert await desk.none()
        assert await one.fulfilment(order_id) == "shipped"


async def test_what_is_asked_badly_is_refused_and_a_bound_key_sees_its_channel(api):
    desk = Desk(api)
    await open_sale(api, A=5)
    await api.buy("1", ("A", 1))
    await recorded(api)
    path = f"/v1/orders/{mall_id('1')}/blocks"
    await api.call("POST", path, {"code": "manual", "reason": "odd"})
    for query, name in (
        ("code=x", "code"), ("overdue=1", "overdue"), ("min_age=-1", "min_age"),
        ("ship_by_before=noon", "ship_by_before"), ("cursor=abc", "cursor"),
        ("cursor=Wy0xLDEsIngiXQ", "cursor"), ("limit=0", "limit"), ("sku=%00", "sku"),
    ):  # fmt: skip
        refused = await desk.page(f"?{query}", 400)
        assert f"query parameter {name}:" in refused["errors"][0]["detail"]
    real = {"code": "manual", "dry_run": False, "remedy_id": "x", "expect_max": 1, "reason": "y"}
    for body, pointer in (
        ({"remedy": "lift_block"}, "/code"), ({"remedy": "x"}, "/remedy"),
        ({"remedy": "lift_block", "code": "review"}, "/code"),
        ({"remedy": "map_listing", "code": "unmapped_sku"}, "/remedy"),
        ({"remedy": "lift_block", **real, "remedy_id": ""}, "/remedy_id"),
        ({"remedy": "lift_block", **real, "expect_max": None}, "/expect_max"),
        ({"remedy": "lift_block", **real, "reason": " "}, "/reason"),
        ({"remedy": "lift_block", **real, "limit": 501}, "/limit"),
        ({"remedy": "lift_block", **real, "channel": "\x00"}, "/channel"),
        ({"remedy": "lift_block", "ids": ["\x00"]}, "/ids/0"),
        ({"remedy": "lift_block", "code": "manual", "min_age": -1}, "/min_age"),
    ):  # fmt: skip
        refused = await desk.ask(**body, status=400)
        assert refused["errors"][0]["pointer"] == pointer, refused
    assert await desk.codes() == ["manual"]

    async def key(channel, *scopes):
        body = {"name": "k", "scopes": list(scopes), "channel": channel}
        made = (await api.call("POST", "/v1/keys", body)).document["key"]
        return {"Authorization": f"Bearer {made}"}

    mine = await key("mall", "orders:read", "orders:write")
    other = await key("tmall", "orders:read", "orders:write")
    reader = await key("mall", "orders:read")
    assert await desk.codes(**mine) == ["manual"]
    assert await desk.codes(**other) == []
    assert await desk.codes("?channel=mall", **other) == []
    assert (await api.call("GET", f"{LIST}:summary", **other)).document == {"items": []}
    await desk.ask("lift_block", 403, reader, **real)
    await desk.ask("retry_letter", 403, mine, code="dead_job")
    await desk.ask("lift_block", 403, other, **real | {"channel": "mall"})
    assert (await desk.ask("lift_block", headers=other, **real))["results"] == []
    (run,) = (await desk.ask("lift_block", headers=mine, **real | {"remedy_id": "z"}))["results"]
    assert run["outcome"] == "done"
    assert await desk.items() == []


async def test_by_command(settings, api, capsys):
    await open_sale(api, A=5)
    await api.buy("1", ("A", 1))
    await recorded(api)
    path = f"/v1/orders/{mall_id('1')}/blocks"
    await api.call("POST", path, {"code": "manual", "reason": "odd"})
    nothing = command.Asked("", "", "", overdue=False, min_age=0, ship_by_before="", limit=9)
    assert await command.listed(api.process, nothing, as_json=False) == 0
    assert await command.summary(api.process, as_json=False) == 0
    shown = capsys.readouterr().out
    assert ("odd" in shown, mall_id("1") in shown, "1.00 CNY" in shown) == (True, True, True)
    options = {"remedy": "lift_block", "code": "manual", "remedy_id": "", "dry_run": True}
    principal = Principal("operator", "main", frozenset({ADMIN}))
    hands = Hands(api.process, None, None, principal)
    assert await command.remedy(hands, command.asked_for(options), as_json=False) == 0
    assert "would touch 1; nothing was done" in capsys.readouterr().out
    with pytest.raises(Misconfigured, match="--expect-max: a real run must say how many"):
        command.asked_for(options | {"dry_run": False})

    words = ("remedy", "lift_block", "--code", "manual", "--reason", "fine", "--yes", "--json")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "engine", "exceptions", *words, "--expect-max", "1"],
        env={**os.environ, **settings_of.environment(settings)}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    answer = msgspec.json.decode(done.stdout)
    assert (done.returncode, answer["outcomes"], answer["touches"]) == (0, {"done": 1}, 1)
    assert await Desk(api).items() == []
