"""What people see of it: the decisions, and how each shop stands."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Any

from engine.campaigns import service as campaigns
from engine.campaigns.types import CampaignFields, Elastic
from engine.elastic import rules
from engine.elastic.service.deciding import burn_of
from engine.elastic.store import lendings, pools
from engine.elastic.types import Held, LendingView, ShopView
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.types import Tenant


async def policy(runtime: Runtime, tenant: Tenant, campaign: str) -> Kept[CampaignFields]:
    """Return the campaign.

    Raises:
        NotFound: there is none of that name.
    """
    return await campaigns.get(runtime, tenant, campaign)


async def shops(
    runtime: Runtime, tenant: Tenant, kept: Kept[CampaignFields], sku: str, limit: int
) -> list[ShopView]:
    """Return at most `limit` shops, first those in need, then who sells out first."""
    if kept.value.elastic is None:
        return []
    async with runtime.pool.acquire() as connection:
        held, now = await pools.shown(connection, tenant, kept.id)
    views = _views(held, kept.value.elastic, kept.value.starts_at, now) if now else []
    chosen = [view for view in views if sku in {"", view.sku}]
    return sorted(chosen, key=_urgency)[:limit]


async def decisions(
    runtime: Runtime, tenant: Tenant, campaign: str, before: int, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Return decisions, latest first, with their `id`."""
    async with runtime.pool.acquire() as connection:
        return await lendings.page(connection, tenant, campaign, before, limit)


def shown(row: Mapping[str, Any]) -> LendingView:
    """Render a decision."""
    done_at = row["done_at"]
    return LendingView(
        row["sku"], row["node_group"], row["source"], row["target"], row["units"], row["how"],
        row["state"], row["reason"], row["detail"], row["move_id"],
        codec.decode_json(row["figures"]), rfc3339(to_ms(row["decided_at"])),
        done_at and rfc3339(to_ms(done_at)),
    )  # fmt: skip


def _views(
    held: Iterable[Held], elastic: Elastic, starts_at: datetime, now: datetime
) -> list[ShopView]:
    half_life_s = rules.half_life(elastic.horizon_seconds)
    views = []
    for one in held:
        rate = burn_of(one, half_life_s, now, starts_at).rate
        lasts_s = one.available / rate if rate > 0 else inf
        seen = one.seen
        views.append(
            ShopView(
                one.sku,
                one.channel,
                one.node_group,
                one.available,
                one.granted,
                round(rate, 4),
                round(lasts_s, 1) if lasts_s < inf else None,
                bool(seen and (seen.needy or seen.note)),
                seen.note if seen else "",
            )
        )
    return views


def _urgency(view: ShopView) -> tuple[bool, float, str, str]:
    lasts_s = view.sells_out_in_seconds
    return not view.needs, inf if lasts_s is None else lasts_s, view.sku, view.channel
