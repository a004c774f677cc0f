"""Set the everyday shop up over HTTP, and buy in it."""

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from engine.kernel.clock import rfc3339
from engine.simulation.calls import CallFailed, Calls
from engine.simulation.fulfilment import world
from engine.simulation.fulfilment.types import CURRENCY, MALL, MARKET, Wish
from engine.simulation.warehouse import Server

_PUBLISHED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.05
_BODY_MAX: Final = 20  # snapshots that a marketplace sends at once


async def taken(calls: Calls) -> str:
    """Return why nothing may be played here: what decides would decide of others' orders too."""
    if (await calls.get("/v1/orders?limit=1"))["items"]:
        return "there are orders already, which the demo's plan would send, too"
    plans = (await calls.get("/v1/routing-plans"))["items"]
    if any(one["status"] == "ACTIVE" for one in plans):
        return "a routing plan decides here already"
    try:
        await calls.get("/v1/review-rules")
    except CallFailed as refusal:
        if refusal.answered != HTTPStatus.NOT_FOUND:
            raise
        return ""
    return "there are rules of review already"


async def furnish(calls: Calls, servers: Mapping[str, Server], mark: str, secret: str) -> list[str]:
    """Make everything that orders need, the plan last; return what had to be left out.

    Raises:
        CallFailed: what the API said, or that the shops were not open in time.
    """
    for channel, fields in (
        (MALL, {"name": "The demo's everyday shop"}),
        (MARKET, {"name": "The demo's everyday shop at a marketplace", "authority": "external"}),
    ):
        await calls.put(f"/v1/channels/{channel}", fields)
    for site in world.SITES:
        await calls.put(f"/v1/nodes/{site.node}", world.node_of(site))
        profile = world.profile_of(site, servers[site.node])
        await calls.put(f"/v1/nodes/{site.node}/profile", profile)
        await calls.put(f"/v1/nodes/{site.node}/secret", {"secret": secret})
    for service, fields in world.SERVICES.items():
        await calls.put(f"/v1/carriers/{service}", fields)
        await calls.put(f"/v1/rate-cards/{service}", world.card_of(service))
        region = f"/v1/carriers/{service}/regions/{world.CUT_OFF.region}"
        await calls.put(region, {"reason": "snow: nobody drives there"})
    for good in world.GOODS:
        sku = {"name": good.name, "grams": good.grams, "cm3": good.cm3}
        await calls.put(f"/v1/skus/{good.sku}", sku)
        await calls.put(f"/v1/supply-policies/{good.sku}", world.policy_of(good))
    await calls.post("/v1/inventory/movements", _receipt(mark))
    notes = await review(calls)
    await _activate(calls, mark)
    await _wait_published(calls)
    return notes


async def close(calls: Calls, mark: str) -> None:
    """Let the plan decide no more: what is sold from now on waits for another one."""
    await _move(calls, mark, "archive")


async def buy(calls: Calls, wish: Wish, mark: str) -> str:
    """Buy and pay in the own shop; return the order's id."""
    posted = {
        "channel": MALL, "channel_order_id": f"{mark}-{wish.number}", **_fields(wish),
        "lines": [_line(good.sku, units, good.price) for good, units in wish.lines],
    }  # fmt: skip
    answer = await calls.post("/v1/orders", posted)
    order_id = str(answer["order_id"])
    payment = {"payment_id": "p1", "amount": answer["payable"], "method": "alipay"}
    await calls.post(f"/v1/orders/{order_id}/payments", payment)
    return order_id


async def sync(calls: Calls, wishes: Sequence[Wish], mark: str, now_ms: int) -> list[str]:
    """Tell of paid orders of the marketplace; return their ids.

    Raises:
        CallFailed: one was not taken.
    """
    ids = []
    for first in range(0, len(wishes), _BODY_MAX):
        body = [_snapshot(one, mark, now_ms) for one in wishes[first : first + _BODY_MAX]]
        for told in (await calls.post("/v1/orders:sync", {"orders": body}))["results"]:
            if told["status"] != HTTPStatus.OK:
                raise CallFailed(f"POST /v1/orders:sync: {told}")
            ids.append(str(told["order_id"]))
    return ids


def _receipt(mark: str) -> dict[str, Any]:
    lines = [
        {"node": node, "sku": good.sku, "quantity": world.UNITS_EACH}
        for good in world.GOODS
        for node in good.nodes
    ]
    return {"reference": f"demo-{mark}", "kind": "receipt", "lines": lines}


async def review(calls: Calls) -> list[str]:
    """Put the rule of review; return what has to be told where it cannot be.

    Raises:
        CallFailed: what the API said.
    """
    try:
        await calls.put("/v1/review-rules", world.REVIEW)
    except CallFailed as refusal:
        if refusal.answered != HTTPStatus.NOT_IMPLEMENTED:
            raise
        return ["no rule holds an order: the library of conditions is not installed here"]
    return []


async def _activate(calls: Calls, mark: str) -> None:
    plan = world.plan_of(mark)
    await calls.put(f"/v1/routing-plans/{plan['plan']}", plan)
    await _move(calls, mark, "activate")


async def _move(calls: Calls, mark: str, word: str) -> None:
    path = f"/v1/routing-plans/{world.plan_of(mark)['plan']}"
    version = (await calls.get(path))["version"]
    await calls.post(f"{path}/versions/{version}/{word}")


async def _wait_published(calls: Calls) -> None:
    """Wait until the shops and their stock have reached the cell."""
    paths = [f"/v1/channels/{one}" for one in (MALL, MARKET)]
    paths += [f"/v1/supply-policies/{good.sku}" for good in world.GOODS]
    waited = 0.0
    for path in paths:
        while not (await calls.get(path))["published"]:
            if waited > _PUBLISHED_WITHIN_S:
                raise CallFailed(f"{path} did not reach the cell: look into the worker's log")
            waited += _POLL_S
            await asyncio.sleep(_POLL_S)


def _fields(wish: Wish) -> dict[str, Any]:
    place = wish.place
    fields: dict[str, Any] = {
        "buyer_id": f"buyer-{wish.number}",
        "ship_to": {
            "name": "王小明", "phone": "13800000000", "country": "CN", "province": place.province,
            "city": place.city, "region_code": place.region, "address": f"人民路 {wish.number} 号",
        },
    }  # fmt: skip
    if wish.tier:
        fields["promise"] = {"tier": wish.tier}
    if wish.risk:
        fields["extensions"] = {"risk": wish.risk}
    return fields


def _snapshot(wish: Wish, mark: str, now_ms: int) -> dict[str, Any]:
    total, at = _money(wish.total), rfc3339(now_ms)
    return {
        "channel": MARKET, "channel_order_id": f"{mark}-{wish.number}", "version": "1",
        "source_status": "paid", "placed_at": at, **_fields(wish),
        "lines": [
            _line(good.sku, units, good.price) | {"channel_line_id": str(n)}
            for n, (good, units) in enumerate(wish.lines, 1)
        ],
        "amounts": {"payable": total},
        "payment": {"status": "paid", "method": "wechat"},
        "payments": [{"payment_id": "p1", "amount": total, "paid_at": at}],
    }  # fmt: skip


def _line(sku: str, units: int, price: int) -> dict[str, Any]:
    return {"sku": sku, "quantity": units, "unit_price": _money(price)}


def _money(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": CURRENCY}
