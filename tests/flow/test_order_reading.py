"""What an order says of itself, once it was sent from somewhere: where, why, and how far it is."""

import asyncio
import os
import subprocess
import sys

import msgspec
import pytest

from engine import settings as settings_of
from engine.kernel.clock import rfc3339
from tests.conftest import eventually
from tests.flow.fulfilment import SHIP_TO, STILL, brand

PLAN = {
    "plan": "near",
    "stages": [{"seq": 1, "rules": [
        {"seq": 1, "name": "one warehouse", "assignment": "SINGLE_NODE",
         "filters": [{"field": "node", "op": "ne", "value": "shenyang"}],
         "scorers": [{"metric": "distance"}, {"metric": "freight"}]},
        {"seq": 2, "name": "as few as can be", "assignment": "ANY_SPLIT",
         "scorers": [{"metric": "freight"}],
         "on_unfilled": {"do": "PARK", "queue": "UNFILLABLE", "reason": "nobody_has_it"}},
    ]}],
}  # fmt: skip


@pytest.fixture
async def one(settings, pg):
    async with brand(settings, pg, eventually, knobs=STILL) as made:
        address = {"country": "CN", "province": "辽宁省", "city": "沈阳市", "address": "某路 2 号",
                   "region_code": "210100"}  # fmt: skip
        await made.put("/v1/nodes/shenyang", {"name": "仓", "address": address})
        await made.activate(PLAN)
        yield made


async def bought(one, *lines):
    """Buy and pay, once the stock is for sale."""
    return await eventually(lambda: one.buy("1", *lines), within_s=20)


async def routed(one, *lines):
    order_id = await bought(one, *lines)

    async def decided():
        return (await one.get(f"/v1/orders/{order_id}/routing"))["items"]

    await eventually(decided, within_s=20)
    return order_id, await one.get(f"/v1/orders/{order_id}/routing")


async def test_why_an_order_is_sent_from_there(one):
    order_id, told = await routed(one, ("tea", 2), ("cup", 1))
    (decision,) = told["items"]
    assert told["next_cursor"] is None
    assert (decision["verdict"], decision["plan"], decision["version"]) == ("routed", "near", 1)
    assert (decision["rule"], decision["rule_name"]) == (1, "one warehouse")
    (part,) = decision["parts"]
    assert (part["node"], part["service"], part["card"]) == ("hangzhou", "sf-std", "sf-2026")
    assert part["quote"] == {"amount": 800, "currency": "CNY"}
    assert [(line["sku"], line["quantity"]) for line in part["lines"]] == [("tea", 2), ("cup", 1)]
    (attempt,) = decision["tried"]
    dropped = {step["filter"]: step["dropped"] for step in attempt["filters"] if step["dropped"]}
    assert dropped == {"node ne shenyang": ["shenyang"]}
    assert attempt["candidates"] == attempt["complete"] == ["beijing", "hangzhou"]
    assert [one["nodes"] for one in attempt["scores"]] == [["hangzhou"], ["beijing"]]
    near, far = (one["scores"]["distance"] for one in attempt["scores"])
    assert decision["runner_up"]["nodes"] == ["beijing"]
    assert decision["runner_up"]["worse_by"]["distance"] == far - near > 900_000
    text = str(told)
    for secret in (SHIP_TO["name"], SHIP_TO["phone"], SHIP_TO["address"]):
        assert secret not in text
    shown = await one.get(f"/v1/orders/{order_id}")
    (sent,) = shown["fulfilments"]
    assert (sent["node"], sent["service"], sent["quote"]) == (
        "hangzhou", "sf-std", {"amount": 800, "currency": "CNY"}
    )  # fmt: skip
    soon = rfc3339(one.api.process.clock.now_ms() + 86_400_000)
    for path in ("orders", "shipments"):
        listed = await one.get(f"/v1/{path}?ship_by_before={soon}")
        assert [each["order_id"] for each in listed["items"]] == [order_id]


