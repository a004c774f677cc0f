"""Keys of the API: made, listed and revoked by an admin."""

from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from aiohttp import web

from engine.infra.http.auth import (
    ADMIN,
    DIRECTORY,
    SCOPES,
    SETTINGS_KEY_ID,
    SQL,
    digest_of,
    make_key,
    principal_of,
    unknown_scopes,
)
from engine.infra.http.openapi import PAGED, Operation, operation
from engine.infra.http.paging import read_page
from engine.infra.http.server import body_of, json_response, path_id
from engine.infra.postgres import Connection, Pool
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import InConflict, NotFound
from engine.kernel.types import Tenant

# Statements here stand alone, so a pool serves as well as a connection.
AnyConnection: TypeAlias = "Pool | Connection"

_RATE_MAX: Final = 1_000_000
_BURST_MAX: Final = 10_000_000


class NewKey(codec.Wire, frozen=True):
    """A key to be made; with a channel it sees only that channel.

    `rate_per_s` limits its requests, in each API process, except payments and orders:sync; `burst`,
    not less than it, is how many may come at once. 0 is no limit, and as many at once as a second.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    scopes: Annotated[list[str], msgspec.Meta(min_length=1, max_length=len(SCOPES))]
    channel: Annotated[str, msgspec.Meta(max_length=128)] = ""
    rate_per_s: Annotated[int, msgspec.Meta(ge=0, le=_RATE_MAX)] = 0
    burst: Annotated[int, msgspec.Meta(ge=0, le=_BURST_MAX)] = 0


class KeyView(codec.Answer, frozen=True):
    """A key without its secret."""

    key_id: str
    name: str
    scopes: list[str]
    channel: str
    rate_per_s: int
    burst: int
    created_at: str
    revoked_at: str | None


class MadeKey(KeyView, frozen=True):
    """A key with its secret, shown this once."""

    key: str


class KeyPage(codec.Answer, frozen=True):
    """One page of keys."""

    items: list[KeyView]
    next_cursor: str | None


_decode: Final = codec.Decoder(NewKey)


async def create(db: AnyConnection, tenant: Tenant, new: NewKey) -> MadeKey:
    """Make a key; the only moment at which its text exists on our side.

    Raises:
        ValidationFailed: a scope that does not exist, text that cannot be kept, an odd limit.
    """
    if unknown := unknown_scopes(new.scopes):
        codec.refuse("/scopes", f"no such scope: {', '.join(unknown)[:128]}")
    codec.identifier(new.name, "/name")
    if new.channel:
        codec.identifier(new.channel, "/channel")
        if ADMIN in new.scopes:
            codec.refuse("/scopes", "a key that is bound to a channel cannot be admin")
    key_id, key = make_key()
    row = await db.fetchrow(
        SQL["insert_key"], key_id, new.name, digest_of(key), tenant, sorted(set(new.scopes)),
        new.channel, new.rate_per_s, _burst(new),
    )  # fmt: skip
    assert row is not None, "an INSERT without a conflict clause returns its row"
    return MadeKey(**_fields(dict(row)), key=key)


async def revoke(db: AnyConnection, tenant: Tenant, key_id: str) -> None:
    """End a key; ending it again changes nothing.

    Raises:
        InConflict: the key of the settings, which every start would bring back.
        NotFound: no such key.
    """
    if key_id == SETTINGS_KEY_ID:
        raise InConflict("this key is set by TIDEGATE_ADMIN_KEY: change it there")
    if await db.fetchval(SQL["revoke_key"], tenant, key_id) is None:
        raise NotFound


async def listed(db: AnyConnection, tenant: Tenant, after: str, limit: int) -> list[KeyView]:
    """Return keys in the order of their ids, revoked ones too."""
    rows = await db.fetch(SQL["list_keys"], tenant, after, limit)
    return [KeyView(**_fields(dict(row))) for row in rows]


async def post_key(request: web.Request) -> web.Response:
    """Make a key."""
    principal = await principal_of(request, ADMIN)
    new = await body_of(request, _decode)
    pool = request.app[RUNTIME].pool
    made = await create(pool, principal.tenant, new)
    await request.app[DIRECTORY].refresh()
    return json_response(made, 201, {"Location": f"/v1/keys/{made.key_id}"})


async def get_keys(request: web.Request) -> web.Response:
    """List keys."""
    principal = await principal_of(request, ADMIN)
    page = read_page(request.query, str)
    after = page.after[0] if page.after else ""
    rows = await listed(request.app[RUNTIME].pool, principal.tenant, after, page.limit + 1)
    return json_response(page.answer(rows, lambda key: [key.key_id], lambda key: key))


async def delete_key(request: web.Request) -> web.Response:
    """Revoke a key: this process refuses it at once, the others within two seconds."""
    principal = await principal_of(request, ADMIN)
    await revoke(request.app[RUNTIME].pool, principal.tenant, path_id(request, "key_id"))
    await request.app[DIRECTORY].refresh()
    return web.Response(status=204)


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [
        web.post("/v1/keys", post_key),
        web.get("/v1/keys", get_keys),
        web.delete("/v1/keys/{key_id}", delete_key),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "POST",
        "/v1/keys",
        "Make a key; its secret is shown this once",
        ADMIN,
        request=NewKey,
        responses={201: MadeKey},
    ),
    operation("GET", "/v1/keys", "List keys", ADMIN, responses={200: KeyPage}, query=PAGED),
    operation(
        "DELETE",
        "/v1/keys/{key_id}",
        "Revoke a key",
        ADMIN,
        responses={204: None},
        problems=[NotFound, InConflict],
    ),
]


def _burst(new: NewKey) -> int:
    if new.burst and new.burst < new.rate_per_s:
        codec.refuse("/burst", "must not be less than rate_per_s")
    if new.burst and not new.rate_per_s:
        codec.refuse("/burst", "needs a rate_per_s")
    return new.burst or new.rate_per_s


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _shown(value) for name, value in row.items()}


def _shown(value: object) -> object:
    return rfc3339(to_ms(value)) if isinstance(value, datetime) else value
