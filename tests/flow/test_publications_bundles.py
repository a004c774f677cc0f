"""Listings that stand for bundles: they show what can be made of what the channel may sell."""

import pytest

from tests.fault.marketplace import TMALL, line, open_shops, put, share, snapshot, synced
from tests.flow.test_publications import acked, becomes, listed, page, told

BOX = {"channel": TMALL, "item_id": "1", "sku_id": "box", "sku": "BOX", "units_per": 1}
ONE = {"channel": TMALL, "item_id": "1", "sku_id": "one", "sku": "A", "units_per": 1}


@pytest.fixture
async def api(here):
    """A box is two of A and one of B, of which there are 100 and 30."""
    one = await here.api()
    await open_shops(
        one, ({"channel": TMALL}, {"channel": "mall", "authority": "gate"}), A=100, B=30
    )
    parts = [{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 1}]
    await put(one, "/v1/skus/BOX", {"name": "Box", "components": parts})
    await listed(one, BOX)
    return one


async def instantly(api, *names, **settings):
    items = [{"item_id": "1", "sku_id": name, "lag_seconds": 0, **settings} for name in names]
    results = await told(api, "settings", *items, method="PUT")
    assert {one["result"] for one in results} == {"kept"}


async def test_a_bundle_shows_what_its_parts_allow(api):
    await becomes(api, box=30)
    await instantly(api, "box")
    await share(api, "A", 41)
    await becomes(api, box=20)
    # neither part has a listing of its own: what others buy of them wakes the bundle's
    assert (await api.buy("m1", ("A", 3), campaign="")).status == 202
    await becomes(api, box=19)
    assert await synced(api, snapshot("t1", 1, "paid", line("BOX", quantity=4))) == ["created"]
    await becomes(api, box=15)
    (one,) = await page(api)
    assert (one["sku"], one["state"], one["units_per"]) == ("BOX", "on_sale", 1)
    await share(api, "B", 5)
    await becomes(api, box=1)


async def test_a_bundle_made_of_something_else_is_looked_at_again(api):
    await becomes(api, box=30)
    etag = (await api.call("GET", "/v1/skus/BOX")).headers["ETag"]
    parts = [{"sku": "A", "quantity": 4}, {"sku": "B", "quantity": 1}]
    body = {"name": "Box", "components": parts}
    assert (await api.call("PUT", "/v1/skus/BOX", body, If_Match=etag)).status == 200
    await becomes(api, box=25)


@pytest.mark.parametrize("sku", ["A", "BOX"])
async def test_a_bundle_is_paused_with_each_of_its_parts(api, sku):
    await becomes(api, box=30)
    answer = await api.call("POST", f"/v1/skus/{sku}/pause", {"reason": "look"})
    assert answer.status == 200, answer.document
    assert [(one["sku_id"], one["published"]) for one in answer.document["listings"]] == [
        ("box", 0),
    ]  # fmt: skip
    await becomes(api, box=0)
    assert (await page(api))[0]["state"] == "paused"
    assert (await api.call("POST", f"/v1/skus/{sku}/resume", {"reason": "seen"})).status == 200
    await becomes(api, box=30)


async def test_units_of_a_part_leave_once_the_bundle_shows_less(api, eventually):
    await becomes(api, box=30)
    await listed(api, ONE)
    await becomes(api, box=30, one=100)
    await instantly(api, "box", "one")
    body = {
        "sku": "A",
        "shared": 0,
        "channels": [{"channel": TMALL, "quota": 60}, {"channel": "mall"}],
    }
    etag = (await api.call("GET", "/v1/supply-policies/A")).headers["ETag"]
    assert (await api.call("PUT", "/v1/supply-policies/A", body, If_Match=etag)).status == 200
    await becomes(api, box=30, one=60)
    await acked(api)
    move = {"move_id": "m", "sku": "A", "units": 20, "from": {"channel": TMALL}, "to": {}}
    answer = await api.call("POST", "/v1/pools:move", move)
    assert answer.document["state"] == "requested", answer.document
    # both listings draw from that pool, and what is moved stays within the channel's reach
    await becomes(api, box=20, one=40)
    rows = await page(api, pending="true")
    by_name = {
        one["sku_id"]: {"item_id": "1", "sku_id": one["sku_id"], "number": one["number"],
                        "accepted": True}
        for one in rows
    }  # fmt: skip
    await told(api, "ack", by_name["one"])

    async def state():
        return (await api.call("GET", "/v1/pools:move/m")).document["state"]

    assert await eventually(lambda: draining(state)) == "draining"
    await told(api, "ack", by_name["box"])

    async def done():
        return await state() == "done"

    await eventually(done, within_s=10)


async def draining(state):
    now = await state()
    return now if now == "draining" else None
