"""Endpoints: made, changed, enabled, tried, looked at; and messages that are sent again."""

from collections.abc import Mapping
from typing import Any, Final

from engine.infra.runtime import Runtime
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import InConflict, NotFound
from engine.kernel.ids import token
from engine.kernel.types import Tenant
from engine.webhooks.rules import events, filters, retrying, signing
from engine.webhooks.service.sending import Sender
from engine.webhooks.store import delivering
from engine.webhooks.store import endpoints as store
from engine.webhooks.store.endpoints import Range, Wanted
from engine.webhooks.types.documents import (
    AttemptView,
    LetterGroup,
    Replayed,
    ReplayIn,
    Rotated,
    TestView,
    WebhookIn,
    WebhookLetter,
    WebhookMade,
    WebhookView,
)
from engine.webhooks.types.payloads import TestedData
from engine.webhooks.types.webhooks import Item

ENDPOINTS_MAX: Final = 100
REPLAYED_AT_ONCE: Final = 10_000
_NUMBER_MAX: Final = 2**62


async def create(runtime: Runtime, tenant: Tenant, given: WebhookIn, actor: str) -> WebhookMade:
    """Add an endpoint, which is told what happens from now on, and perhaps of the last moment.

    Raises:
        ValidationFailed: an address that may not be called, or a filter that lets nothing through.
        InConflict: there are too many.
    """
    wanted = await _wanted(runtime, given)
    endpoint_id, secret = f"whe_{token()}", _new_secret()
    async with runtime.pool.acquire() as tx, tx.transaction():
        if not await store.add(tx, tenant, endpoint_id, wanted, actor, ENDPOINTS_MAX):
            raise InConflict(f"there may be {ENDPOINTS_MAX} webhooks: delete one first")
        await store.add_secret(tx, endpoint_id, secret)
        view = _view((await store.listed(tx, tenant, endpoint_id=endpoint_id, limit=1))[0])
    return WebhookMade(**_members(view), secret=secret)


async def change(
    runtime: Runtime, tenant: Tenant, endpoint_id: str, given: WebhookIn, actor: str
) -> WebhookView:
    """Change an endpoint; what it was not told yet is judged by what it wants now.

    Raises:
        ValidationFailed: as of `create`.
        NotFound: there is none of that id.
    """
    wanted = await _wanted(runtime, given)
    if not await store.change(runtime.pool, tenant, endpoint_id, wanted, actor):
        raise NotFound
    return await get(runtime, tenant, endpoint_id)


async def get(runtime: Runtime, tenant: Tenant, endpoint_id: str) -> WebhookView:
    """Return one endpoint.

    Raises:
        NotFound: there is none of that id.
    """
    found = await store.listed(runtime.pool, tenant, endpoint_id=endpoint_id, limit=1)
    if not found:
        raise NotFound
    return _view(found[0])


async def listed(runtime: Runtime, tenant: Tenant, after: str, limit: int) -> list[WebhookView]:
    """Return endpoints in the order of their ids."""
    return [
        _view(row) for row in await store.listed(runtime.pool, tenant, after=after, limit=limit)
    ]


async def remove(runtime: Runtime, tenant: Tenant, endpoint_id: str) -> None:
    """Remove an endpoint, and what waits for it.

    Raises:
        NotFound: there is none of that id.
    """
    async with runtime.pool.acquire() as tx, tx.transaction():
        if not await store.remove(tx, tenant, endpoint_id):
            raise NotFound


async def enable(runtime: Runtime, tenant: Tenant, endpoint_id: str, actor: str) -> WebhookView:
    """Tell an endpoint again, beginning with what it was not told; one that is told stays so.

    Raises:
        NotFound: there is none of that id.
    """
    async with runtime.pool.acquire() as tx, tx.transaction():
        await store.enable(tx, tenant, endpoint_id, actor)
    return await get(runtime, tenant, endpoint_id)


async def disable(runtime: Runtime, tenant: Tenant, endpoint_id: str, actor: str) -> WebhookView:
    """Tell an endpoint nothing for now; what happens meanwhile waits, as long as messages are kept.

    Raises:
        NotFound: there is none of that id.
    """
    async with runtime.pool.acquire() as tx, tx.transaction():
        await store.disable(tx, tenant, endpoint_id, actor)
    return await get(runtime, tenant, endpoint_id)


async def rotate(runtime: Runtime, tenant: Tenant, endpoint_id: str, overlap_s: int) -> Rotated:
    """Sign with a new secret, and for a while with the former ones, too.

    Raises:
        NotFound: there is none of that id.
    """
    secret = _new_secret()
    async with runtime.pool.acquire() as tx, tx.transaction():
        if not await store.lock(tx, tenant, endpoint_id):
            raise NotFound
        until = await store.end_secrets(tx, endpoint_id, overlap_s)
        await store.add_secret(tx, endpoint_id, secret)
    return Rotated(secret, _moment(until) if overlap_s else None)


