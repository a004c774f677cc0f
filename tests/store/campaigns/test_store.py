"""Which campaigns the publisher is shown."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.campaigns import store
from engine.campaigns.types import CampaignFields, CampaignSku, Published

NOW = datetime.now(UTC)


def _campaign(**fields):
    times = {"starts_at": NOW - timedelta(hours=2), "ends_at": NOW + timedelta(hours=1)}
    return CampaignFields(**({"name": "a", **times} | fields))


async def _kept(pg, name, campaign):
    return await store.Campaigns().insert(pg, "main", name, campaign, "test")


async def _unplanned(pg):
    return [one.kept.id for one in await store.unplanned(pg, 10)]


async def test_a_campaign_is_shown_until_its_version_is_planned(pg):
    kept = await _kept(pg, "d11", _campaign())
    assert kept.settled
    assert not kept.published
    assert await _unplanned(pg) == ["d11"]
    await store.mark_planned(pg, [Published("main", "d11", ["f1", "f2"], ["p1"])])
    assert await _unplanned(pg) == []
    assert not (await store.get(pg, "main", "d11")).published
    await store.mark_published(pg)
    assert (await store.get(pg, "main", "d11")).published
    await store.Campaigns().update(pg, "main", kept, _campaign(name="b"), "test")
    (one,) = await store.unplanned(pg, 10)
    assert (one.kept.version, one.fields, one.pools) == (2, ["f1", "f2"], ["p1"])


async def test_it_waits_while_nobody_knows_what_a_shrink_took(pg):
    kept = await _kept(pg, "d11", _campaign())
    await store.mark_planned(pg, [Published("main", "d11", [], ["p1"])])
    await store.Campaigns().update(pg, "main", kept, _campaign(name="b"), "test")
    await pg.execute("INSERT INTO grants (pool_id, seq, delta, reason) VALUES ('p1', 1, -5, '')")
    assert await _unplanned(pg) == []
    await pg.execute("UPDATE grants SET applied = -3")
    assert await _unplanned(pg) == ["d11"]


async def test_only_campaigns_that_draw_from_a_skus_shared_pool_follow_its_policy(pg):
    drawing = [CampaignSku("tea", draws_shared=True), CampaignSku("cup")]
    for name, skus in (("a", drawing), ("b", [CampaignSku("tea")]), ("c", [])):
        await _kept(pg, name, _campaign(skus=skus))
    await store.mark_planned(pg, [Published("main", name, [], []) for name in "abc"])
    await store.mark_published(pg)
    await store.replan_drawing(pg, "main", ["cup"])
    assert await _unplanned(pg) == []
    await store.replan_drawing(pg, "main", ["tea", "cup"])
    assert await _unplanned(pg) == ["a"]
    assert (await store.get(pg, "main", "a")).published


@pytest.mark.parametrize(
    ("fields", "due"),
    [
        ({"ends_at": NOW - timedelta(hours=1)}, ["d11"]),
        ({"ends_at": NOW - timedelta(hours=1), "at_end": "keep"}, []),
        ({}, []),
    ],
)
async def test_a_campaign_that_is_over_gives_its_stock_back_once(pg, fields, due):
    await _kept(pg, "d11", _campaign(**fields))
    await store.mark_planned(pg, [Published("main", "d11", [], ["p1"])])
    assert [one.campaign for one in await store.ended(pg, 10)] == due
    await store.mark_returned(pg, "main", "d11")
    assert await store.ended(pg, 10) == []
    assert await store.is_returned(pg, "main", "d11")
