"""Channels as the publisher and ingest are shown them."""

import msgspec

from engine.channels import store
from engine.channels.types import ChannelFields


async def test_a_channel_is_shown_until_its_version_is_planned(pg):
    kept = await store.Channels().insert(pg, "main", "mall", ChannelFields("Mall"), "test")
    assert await store.Channels().insert(pg, "main", "mall", ChannelFields("M"), "test") is None
    assert [one.id for _, one in await store.unplanned(pg, 10)] == ["mall"]
    await store.mark_planned(pg, [("main", "mall")])
    assert await store.unplanned(pg, 10) == []
    await store.mark_published(pg)
    assert (await store.get(pg, "main", "mall")).published
    external = msgspec.structs.replace(kept.value, authority="external")
    changed = await store.Channels().update(pg, "main", kept, external, "test")
    assert (changed.version, changed.published) == (2, False)
    assert [one.value.authority for _, one in await store.unplanned(pg, 10)] == ["external"]


async def test_a_tenant_sees_its_own(pg):
    for tenant in ("main", "other"):
        await store.Channels().insert(pg, tenant, tenant, ChannelFields("Mall"), "test")
    assert await store.known(pg, "main", ["main", "other"]) == {"main"}
    assert await store.get(pg, "main", "other") is None
    assert [one.id for one in await store.page(pg, "other", "", 10, "")] == ["other"]
