"""What a marketplace's adapter is given, tells, and what comes of it: over HTTP, with a worker."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import eventually
from tests.fault.engines import ADMIN
from tests.fault.marketplace import TMALL, line, open_shops, put, share, snapshot, synced

LINKS = [
    {"channel": TMALL, "item_id": "1", "sku_id": "one", "sku": "A", "units_per": 1},
    {"channel": TMALL, "item_id": "1", "sku_id": "pair", "sku": "A", "units_per": 2},
]


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_shops(one, ({"channel": TMALL}, {"channel": "mall", "authority": "gate"}), A=100)
    await listed(one, *LINKS)
    return one


async def listed(api, *links, **more):
    answer = await api.call("POST", "/v1/listings", {"listings": list(links)} | more)
    assert answer.status == 200, answer.document


async def page(api, **query):
    words = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await api.call("GET", f"/v1/publications?{words}")
    assert answer.status == 200, answer.document
    return answer.document["items"]


async def shown(api, **query):
    return {one["sku_id"]: one["published"] for one in await page(api, **query)}


async def told(api, verb, *items, channel=TMALL, method="POST"):
    body = {"channel": channel, "items": list(items)}
    answer = await api.call(method, f"/v1/publications:{verb}", body)
    assert answer.status == 200, answer.document
    return answer.document["results"]


async def settled(api, **settings):
    items = [{"item_id": "1", "sku_id": name, **settings} for name in ("one", "pair")]
    assert [one["result"] for one in await told(api, "settings", *items, method="PUT")] == [
        "kept", "kept",
    ]  # fmt: skip


async def becomes(api, **numbers):
    async def they_are():
        found = await shown(api)
        assert found == numbers
        return True

    await eventually(they_are, within_s=10)


async def acked(api, **query):
    """An adapter's round: take what is pending and confirm it."""
    rows = await page(api, pending="true", **query)
    items = [
        {"item_id": one["item_id"], "sku_id": one["sku_id"], "number": one["number"],
         "accepted": True}
        for one in rows
    ]  # fmt: skip
    return await told(api, "ack", *items) if items else []


async def test_a_listing_shows_what_its_channel_can_sell_in_its_own_pieces(api):
    await becomes(api, one=100, pair=50)
    await settled(api, lag_seconds=0)
    assert await synced(api, snapshot("t1", 1, "paid", line(quantity=3))) == ["created"]
    await becomes(api, one=97, pair=48)
    await api.buy("m1", ("A", 7), campaign="")
    await becomes(api, one=90, pair=45)
    await share(api, "A", 10)
    await becomes(api, one=0, pair=0)
    (one, _) = await page(api)
    assert (one["sku"], one["state"], one["units_per"], one["pending"]) == ("A", "on_sale", 1, True)


async def test_what_sells_within_the_lag_is_kept_back(api):
    await becomes(api, one=100, pair=50)
    await settled(api, lag_seconds=6, buffer=4)
    assert await synced(api, snapshot("t1", 1, "paid", line(quantity=12))) == ["created"]
    # twelve units in the last three seconds are four a second, for six seconds
    await becomes(api, one=60, pair=30)
    (one, _) = await page(api)
    assert (one["buffer"], one["settings"]) == (
        28, {"reducible": True, "buffer": 4, "lag_seconds": 6, "share": 1.0},
    )  # fmt: skip
    # and as nothing more is sold, less is kept back: in the last ten seconds it is 1.2 a second
    await becomes(api, one=76, pair=38)


async def test_a_share_divides_what_others_show_whole(api):
    await becomes(api, one=100, pair=50)
    items = [
        {"item_id": "1", "sku_id": "one", "share": 0.7},
        {"item_id": "1", "sku_id": "pair", "share": 0.3},
    ]
    await told(api, "settings", *items, method="PUT")
    await becomes(api, one=70, pair=15)


async def test_links_that_stand_for_nothing_or_for_two_show_nothing(api):
    await becomes(api, one=100, pair=50)
    await put(api, "/v1/skus/B", {"name": "B"})
    await listed(api, LINKS[1] | {"sku": "B"})
    answer = await api.call("DELETE", f"/v1/listings?channel={TMALL}&item_id=1&sku_id=one")
    assert answer.status == 200
    await becomes(api, one=0, pair=0)
    assert {one["sku_id"]: one["state"] for one in await page(api)} == {
        "one": "unmapped", "pair": "doubled",
    }  # fmt: skip
    await listed(api, *LINKS, replace=True)
    await becomes(api, one=100, pair=50)


async def test_acks_count_once_and_late_ones_for_nothing(api):
    await becomes(api, one=100, pair=50)
    first = (await page(api, pending="true"))[0]
    old = {"item_id": "1", "sku_id": "one", "number": first["number"], "accepted": True}
    await settled(api, lag_seconds=0)
    await synced(api, snapshot("t1", 1, "paid", line(quantity=2)))
    await becomes(api, one=98, pair=49)
    # the shop took a number that a newer one has replaced: known, but still pending
    (one,) = await told(api, "ack", old)
    assert (one["result"], one["number"]) == ("superseded", first["number"] + 1)
    assert (await page(api))[0]["acked"] == 100
    assert [one["result"] for one in await acked(api)] == ["acked", "acked"]
    assert await page(api, pending="true") == []
    (one, pair) = await page(api)
    assert (one["acked"], pair["acked"], one["pending"]) == (98, 49, False)
    assert one["acked_at"] >= one["published_at"]
    again, unknown, bad, future = await told(
        api, "ack", old | {"number": first["number"] + 1}, old | {"item_id": "9"},
        {"item_id": "1"}, old | {"number": 99},
    )  # fmt: skip
    assert (again["result"], unknown["result"], future["result"]) == (
        "repeated",
        "unknown",
        "stale",
    )
    assert (bad["status"], bad["code"], bad["errors"][0]["pointer"]) == (
        400, "validation_failed", "/number",
    )  # fmt: skip
    (late,) = await told(api, "ack", old)
    assert late["result"] == "stale"
    assert (await page(api))[0]["acked"] == 98


