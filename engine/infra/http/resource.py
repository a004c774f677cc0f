"""PUT and GET of versioned documents: strong ETags, If-Match, 201 and 200."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from engine.infra.http.server import json_response
from engine.infra.versioned import Kept, Match, Saved, T, etag
from engine.kernel.clock import Clock, rfc3339, to_ms

PUBLISH_WAIT_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.02
_TAG: Final = re.compile(r'(?P<weak>W/)?(?P<tag>"[^"]*")|(?P<any>\*)')


def match_of(request: web.Request) -> Match:
    """Read If-Match; a weak tag never matches, and a header without any tag matches nothing."""
    lines = request.headers.getall("If-Match", [])
    if not lines:
        return Match()
    found = _TAG.finditer(",".join(lines))
    return Match(frozenset(one["any"] or one["tag"] for one in found if not one["weak"]))


def saved_response(saved: Saved[T], document: object, path: str) -> web.Response:
    """Answer a PUT: 201 with Location when it is new, else 200."""
    headers = {"ETag": etag(saved.kept.version)}
    if saved.created:
        headers["Location"] = path
    return json_response(document, 201 if saved.created else 200, headers)


def kept_response(kept: Kept[T], document: object) -> web.Response:
    """Answer a GET of one."""
    return json_response(document, headers={"ETag": etag(kept.version)})


def rendered(kept: Kept[T], id_field: str) -> dict[str, object]:
    """Return a document with its id and version, as PUT, GET and lists show it."""
    fields = msgspec.structs.fields(kept.value)
    return {
        id_field: kept.id,
        **{one.encode_name: getattr(kept.value, one.name) for one in fields},
        "version": kept.version,
        "updated_at": rfc3339(to_ms(kept.updated_at)),
    }


async def published_soon(
    request: web.Request, clock: Clock, ask: Callable[[], Awaitable[bool]]
) -> bool:
    """Wait up to two seconds until the cell has it; `Prefer: respond-async` does not wait."""
    if "respond-async" in request.headers.get("Prefer", ""):
        return await ask()
    until = clock.monotonic() + PUBLISH_WAIT_SECONDS
    while not await ask():
        if clock.monotonic() >= until:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True