async def test_of_what_nobody_has_it_says_who_lacks_what(one):
    order_id, told = await routed(one, ("tea", 11), ("cup", 11))
    (decision,) = told["items"]
    whole, split = decision["tried"]
    assert (whole["why"], whole["complete"]) == ("no_single_node", [])
    assert whole["lacking"] == [
        {"node": "beijing", "skus": ["tea", "cup"]}, {"node": "hangzhou", "skus": ["tea", "cup"]},
    ]  # fmt: skip
    assert split["candidates"] == ["beijing", "hangzhou", "shenyang"]
    assert decision["verdict"] == "parked"
    assert [line["quantity"] for line in decision["rest"]] == [11, 11]
    assert told["queue"]["queue"] == "UNFILLABLE"
    assert [line["units"] for line in told["broken_promises"]] == [11, 11]
    shown = await one.get(f"/v1/orders/{order_id}")
    assert shown["queue"] == {
        name: told["queue"][name] for name in ("queue", "reason", "since", "due_at")
    }
    soon, ago = (rfc3339(one.api.process.clock.now_ms() + by) for by in (86_400_000, -60_000))
    for query, found in (
        ("queue=UNFILLABLE", 1), ("queue=MANUAL", 0), (f"updated_since={ago}", 1),
        (f"updated_since={soon}", 0), (f"ship_by_before={soon}", 0), ("waybill=W", 0),
    ):  # fmt: skip
        assert len((await one.get(f"/v1/orders?{query}"))["items"]) == found, query
    text = await (await one.api.client.get("/metrics")).text()
    for line in (
        'tidegate_route_queue{queue="UNFILLABLE"} 1.0', 'tidegate_route_queue{queue="NEW"} 0.0',
        'tidegate_route_queue_oldest_seconds{queue="UNFILLABLE"} ', "tidegate_broken_promises 2.0",
        'tidegate_routed_total{verdict="parked"} ', 'tidegate_route_seconds_count{stage="bind"} ',
    ):  # fmt: skip
        assert line in text, line
    for query in ("queue=SOMEWHERE", "updated_since=2026-01-01T00:00:00Z"):
        await one.call("GET", f"/v1/orders?{query}", status=400)


async def explained(one, order_id, *words):
    """Run the command as a process of its own."""
    return await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "engine", "order", "explain", order_id, *words],
        env={**os.environ, **settings_of.environment(one.api.process.settings)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


async def delivered(one, order_id):
    async def shipped():
        return await one.fulfilment(order_id) == "shipped"

    await eventually(shipped, within_s=30)
    parcel = await one.pg.fetchrow("SELECT * FROM parcels WHERE order_id = $1", order_id)
    now = one.api.process.clock.now_ms()
    items = [
        {"waybill": parcel["waybill"], "carrier": parcel["carrier"], "milestone": said,
         "at": rfc3339(now + n), "place": "moon base 7"}
        for n, said in enumerate(("collected", "delivered"))
    ]  # fmt: skip
    await one.call("POST", "/v1/tracking", {"items": items})
    return parcel["waybill"]


async def test_one_order_is_followed_to_the_signature(settings, pg):
    async with brand(settings, pg, eventually) as one:
        rule = {"name": "many", "when": "units > 2", "reason": "many at once"}
        await one.put("/v1/review-rules", {"rules": [rule]})
        await one.activate(PLAN)
        order_id = await bought(one, ("tea", 2), ("cup", 1))

        async def blocked():
            return (await one.get(f"/v1/orders/{order_id}"))["blocks"]

        await eventually(blocked, within_s=20)
        lifted = f"/v1/orders/{order_id}/blocks/review?reason=called+{SHIP_TO['phone']}"
        await one.call("DELETE", lifted, status=(200, 204))
        waybill = await delivered(one, order_id)
        (found,) = (await one.get(f"/v1/orders?waybill={waybill}"))["items"]
        assert found["order_id"] == order_id
        done = await explained(one, order_id)
        assert done.returncode == 0, done.stderr
        told = await explained(one, order_id, "--json")
        nobody = await explained(one, "0" * 26)
    text = done.stdout
    in_turn = [
        "POST: 3.00 CNY asked, units held until", "paid 3.00 CNY by pay-1",
        "blocked: review (many at once)", "block lifted: review",
        "routed by plan near v1, rule 1 (one warehouse)", "hangzhou: 2 x tea, 1 x cup",
        "sf-std, 8.00 CNY by sf-2026 v1", "second: beijing, +", f"parcel SF {waybill}",
        f"SF {waybill}: collected", f"SF {waybill}: delivered, signed for",
    ]  # fmt: skip
    places = [text.find(one) for one in in_turn]
    assert -1 not in places, text
    assert places == sorted(places), text
    for secret in (SHIP_TO["name"], SHIP_TO["phone"], SHIP_TO["address"], "moon base", "b-1"):
        assert secret not in text
        assert secret not in told.stdout
    whole = msgspec.json.decode(told.stdout)
    assert whole["routing"]["items"][0]["runner_up"]["nodes"] == ["beijing"]
    assert whole["happened"][-1]["text"] == f"SF {waybill}: delivered, signed for"
    assert (nobody.returncode, nobody.stderr) == (1, "no such order\n")