async def test_a_refused_number_is_not_offered_again_and_is_told(api):
    await becomes(api, one=100, pair=50)
    first = (await page(api, pending="true"))[0]
    no = {"item_id": "1", "sku_id": "one", "number": first["number"], "accepted": False,
          "reason": "on a promotion slot"}  # fmt: skip
    assert [one["result"] for one in await told(api, "ack", no, no)] == ["refused", "repeated"]
    (one, _) = await page(api)
    assert (one["refused"], one["pending"], one["acked"]) == ("on a promotion slot", False, None)
    assert [one["sku_id"] for one in await page(api, pending="true")] == ["pair"]


async def test_a_shop_that_shows_more_than_it_confirmed_drifts(api):
    await becomes(api, one=100, pair=50)
    await acked(api)
    now = datetime.now(UTC) + timedelta(seconds=1)
    sight = {"item_id": "1", "sku_id": "one", "quantity": 120, "seen_at": now.isoformat()}
    before = sight | {"seen_at": "2026-01-01T00:00:00Z", "quantity": 7}
    results = await told(api, "seen", sight | {"seen_at": datetime.now(UTC).isoformat()}, before)
    assert [(one["result"], one.get("drift")) for one in results] == [("seen", 20), ("stale", None)]
    assert [one["drift"] for one in await page(api, drift="true")] == [20]
    (one, *_) = await page(api)
    assert (one["seen"], one["published"]) == (120, 100)
    events = "SELECT data FROM events WHERE kind = 'listing_drift'"
    assert len(await api.process.pool.fetch(events)) == 1
    right = sight | {"quantity": 100, "seen_at": (now + timedelta(seconds=2)).isoformat()}

    async def mended():
        (one,) = await told(api, "seen", right | {"seen_at": datetime.now(UTC).isoformat()})
        return one["drift"] == 0

    await eventually(mended)
    assert await page(api, drift="true") == []
    assert len(await api.process.pool.fetch(events)) == 2, "that it ended is told too"


async def test_a_paused_sku_shows_nothing_and_says_who_confirmed(api):
    await becomes(api, one=100, pair=50)
    await acked(api)
    answer = await api.call("POST", "/v1/skus/A/pause", {"reason": "recall"})
    assert answer.status == 200, answer.document
    assert answer.document["paused"] is True
    assert answer.document["listings"] == [
        {"channel": TMALL, "item_id": "1", "sku_id": name, "published": 0, "confirmed": False,
         "confirmed_at": None}
        for name in ("one", "pair")
    ]  # fmt: skip
    assert {one["state"] for one in await page(api, sku="A")} == {"paused"}
    await acked(api)
    again = (await api.call("POST", "/v1/skus/A/pause", {})).document
    assert [one["confirmed"] for one in again["listings"]] == [True, True]
    assert all(one["confirmed_at"] for one in again["listings"])
    await share(api, "A", 200)  # what comes meanwhile is not for sale
    assert await shown(api) == {"one": 0, "pair": 0}
    assert (await api.call("POST", "/v1/skus/A/resume", {})).status == 200
    await becomes(api, one=200, pair=100)


async def test_an_adapters_key_sees_and_tells_of_its_channel_only(api):
    await becomes(api, one=100, pair=50)
    scopes = ["stock:read", "stock:write"]
    keys = {}
    for name in (TMALL, "mall"):
        body = {"name": name, "scopes": scopes, "channel": name}
        keys[name] = f"Bearer {(await api.call('POST', '/v1/keys', body)).document['key']}"
    own = await api.call("GET", "/v1/publications", Authorization=keys[TMALL])
    assert len(own.document["items"]) == 2
    body = {"items": [{"item_id": "1", "sku_id": "one", "number": 1, "accepted": True}]}
    taken = await api.call("POST", "/v1/publications:ack", body, Authorization=keys[TMALL])
    assert taken.document["results"][0]["result"] == "acked"
    other = await api.call("GET", f"/v1/publications?channel={TMALL}", Authorization=keys["mall"])
    assert (other.status, other.document["items"]) == (200, [])
    for verb, method in (("ack", "POST"), ("seen", "POST"), ("settings", "PUT")):
        named = {"channel": TMALL, "items": [{"item_id": "1"}]}
        answer = await api.call(
            method, f"/v1/publications:{verb}", named, Authorization=keys["mall"]
        )
        assert answer.status == 403, answer.document
    assert (await api.call("POST", "/v1/publications:ack", body)).status == 400
    assert f"Bearer {ADMIN}" not in keys.values()


async def test_numbers_go_on_where_a_killed_worker_left_them(here, api):
    await becomes(api, one=100, pair=50)
    await here.stop("worker")
    await synced(api, snapshot("t1", 1, "paid", line(quantity=5)))
    await here.worker(name="worker-2")
    await settled(api, lag_seconds=0)
    await becomes(api, one=95, pair=47)


async def test_two_workers_number_each_change_once(here, api):
    await here.worker("shelver", name="beside")
    await becomes(api, one=100, pair=50)
    assert {one["number"] for one in await page(api)} == {1}
