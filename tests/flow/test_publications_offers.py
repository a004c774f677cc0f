"""What is in force decides what is shown: caps, windows of campaigns, pauses, authorities."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import eventually
from tests.fault.marketplace import TMALL, line, open_shops, snapshot, synced
from tests.flow.test_publications import LINKS, becomes, listed, page


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_shops(one, ({"channel": TMALL}, {"channel": "mall", "authority": "gate"}), A=100)
    await listed(one, LINKS[0])
    await told_lag(one)
    return one


async def told_lag(api):
    items = [{"item_id": "1", "sku_id": "one", "lag_seconds": 0}]
    body = {"channel": TMALL, "items": items}
    assert (await api.call("PUT", "/v1/publications:settings", body)).status == 200


async def change(api, **fields):
    before = await api.call("GET", "/v1/supply-policies/A")
    body = {"sku": "A", "shared": 100, "channels": before.document["channels"]} | fields
    etag = before.headers["ETag"]
    answer = await api.call("PUT", "/v1/supply-policies/A", body, If_Match=etag)
    assert answer.status == 200, answer.document


async def put_campaign(api, starts_in_s, ends_in_s, quota):
    now = datetime.now(UTC)
    body = {
        "name": "d11",
        "starts_at": (now + timedelta(seconds=starts_in_s)).isoformat(),
        "ends_at": (now + timedelta(seconds=ends_in_s)).isoformat(),
        "channels": [TMALL],
        "skus": [{"sku": "A", "quota": {TMALL: quota}}],
        "at_end": "return_to_shared",
    }
    answer = await api.call("PUT", "/v1/campaigns/d11", body)
    assert answer.status == 201, answer.document


async def test_a_cap_alone_changes_what_is_shown(api):
    await becomes(api, one=100)
    await change(api, channels=[{"channel": TMALL, "quota": 0, "shared_cap": 30}])
    await becomes(api, one=30)
    await synced(api, snapshot("t1", 1, "paid", line(quantity=4)))
    await becomes(api, one=26)


async def test_a_campaign_is_shown_from_its_first_instant_to_its_last(api):
    await becomes(api, one=100)
    await put_campaign(api, 3, 6, 40)

    async def planned():
        return (await api.call("GET", "/v1/campaigns/d11")).document["published"]

    await eventually(planned)
    assert {one["published"] for one in await page(api)} == {100}, "it has not begun"
    await becomes(api, one=40)
    await becomes(api, one=140)


async def test_a_paused_campaign_shows_nothing_and_goes_on(api):
    await put_campaign(api, -60, 3_600, 40)
    await becomes(api, one=40)
    assert (await api.call("POST", "/v1/campaigns/d11/pause", {})).status == 200
    await becomes(api, one=0)
    assert (await page(api))[0]["state"] == "paused"
    assert (await api.call("POST", "/v1/campaigns/d11/resume", {})).status == 200
    await becomes(api, one=40)


async def test_only_what_sells_by_itself_is_published(api):
    await becomes(api, one=100)
    await listed(api, {"channel": "mall", "item_id": "m", "sku": "A", "units_per": 1})
    answer = await api.call("GET", "/v1/channels/mall")
    body = {"name": "mall", "authority": "external"}
    etag = answer.headers["ETag"]
    assert {one["channel"] for one in await page(api)} == {TMALL}
    answer = await api.call("PUT", "/v1/channels/mall", body, If_Match=etag)
    assert answer.status == 200, answer.document

    async def both():
        return {one["channel"]: one["published"] for one in await page(api)} == {
            TMALL: 100, "mall": 100,
        }  # fmt: skip

    await eventually(both, within_s=10)


async def test_a_change_is_shown_within_a_second(api):
    """From the answer to an order to the number of it; the slowest of ten, on a busy machine."""
    await becomes(api, one=100)
    waits = []
    for n in range(1, 11):
        await synced(api, snapshot(f"t{n}", 1, "paid", line()))
        began = api.process.clock.monotonic()
        await becomes(api, one=100 - n)
        waits.append(api.process.clock.monotonic() - began)
    assert sorted(waits)[-2] < 1.5, waits
