"""Explain why as many of a SKU are for sale as are."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from engine.catalogue import service as catalogue
from engine.catalogue.types import SkuFields
from engine.explanations import store
from engine.explanations.rules import chain as chains
from engine.explanations.rules import changes
from engine.explanations.types import (
    Accounts,
    Change,
    ChannelView,
    ComponentView,
    GroupView,
    Known,
    ListingView,
    Logical,
    NodeView,
    Physical,
    Plan,
    PoolView,
    Reach,
    Shared,
    StockView,
    Term,
)
from engine.infra.postgres import Connection, snapshot
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept
from engine.inventory.service import looking, selling
from engine.inventory.service.looking import Looked
from engine.inventory.service.selling import Asked, Seen
from engine.inventory.types import OfferKey, StockItem
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.types import Tenant
from engine.logical.service import bases as logical
from engine.logical.types.bases import NodeBase

_CHANNELS_MAX = 1_000  # of one bundle, by campaigns
_CHANGES_MAX = 5  # of each channel, where all are explained


async def explain(
    runtime: Runtime, tenant: Tenant, sku: str, channel: str = "", *, whole: bool = True
) -> StockView:
    """Explain a SKU; of all channels or one. Without `whole`, only what that channel may sell.

    All of it is of one instant, but for what the cell alone counts: how much of a cap is used.

    Raises:
        NotFound: no such SKU.
        Overloaded: a channel's draws are capped, and the cell does not answer.
    """
    async with snapshot(runtime.pool) as db:
        kept = await catalogue.find(db, tenant, sku)
        if kept.value.components:
            asked = Asked(channel, sku, ("", "", ""), _CHANNELS_MAX)
            seen = await selling.see(runtime, db, tenant, asked)
            return _bundle(kept, seen, await selling.items(runtime, seen))
        looked = await looking.look(runtime, db, tenant, sku, channel)
        known = await _known(db, tenant, sku, looked)
        without = await _without(db, tenant, sku, looked, known) if whole else {}
        shown = await store.shown(db, tenant, sku)
    # what a SKU with a thousand pools costs must not stand in the way of orders
    views, groups = await asyncio.to_thread(_decided, known, without, shown, looked.at, whole=whole)
    if not channel:
        views = [_short(one) for one in views]
    return StockView(
        sku,
        known.stock.card.owner,
        rfc3339(to_ms(looked.at)),
        looked.log_id,
        _physical(known) if whole else None,
        Logical(groups) if whole else None,
        Shared(_pools(known)) if whole else None,
        views,
        [],
        looked.more,
    )


def _bundle(kept: Kept[SkuFields], seen: Seen, items: Mapping[OfferKey, StockItem]) -> StockView:
    """Say of which component there is least; the others' chains are asked for by their own SKUs."""
    parts = [ComponentView(one.sku, one.quantity) for one in kept.value.components]
    views = []
    for key in seen.listed:
        makes = {}
        for part in parts:
            have = items.get(key._replace(sku=part.sku))
            makes[part.sku] = have.sellable // part.quantity if have else 0
        least = min(makes, key=lambda sku: (makes[sku], sku))
        term = Term("channel", "component", least, 0, makes[least])
        made = items[key].sellable
        views.append(ChannelView(key.channel, key.campaign, made, [], made, term, [], []))
    as_of = rfc3339(to_ms(seen.at))
    return StockView(kept.id, kept.value.owner, as_of, seen.log_id, None, None, None, views, parts)


async def _known(db: Connection, tenant: Tenant, sku: str, looked: Looked) -> Known:
    campaigns = {one.campaign for one in looked.offers if one.campaign}
    windows = await store.windows(db, tenant, campaigns)
    gates: dict[str, list[tuple[str, str]]] = {}
    for campaign in {"", *campaigns}:
        gates[campaign] = [
            *([("paused_sku", sku)] if ("sku", sku) in looked.paused else []),
            *([("paused_campaign", campaign)] if ("campaign", campaign) in looked.paused else []),
            *([(windows[campaign], campaign)] if campaign in windows else []),
        ]
    accounts = {name: Accounts(*one) for name, one in looked.accounts.items()}
    return Known(
        looked.stock, looked.nodes, accounts, [Reach(*one) for one in looked.offers], gates
    )


async def _without(
    db: Connection, tenant: Tenant, sku: str, looked: Looked, known: Known
) -> dict[str, Sequence[NodeBase]]:
    rules = {term.rule for node in known.nodes for term in node.terms if term.rule}
    return {
        rule: (await logical.bases(db, tenant, [sku], looked.at, rule))[sku]
        for rule in sorted(rules)
    }


def _decided(
    known: Known,
    without: Mapping[str, Sequence[NodeBase]],
    shown: Mapping[str, list[ListingView]],
    at: datetime,
    *,
    whole: bool,
) -> tuple[list[ChannelView], list[GroupView]]:
    plan = changes.planned(known.stock, at)
    others = changes.alternatives(known, plan, without, at) if whole else []
    views = []
    for reach in known.reaches:
        what = changes.changes(known, reach, plan, others, at) if whole else []
        views.append(_channel(known, reach, plan, what, shown.get(reach.channel, []), whole=whole))
    return views, _groups(known, plan)


def _channel(
    known: Known,
    reach: Reach,
    plan: Plan,
    what: list[Change],
    listings: list[ListingView],
    *,
    whole: bool,
) -> ChannelView:
    found = chains.chain(known, reach, plan)
    return ChannelView(
        reach.channel,
        reach.campaign,
        found.start if whole else found.sellable,
        found.terms if whole else [],
        found.sellable,
        changes.binding(found.terms, what, known.gates.get(reach.campaign, ())) if whole else None,
        what,
        [] if reach.campaign else listings,
    )


def _short(one: ChannelView) -> ChannelView:
    """Leave out what makes all channels of a SKU with a thousand pools megabytes."""
    terms, binding = chains.shortened(one.terms, one.binding)
    if len(terms) == len(one.terms) and len(one.changes) <= _CHANGES_MAX:
        return one
    changes = one.changes[:_CHANGES_MAX]
    return replace(one, terms=terms, binding=binding, changes=changes, more=True)


def _physical(known: Known) -> Physical:
    counted = known.stock.bases is not None
    nodes = [
        NodeView(
            one.node, one.node_group, one.counts, one.why_not, one.on_hand,
            chains.node_terms(one), one.sellable, one.assigned,
        )
        for one in known.nodes
    ]  # fmt: skip
    return Physical(counted, sum(one.on_hand for one in known.nodes), nodes)


def _groups(known: Known, plan: Plan) -> list[GroupView]:
    shorts = plan.outcome.shorts
    return [
        GroupView(group, base.sellable, base.assigned, shorts.get(group, 0))
        for group, base in sorted((known.stock.bases or {}).items())
    ]


def _pools(known: Known) -> list[PoolView]:
    return [
        PoolView(
            one.name.channel, one.name.campaign, one.name.node_group, one.free,
            *known.accounts[one.name],
        )
        for one in sorted(known.stock.pools, key=lambda one: one.name)
    ]  # fmt: skip
