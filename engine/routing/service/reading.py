"""How an order was routed, in words: names of nodes, filters and metrics as they were then."""

from datetime import datetime
from typing import Final

import asyncpg
import msgspec
import structlog

from engine.infra.postgres import Connection, Pool
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import NotFound
from engine.kernel.ids import line_id
from engine.kernel.types import Tenant
from engine.routing.rules import telling, tracing
from engine.routing.rules.facts import UnreadableFacts
from engine.routing.rules.tracing import Kept, Seqs
from engine.routing.store import plans, reading
from engine.routing.types.core import SourcingRule
from engine.routing.types.told import (
    DecisionView,
    PromiseView,
    Recorded,
    RejectionView,
    RoutingView,
    WaitView,
)

NUMBER_MAX: Final = 2**31 - 1
_SHOWN_MAX: Final = 100
_log: Final = structlog.get_logger(__name__)
_Rules = dict[Seqs, SourcingRule]


async def routing(
    pool: Pool, tenant: Tenant, channel: str, order_id: str, *, below: int, limit: int
) -> RoutingView:
    """Return how a recorded order was routed, by decisions below a number, without a cursor.

    Raises:
        NotFound: there is no such order, or it is of another channel.
    """
    async with pool.acquire() as db:
        row = await reading.order(db, tenant, channel, order_id)
        if row is None:
            raise NotFound("no such order")
        rejected = await reading.rejections(db, order_id, _SHOWN_MAX)
        broken = await reading.promises(db, order_id, _SHOWN_MAX)
        decided = await reading.decisions(db, order_id, below, limit)
        return RoutingView(
            order_id,
            _wait(row),
            [_rejection(order_id, one) for one in rejected],
            [_promise(order_id, one) for one in broken],
            await _told(db, tenant, decided),
            None,
        )


async def whole(pool: Pool, tenant: Tenant, order_id: str) -> RoutingView:
    """Return how an order was routed, by its last decisions; nothing of one not recorded yet."""
    try:
        return await routing(pool, tenant, "", order_id, below=NUMBER_MAX, limit=_SHOWN_MAX)
    except NotFound:
        return RoutingView(order_id, None, [], [], [], None)


async def _told(db: Connection, tenant: Tenant, decided: list[Recorded]) -> list[DecisionView]:
    read: list[tuple[Recorded, Kept]] = []
    for one in decided:
        try:
            read.append((one, tracing.unpacked(one.trace)))
        except msgspec.DecodeError:
            _log.warning("trace_unreadable", plan=one.plan, n=one.n)
    names = await reading.names(db, tenant, {kept.names for _, kept in read})
    rules: dict[tuple[str, int], _Rules] = {}
    found = []
    for one, kept in read:
        of = one.plan, one.version
        if of not in rules:
            rules[of] = await _rules(db, tenant, *of)
        called = names.get(kept.names) or telling.unnamed(kept)
        try:
            found.append(telling.told(one, kept, called, rules[of]))
        except UnreadableFacts:
            _log.warning("decision_unreadable", plan=one.plan, n=one.n)
    return found


async def _rules(db: Connection, tenant: Tenant, plan: str, version: int) -> _Rules:
    """Return the rules of a plan's version; none where it is not kept any more."""
    try:
        kept = await plans.version(db, tenant, plan, version)
    except NotFound:
        return {}
    return telling.outline(kept.fields) if kept.fields else {}


def _wait(row: asyncpg.Record) -> WaitView | None:
    if row["queue"] is None:
        return None
    since = rfc3339(to_ms(row["since"]))
    return WaitView(row["queue"], row["reason"], since, _text(row["due_at"]), row["hops"])


def _rejection(order_id: str, row: asyncpg.Record) -> RejectionView:
    return RejectionView(
        rfc3339(to_ms(row["at"])), line_id(order_id, row["line_no"]), row["node"], row["units"],
        row["reason"], row["stock_effect"], _text(row["exclude_until"]), row["actor"],
    )  # fmt: skip


def _promise(order_id: str, row: asyncpg.Record) -> PromiseView:
    return PromiseView(
        line_id(order_id, row["line_no"]), row["sku"], row["node_group"], row["units"],
        row["reason"], rfc3339(to_ms(row["since"])), _text(row["until"]),
    )  # fmt: skip


def _text(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(to_ms(at))
