"""`POST /v1/orders:sync`: what marketplaces say of the orders that they have sold."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiohttp import web
from msgspec.structs import replace

from engine.catalogue.registry import BUNDLES
from engine.channels.registry import Registry
from engine.infra import metrics
from engine.infra.http import items
from engine.infra.http.auth import Principal, principal_of, require_channel
from engine.infra.http.openapi import Operation, operation
from engine.infra.http.server import raw_body
from engine.infra.http.tracing import carried
from engine.infra.postgres import UNAVAILABLE
from engine.infra.runtime import RUNTIME
from engine.kernel import codec, limits
from engine.kernel.errors import EngineError, Overloaded, PayloadTooLarge, WrongCall
from engine.kernel.types import OrderId
from engine.listings.registry import LISTINGS
from engine.reservation.api import REGISTRY, RESERVATIONS
from engine.reservation.types import Snapshot, Synced
from engine.snapshots import rules
from engine.snapshots.types import (
    SnapshotIn,
    SnapshotsIn,
    SyncResult,
    SyncResults,
    Understood,
    decode_snapshot,
)

# Holds as Postgres has them, of those of these orders that it knows (`lua/include/hold.lua`).
RecallHolds = Callable[[Sequence[OrderId]], Awaitable[Mapping[OrderId, Sequence[Any]]]]
RECALL_HOLDS: Final[web.AppKey[RecallHolds]] = web.AppKey("recall_holds")

_SCOPE: Final = "orders:sync"


class _Asker(NamedTuple):
    """Whose snapshots these are, when (monotonic seconds) and in which trace they came."""

    principal: Principal
    asked_at: float
    trace: str


async def post_snapshots(request: web.Request) -> web.Response:
    """Make orders what these snapshots say; a bad one never spoils its neighbours."""
    app = request.app
    asked_at = app[RUNTIME].clock.monotonic()
    principal = await principal_of(request, _SCOPE)
    raws = items.cut(await raw_body(request))
    asker = _Asker(principal, asked_at, carried(request))
    understood = await items.decoded(raws, lambda raw: _understood(app, asker, raw))
    asked = [one.snapshot if isinstance(one, Understood) else one for one in understood]
    items.require_lines(sum(one.claim.weight for one in asked if isinstance(one, Snapshot)))
    asked = await _with_forgotten(app, asked)
    sent = {n: one for n, one in enumerate(asked) if isinstance(one, Snapshot)}
    outcomes = await _sync(app, sent)
    outcomes |= await _sync_again(app, asked, outcomes)
    found = [one if isinstance(one, EngineError) else outcomes[n] for n, one in enumerate(asked)]
    for one in found:
        word = one.code if isinstance(one, EngineError) else one.word
        metrics.ORDERS.add(("sync", word))
    results = [
        one if isinstance(one, EngineError) else _answer(sent[n], one)
        for n, one in enumerate(found)
    ]
    return items.answer(results)


async def _sync(
    app: web.Application, asked: Mapping[int, Snapshot]
) -> dict[int, Synced | EngineError]:
    return dict(zip(asked, await app[RESERVATIONS].sync_all([*asked.values()]), strict=True))


async def _sync_again(
    app: web.Application,
    asked: Sequence[Snapshot | EngineError],
    outcomes: Mapping[int, Synced | EngineError],
) -> dict[int, Synced | EngineError]:
    """Tell those anew whose SKU is not sold here by itself and is a bundle since a moment ago."""
    unmapped = {
        n: one
        for n, one in enumerate(asked)
        if isinstance(one, Snapshot) and _has_new_unmapped(outcomes[n])
    }
    if not unmapped or not await app[BUNDLES].fresh():
        return {}
    again = {}
    for n, one in unmapped.items():
        claim = one.claim
        parts = rules.parts_of(claim.lines, app[BUNDLES].of(claim.tenant))
        if parts != claim.parts:
            again[n] = one._replace(claim=claim._replace(parts=parts, recalled=()))
    found = await _sync(app, again)
    for n, outcome in found.items():
        first = outcomes[n]
        if isinstance(outcome, Synced) and isinstance(first, Synced):
            found[n] = replace(outcome, word=first.word)  # to whoever sent it, it was one
    return found


def _has_new_unmapped(outcome: Synced | EngineError) -> bool:
    if isinstance(outcome, EngineError) or outcome.word not in {"created", "updated"}:
        return False
    return bool(outcome.unmapped)


async def _understood(app: web.Application, asker: _Asker, raw: bytes) -> Understood:
    """Decode, check and resolve one snapshot.

    Raises:
        ValidationFailed: which field, and what is accepted there.
        WrongCall: orders of this channel are asked for.
        Overloaded: whether its listings are known cannot be said.
    """
    if len(raw) > limits.ORDER_BYTES_MAX:
        raise PayloadTooLarge(f"an order has at most {limits.ORDER_BYTES_MAX} bytes")
    order = decode_snapshot(raw)
    kept = codec.storable(raw, order.extensions)
    tenant, asked_at = asker.principal.tenant, asker.asked_at
    require_channel(asker.principal, order.channel)
    await _require_external(app[REGISTRY], tenant, order.channel, asked_at)
    found = _resolved(app, asker, order, kept)
    if found.unknown:  # a link that was mapped a moment ago is not, and only Postgres can say so
        if not await app[LISTINGS].fresh(asked_at):
            raise Overloaded("its listings cannot be looked up now; nothing was done")
        found = _resolved(app, asker, order, kept)
    return found


def _resolved(app: web.Application, asker: _Asker, order: SnapshotIn, raw: bytes) -> Understood:
    tenant, listings = asker.principal.tenant, app[LISTINGS]
    return rules.snapshot_of(
        order,
        raw,
        lambda item_id, sku_id: listings.resolve(tenant, order.channel, item_id, sku_id),
        tenant=tenant,
        actor=asker.principal.key_id,
        known=app[BUNDLES].of(tenant),
        trace=asker.trace,
    )


async def _require_external(registry: Registry, tenant: str, channel: str, asked_at: float) -> None:
    authority = await registry.authority(tenant, channel, asked_at)
    if authority is None:
        codec.refuse("/channel", "there is no such channel: make it by PUT /v1/channels/{channel}")
    if authority == "gate":
        raise WrongCall("orders of gate channels come by POST /v1/orders")


async def _with_forgotten(
    app: web.Application, asked: Sequence[Snapshot | EngineError]
) -> list[Snapshot | EngineError]:
    """Give those that the cell may have forgotten what Postgres knows of them.

    While it is away, what became of these cannot be said; the others do not need it.
    """
    oldest = app[RUNTIME].clock.now_ms() - limits.IDEMPOTENCY_KEEP_MS
    old = {
        one.claim.order_id
        for one in asked
        if isinstance(one, Snapshot) and one.claim.placed_at < oldest
    }
    if not old:
        return list(asked)
    try:
        known = await app[RECALL_HOLDS](sorted(old))
    except UNAVAILABLE:
        known = None
    found: list[Snapshot | EngineError] = []
    for one in asked:
        if isinstance(one, EngineError) or one.claim.order_id not in old:
            found.append(one)
        elif known is None:
            found.append(
                Overloaded("an order of that age cannot be looked up now; nothing was done")
            )
        else:
            recalled = known.get(one.claim.order_id, ())
            found.append(one._replace(claim=one.claim._replace(recalled=recalled)))
    return found


def _answer(snapshot: Snapshot, outcome: Synced) -> SyncResult:
    return rules.result_of(snapshot.claim.order_id, outcome)


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [web.post("/v1/orders:sync", post_snapshots)]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "POST",
        "/v1/orders:sync",
        "Tell of orders that a marketplace has sold",
        _SCOPE,
        request=SnapshotsIn,
        responses={200: SyncResults},
        problems=[PayloadTooLarge],
    ),
]
