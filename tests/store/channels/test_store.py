"""Channels as the publisher and ingest are shown them."""

import msgspec
import pytest

from engine.channels import store
from engine.channels.types import ChannelFields
from engine.infra.publishing import Unplannable
from engine.kernel.errors import NotFound


async def test_a_channel_is_shown_until_its_version_is_planned(pg):
    kept = await store.CHANNELS.insert(pg, "main", "mall", ChannelFields("Mall"), "test")
    assert await store.CHANNELS.insert(pg, "main", "mall", ChannelFields("M"), "test") is None
    assert [one.kept.id for one in await store.unplanned(pg, 10)] == ["mall"]
    await store.mark_planned(pg, [("main", "mall")])
    assert await store.unplanned(pg, 10) == []
    await store.mark_published(pg)
    assert (await store.CHANNELS.get(pg, "main", "mall")).published
    external = msgspec.structs.replace(kept.value, authority="external")
    changed = await store.CHANNELS.update(pg, "main", kept, external, "test")
    assert (changed.version, changed.published) == (2, False)
    (one,) = await store.unplanned(pg, 10)
    assert (one.tenant, one.kept.value.authority) == ("main", "external")


async def test_one_that_cannot_be_read_is_shown_as_that(pg):
    for name in ("bad", "good"):
        await store.CHANNELS.insert(pg, "main", name, ChannelFields("Mall"), "test")
    await pg.execute(
        "UPDATE channels SET document = document || '{\"hold_seconds\": -5}' WHERE channel = 'bad'"
    )
    bad, good = await store.unplanned(pg, 10)
    assert bad == Unplannable("main", "bad", 1, "/hold_seconds: Expected `int` >= 1")
    assert good.kept.id == "good"


async def test_a_tenant_sees_its_own(pg):
    for tenant in ("main", "other"):
        await store.CHANNELS.insert(pg, tenant, tenant, ChannelFields("Mall"), "test")
    assert await store.known(pg, "main", ["main", "other"]) == {"main"}
    with pytest.raises(NotFound):
        await store.CHANNELS.get(pg, "main", "other")
    assert [one.id for one in await store.CHANNELS.page(pg, "other", "", 10, "")] == ["other"]
