"""Which campaigns the publisher is shown."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.campaigns import store
from engine.campaigns.types import CampaignFields, Published

NOW = datetime.now(UTC)


def _campaign(**fields):
    times = {"starts_at": NOW - timedelta(hours=2), "ends_at": NOW + timedelta(hours=1)}
    return CampaignFields(**({"name": "a", **times} | fields))


async def _kept(pg, name, campaign):
    return await store.CAMPAIGNS.insert(pg, "main", name, campaign, "test")


async def _unplanned(pg):
    return [one.kept.id for one in await store.unplanned(pg, 10)]


async def test_a_campaign_is_shown_until_its_version_is_planned(pg):
    kept = await _kept(pg, "d11", _campaign())
    assert kept.settled
    assert not kept.published
    assert await _unplanned(pg) == ["d11"]
    await store.mark_planned(pg, [Published("main", "d11", ["f1", "f2"], ["p1"])])
    assert await _unplanned(pg) == []
    assert not (await store.CAMPAIGNS.get(pg, "main", "d11")).published
    await store.mark_published(pg)
    assert (await store.CAMPAIGNS.get(pg, "main", "d11")).published
    await store.CAMPAIGNS.update(pg, "main", kept, _campaign(name="b"), "test")
    (one,) = await store.unplanned(pg, 10)
    assert (one.kept.version, one.fields, one.pools) == (2, ["f1", "f2"], ["p1"])


async def test_it_is_published_once_its_skus_are_planned(pg):
    await _kept(pg, "d11", _campaign())
    sku = "INSERT INTO campaign_skus VALUES ('main', 'd11', $1, 1, '{}', '{}')"
    change = "INSERT INTO stock_changes (tenant, sku) VALUES ('main', $1) RETURNING id"
    await pg.execute(sku, "tea")
    others, its, later = [await pg.fetchval(change, one) for one in ("cup", "tea", "tea")]
    await store.mark_planned(pg, [Published("main", "d11", [], [])], its)
    await store.mark_published(pg)
    assert not (await store.CAMPAIGNS.get(pg, "main", "d11")).published
    await pg.execute("DELETE FROM stock_changes WHERE id = $1", its)
    await store.mark_published(pg)
    assert (await store.CAMPAIGNS.get(pg, "main", "d11")).published
    assert others < its < later


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
