"""Keep what shops say of their listings, and what people say of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from engine.infra.runtime import Runtime
from engine.kernel.types import Tenant
from engine.publications.rules import numbers
from engine.publications.rules import telling as rules
from engine.publications.store import looking, shelves, told
from engine.publications.store.shelves import Wanted
from engine.publications.types import Ack, Acked, ItemResult, Settings, Sight

__all__ = ["Wanted", "ack", "keep_settings", "page", "see"]

Link: TypeAlias = "tuple[str, str]"  # item_id, sku_id


async def page(runtime: Runtime, wanted: Wanted) -> list[Any]:
    """Return publications in the order of their links; whoever asks for pending ones is sent them.

    The last row is only there to tell that there are more.
    """
    async with runtime.pool.acquire() as connection:
        rows = await shelves.page(connection, wanted)
        given = rows[: wanted.limit - 1]
        if wanted.pending and given:
            await shelves.mark_sent(connection, wanted.tenant, given)
    return rows


async def ack(
    runtime: Runtime, tenant: Tenant, channel: str, items: Sequence[tuple[int, Ack]]
) -> dict[int, ItemResult]:
    """Keep what a shop said to numbers; return what became of each, by its place.

    Told twice, late or in the wrong order they come to the same.
    """
    found: dict[int, ItemResult] = {}
    taken: dict[Link, Acked] = {}
    refused: dict[Link, tuple[Link, int, str]] = {}
    async with runtime.pool.acquire() as connection, connection.transaction():
        known = await told.lock(
            connection, tenant, channel, {(one.item_id, one.sku_id) for _, one in items}
        )
        for n, one in items:
            link = one.item_id, one.sku_id
            if link not in known:
                found[n] = ItemResult(200, "unknown")
                continue
            word = rules.word(known[link], one)
            if word in {"acked", "superseded"}:
                taken[link] = took = rules.acked(known[link], one.number)
                known[link] = known[link]._replace(acked_number=took.number, lag_s=took.lag_s)
            elif word == "refused":
                refused[link] = link, one.number, one.reason
                known[link] = known[link]._replace(refused_number=one.number)
            found[n] = ItemResult(200, word, known[link].number)
        await told.ack(connection, tenant, channel, list(taken.items()))
        await told.refuse(connection, tenant, channel, list(refused.values()))
    return found


async def see(
    runtime: Runtime, tenant: Tenant, channel: str, items: Sequence[tuple[int, Sight]], actor: str
) -> dict[int, ItemResult]:
    """Keep what a shop shows; return what became of each, by its place. Older sights are left."""
    found: dict[int, ItemResult] = {}
    async with runtime.pool.acquire() as connection, connection.transaction():
        known = await told.lock(
            connection, tenant, channel, {(one.item_id, one.sku_id) for _, one in items}
        )
        newest: dict[Link, tuple[Link, int, datetime]] = {}
        for n, one in items:
            link = one.item_id, one.sku_id
            if link not in known:
                found[n] = ItemResult(200, "unknown")
                continue
            at = min(one.seen_at, known[link].now)  # a clock ahead of ours would hide what follows
            last = known[link].seen_at
            if last is not None and at <= last:
                repeated = at == last and known[link].seen == one.quantity
                found[n] = ItemResult(200, "repeated" if repeated else "stale", known[link].number)
                continue
            known[link] = known[link]._replace(seen=one.quantity, seen_at=at)
            newest[link] = link, one.quantity, at
            found[n] = ItemResult(200, "seen", known[link].number)
        rows = await told.see(connection, tenant, channel, list(newest.values()))
        await _tell_drift(connection, tenant, channel, rows, actor)
    return found | _drifts(items, found, {(row["item_id"], row["sku_id"]): row for row in rows})


async def keep_settings(
    runtime: Runtime, tenant: Tenant, channel: str, items: Sequence[tuple[int, Link, Settings]]
) -> dict[int, ItemResult]:
    """Keep what people say of listings and have their numbers made anew.

    Of a listing that stands there twice, the last counts.
    """
    last = {link: one for _, link, one in items}
    async with runtime.pool.acquire() as connection, connection.transaction():
        skus = await shelves.keep_settings(
            connection, tenant, channel, [(*link, one) for link, one in last.items()]
        )
        await looking.tell_changes(connection, {(tenant, channel, sku) for sku in skus.values()})
    return {n: ItemResult(200, "kept" if link in skus else "unknown") for n, link, _ in items}


async def _tell_drift(
    tx: Any, tenant: Tenant, channel: str, rows: Sequence[Any], actor: str
) -> None:
    events, drifts = [], []
    for row in rows:
        drift = numbers.drift_to_tell(row["drift"], row["drift_told"], row["after_ack_s"] or 0.0)
        if drift is None:
            continue
        drifts.append(((row["item_id"], row["sku_id"]), drift))
        events.append(
            {
                "tenant": tenant, "channel": channel, "item_id": row["item_id"],
                "sku_id": row["sku_id"], "sku": row["sku"], "number": row["number"],
                "published": row["published"], "seen": row["seen"], "drift": drift,
            }
        )  # fmt: skip
    await told.tell_drift(tx, tenant, channel, drifts)
    await shelves.write_events(tx, "listing_drift", actor, events)


def _drifts(
    items: Sequence[tuple[int, Sight]],
    found: Mapping[int, ItemResult],
    rows: Mapping[Link, Any],
) -> dict[int, ItemResult]:
    return {
        n: ItemResult(200, "seen", found[n].number, rows[one.item_id, one.sku_id]["drift"])
        for n, one in items
        if found[n].result == "seen"
    }