async def test(runtime: Runtime, tenant: Tenant, endpoint_id: str) -> TestView:
    """Send a message that nothing happened, now and once; return what came of it.

    Raises:
        NotFound: there is none of that id.
    """
    await get(runtime, tenant, endpoint_id)
    found = await delivering.endpoint(runtime.pool, endpoint_id)
    if found is None:
        raise NotFound
    now_ms = runtime.clock.now_ms()
    body = events.body(events.TEST, now_ms, TestedData(endpoint_id))
    item = Item(0, f"test_{token()}", events.TEST, "", body.encode(), "")
    async with Sender(runtime) as sender:
        answer = await sender.send(found, item)
    return TestView(
        item.message_id, answer.outcome, answer.status, round(answer.seconds, 6), answer.error
    )


async def attempts(
    runtime: Runtime, endpoint_id: str, before: int, said: Mapping[str, str], limit: int
) -> list[AttemptView]:
    """Return tries, the newest first; `said` may have an outcome and a message_id."""
    rows = await store.attempts(
        runtime.pool, endpoint_id, before, said["outcome"], said["message_id"], limit
    )
    return [AttemptView(**_shown(row)) for row in rows]


async def letters(
    runtime: Runtime, endpoint_id: str, after: int, cause: str, limit: int
) -> list[WebhookLetter]:
    """Return what was given up, the oldest first."""
    rows = await store.dead(runtime.pool, endpoint_id, after, cause, limit)
    return [WebhookLetter(**_shown(row)) for row in rows]


async def letter_groups(runtime: Runtime, endpoint_id: str) -> list[LetterGroup]:
    """Return for which causes something was given up."""
    rows = await store.dead_by_cause(runtime.pool, endpoint_id)
    return [LetterGroup(**row) for row in rows]


async def replay(
    runtime: Runtime, tenant: Tenant, endpoint_id: str, asked: ReplayIn
) -> Replayed:  # fmt: skip
    """Send messages again, in bounded steps; what was not told yet comes anyway.

    Raises:
        ValidationFailed: it does not say what.
        NotFound: there is no such endpoint.
    """
    which = Range(
        asked.message_ids, asked.from_sequence or 0,
        _NUMBER_MAX if asked.to_sequence is None else asked.to_sequence,
        asked.from_at, asked.to_at, asked.cause,
    )  # fmt: skip
    dead_only = asked.dead_only or bool(asked.cause)
    if which == Range([], 0, _NUMBER_MAX, None, None, "") and not dead_only:
        codec.refuse("", "must say what: message_ids, a range, a cause, or dead_only")
    async with runtime.pool.acquire() as tx, tx.transaction():
        if not await store.lock(tx, tenant, endpoint_id):
            raise NotFound
        done = await store.replay(tx, endpoint_id, which, REPLAYED_AT_ONCE, dead_only=dead_only)
    return Replayed(len(done), done[-1] + 1 if len(done) == REPLAYED_AT_ONCE else None)


async def _wanted(runtime: Runtime, given: WebhookIn) -> Wanted:
    known = sorted(one.name for one in events.KINDS.values())
    for n, name in enumerate(given.types):
        if wrong := filters.fault(name, known):
            codec.refuse(f"/types/{n}", wrong)
    for n, channel in enumerate(given.channels):
        codec.identifier(channel, f"/channels/{n}")
    text = codec.plain_text(given.description, "/description", len(given.description))
    async with Sender(runtime) as sender:
        if wrong := sender.fault(given.url) or await sender.leads_astray(given.url):
            codec.refuse("/url", wrong)
    types = sorted(set(given.types))
    return Wanted(given.url, text, types, filters.patterns(types), sorted(set(given.channels)))


def _new_secret() -> str:
    return signing.text_of(bytes.fromhex(token(signing.SECRET_BYTES)))


def _view(row: dict[str, Any]) -> WebhookView:
    told = _shown(row)
    is_open = retrying.is_open(told.pop("failures"))
    told["secrets"] = [_moment(one) for one in row["secrets"]]
    return WebhookView(**told, circuit="open" if is_open else "closed")


def _members(view: WebhookView) -> dict[str, Any]:
    return {name: getattr(view, name) for name in view.__struct_fields__}


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _moment(one) if hasattr(one, "tzinfo") else one for name, one in row.items()}


def _moment(one: Any) -> str | None:
    return None if one is None else rfc3339(to_ms(one))
