"""Limits by key and by buyer, and orders whose clients have stopped waiting."""

import asyncio
from dataclasses import replace

import pytest

from engine.reservation import store
from tests.conftest import eventually
from tests.fault.engines import ADMIN, an_order, campaign_of, house, id_of


async def opened(api):
    for path, body in campaign_of({"A": 100}):
        assert (await api.call("PUT", path, body)).status == 201

    async def sells():
        return (await api.buy("first")).status == 202

    await eventually(sells, within_s=20)
    return api


@pytest.fixture
async def api(here):
    return await opened(await here.api())


async def keyed(api, *scopes, **limit):
    body = {"name": "shop", "scopes": list(scopes), **limit}
    made = await api.call("POST", "/v1/keys", body)
    assert made.status == 201, made.document
    return {"Authorization": f"Bearer {made.document['key']}"}, made.document


async def test_a_key_with_a_limit_is_told_of_it_and_held_to_it(api):
    key, made = await keyed(api, "orders:read", rate_per_s=1, burst=3)
    assert (made["rate_per_s"], made["burst"]) == (1, 3)
    path = f"/v1/orders/{id_of('first')}"
    seen = [await api.call("GET", path, **key) for _ in range(4)]
    assert [one.status for one in seen] == [200, 200, 200, 429]
    assert {one.headers["RateLimit-Policy"] for one in seen} == {'"default";q=3;w=3'}
    assert [one.headers["RateLimit"].partition(";t=")[0] for one in seen] == [
        f'"default";r={left}' for left in (2, 1, 0, 0)
    ]
    assert seen[3].code == "rate_limited"
    assert seen[3].headers["Retry-After"] == "1"
    other = await api.call("GET", path)
    assert other.status == 200
    assert "RateLimit" not in other.headers, "a key without a limit hears of none"
    shown = (await api.call("GET", "/v1/keys")).document["items"]
    assert {one["key_id"]: one["rate_per_s"] for one in shown}[made["key_id"]] == 1


async def test_money_and_what_was_sold_elsewhere_are_never_put_off(api):
    key, _ = await keyed(api, "orders:write", "orders:sync", rate_per_s=1)
    order = id_of("first")
    assert (await api.call("GET", f"/v1/orders/{order}")).status == 200
    body = {"payment_id": "p", "amount": {"amount": 100, "currency": "CNY"}}
    for _ in range(5):
        paid = await api.call("POST", f"/v1/orders/{order}/payments", body, **key)
        assert paid.status == 200, paid.document
        synced = await api.call("POST", "/v1/orders:sync", {"orders": []}, **key)
        assert synced.code == "validation_failed"


ODD_LIMITS = [
    ({"rate_per_s": -1}, "/rate_per_s"),
    ({"rate_per_s": 1.5}, "/rate_per_s"),
    ({"rate_per_s": 10**9}, "/rate_per_s"),
    ({"rate_per_s": 10, "burst": 9}, "/burst"),
    ({"burst": 9}, "/burst"),
]


async def test_an_odd_limit_makes_no_key(api):
    for limit, pointer in ODD_LIMITS:
        body = {"name": "odd", "scopes": ["orders:read"], **limit}
        answer = await api.call("POST", "/v1/keys", body)
        assert answer.status == 400
        assert answer.document["errors"][0]["pointer"] == pointer
    names = [one["name"] for one in (await api.call("GET", "/v1/keys")).document["items"]]
    assert "odd" not in names


async def test_one_buyer_does_not_order_for_everybody(settings):
    async with house(replace(settings, buyer_orders_per_minute=2)) as here:
        await here.worker()
        api = await opened(await here.api())
        seen = [await api.buy(f"m{n}", buyer_id="me") for n in range(4)]
        assert [one.status for one in seen] == [202, 202, 429, 429]
        assert seen[3].code == "rate_limited"
        assert 1 <= int(seen[3].headers["Retry-After"]) <= 30
        assert (await api.buy("y", buyer_id="you")).status == 202
        assert [(await api.buy(f"n{n}", buyer_id="")).status for n in range(4)] == [202] * 4


@pytest.fixture
def slow(monkeypatch):
    """The cell, which answers only once this is set."""
    answers, ask = asyncio.Event(), store.reserve

    async def late(*asked):
        await answers.wait()
        return await ask(*asked)

    monkeypatch.setattr(store, "reserve", late)
    return answers


async def test_what_nobody_waits_for_any_more_is_not_asked(api, slow):
    """The first is on its way and stays so; of those that queue, one client leaves."""
    async with asyncio.TaskGroup() as buyers:
        first = buyers.create_task(api.buy("a"))
        await eventually(lambda: api.reservations.batchers["reserve"].under_way_s > 0)
        left = buyers.create_task(_buy(api.client, "20", "b"))
        stays = buyers.create_task(_buy(api.client, "60000", "c"))
        await eventually(lambda: api.reservations.batchers["reserve"].waiting == 2)
        await asyncio.sleep(0.03)  # the time that one of them has
        slow.set()
    assert (await first).status == 202
    assert (await stays)[0] == 202
    status, document, retry = await left
    assert (status, document["code"]) == (503, "deadline_passed")
    assert retry
    assert (await api.order(id_of("b"))).status == 404, "nothing was taken"
    assert (await _buy(api.client, "60000", "b"))[0] == 202
    assert api.reservations._timed == 0  # noqa: SLF001


async def _buy(client, within_ms, number):
    named = {"Authorization": f"Bearer {ADMIN}", "Tidegate-Deadline-Ms": within_ms}
    answer = await client.post("/v1/orders", json=an_order(number), headers=named)
    return answer.status, await answer.json(content_type=None), answer.headers.get("Retry-After")


async def test_a_deadline_that_is_none_is_refused(api):
    for said in ("", "0", "-1", "1.5", "1e3", "soon", "99999999", "٣", "0x10", " ", "1, 2"):
        status, document, _ = await _buy(api.client, said, "odd")
        assert (status, document["code"]) == (400, "validation_failed"), said
        assert "Tidegate-Deadline-Ms" in document["errors"][0]["detail"]
    assert (await api.order(id_of("odd"))).status == 404


async def test_a_batch_has_a_deadline_too(api, slow):
    async with asyncio.TaskGroup() as buyers:
        first = buyers.create_task(api.buy("a"))
        await eventually(lambda: api.reservations.batchers["reserve"].under_way_s > 0)
        orders = {"orders": [an_order("b"), an_order("c")]}
        both = buyers.create_task(
            api.call("POST", "/v1/orders:batch", orders, Tidegate_Deadline_Ms="20")
        )
        await eventually(lambda: api.reservations.batchers["reserve"].waiting == 2)
        await asyncio.sleep(0.03)
        slow.set()
    assert (await first).status == 202
    told = [(one["status"], one["code"]) for one in (await both).document["results"]]
    assert told == [(503, "deadline_passed")] * 2
