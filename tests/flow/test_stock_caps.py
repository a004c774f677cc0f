"""`GET /v1/stock` of channels that may draw shared units up to a cap: what is left of it."""

import pytest
from redis.exceptions import ConnectionError as Disconnected

from tests.fault.engines import certificate, house, id_of

POLICY = {
    "sku": "tea",
    "shared": 20,
    "channels": [
        {"channel": "mall", "quota": 3, "shared_cap": 4},
        {"channel": "app", "shared_cap": 30},
        {"channel": "fair"},
    ],
}


@pytest.fixture
async def api(settings, eventually):
    async with house(settings) as here:
        await here.worker()
        one = await here.api()
        await one.call("PUT", "/v1/skus/tea", {"name": "Tea"})
        for channel in ("mall", "app", "fair"):
            await one.call("PUT", f"/v1/channels/{channel}", {"name": channel})
        await put_policy(one, eventually, POLICY)
        await eventually(lambda: one.registry.authority("main", "fair"))
        yield one


async def put_policy(api, eventually, policy, **headers):
    answer = await api.call("PUT", "/v1/supply-policies/tea", policy, **headers)
    assert answer.status in {200, 201}, answer.document

    async def published():
        return (await api.call("GET", "/v1/supply-policies/tea")).document["published"]

    await eventually(published, within_s=20)


async def buy(api, number, units, channel="mall"):
    answer = await api.buy(number, ("tea", units), channel=channel, campaign="")
    assert answer.status == 202, answer.document


async def shown(api):
    """What each channel may sell: all, of its own, of the shared units."""
    await certificate(api)
    answer = await api.call("GET", "/v1/stock?sku=tea")
    assert answer.status == 200, answer.document
    return {
        one["channel"]: (one["sellable"], one["own"], one["shared"])
        for one in answer.document["items"]
    }


async def test_what_a_channel_has_drawn_counts_against_its_cap(api):
    assert await shown(api) == {"mall": (7, 3, 4), "app": (20, 0, 20), "fair": (20, 0, 20)}
    await buy(api, "1", 5)  # three of its own, two shared
    assert await shown(api) == {"mall": (2, 0, 2), "app": (18, 0, 18), "fair": (18, 0, 18)}
    await buy(api, "2", 2)
    assert await shown(api) == {"mall": (0, 0, 0), "app": (16, 0, 16), "fair": (16, 0, 16)}
    assert (await api.buy("3", ("tea", 1), campaign="")).code == "sold_out"
    await buy(api, "4", 15, channel="app")
    assert await shown(api) == {"mall": (0, 0, 0), "app": (1, 0, 1), "fair": (1, 0, 1)}
    await api.cancel(id_of("1"), "c")
    assert await shown(api) == {"mall": (5, 3, 2), "app": (3, 0, 3), "fair": (3, 0, 3)}


async def test_a_cap_below_what_was_drawn_leaves_nothing_and_owes_nothing(api, eventually):
    await buy(api, "1", 6)
    mall, *others = POLICY["channels"]
    lower = {**POLICY, "channels": [{**mall, "shared_cap": 1}, *others]}
    await put_policy(api, eventually, lower, If_Match='"1"')
    assert (await shown(api))["mall"] == (0, 0, 0)


async def test_without_the_cell_nobody_knows_what_is_left_of_a_cap(api, monkeypatch):
    await shown(api)

    async def away(*_):
        raise Disconnected("10.0.0.1")

    monkeypatch.setattr(api.cell.redis, "hmget", away)
    answer = await api.call("GET", "/v1/stock?channel=mall")
    assert (answer.status, answer.code) == (503, "overloaded")
    assert answer.headers["Retry-After"]
    assert "10.0.0.1" not in answer.document["detail"]
    answer = await api.call("GET", "/v1/stock?channel=fair")
    assert [one["sellable"] for one in answer.document["items"]] == [20]
