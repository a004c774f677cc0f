"""The rules of review over HTTP; they are for all channels, so a channel-bound key is refused."""

from typing import Final

from aiohttp import web

from engine.infra.http.auth import unbound_of
from engine.infra.http.openapi import Operation, operation
from engine.infra.http.resource import kept_response, match_of, rendered, saved_response
from engine.infra.http.server import raw_body
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.errors import LacksLibrary, NotFound
from engine.review.service import documents as service
from engine.review.types.documents import ReviewFields, ReviewView

_RULES: Final = "/v1/review-rules"
_decode: Final = codec.Decoder(ReviewFields)

OPERATIONS: Final[list[Operation]] = [
    operation(
        "PUT", _RULES, "Keep the rules by which paid orders are approved or held", "admin",
        request=ReviewFields, responses={200: ReviewView, 201: ReviewView},
        problems=[LacksLibrary], etag=True,
    ),
    operation(
        "GET", _RULES, "Show the rules by which paid orders are approved or held", "admin",
        responses={200: ReviewView}, problems=[NotFound], etag=True,
    ),
]  # fmt: skip


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [web.put(_RULES, _put), web.get(_RULES, _get)]


async def _put(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    body = await raw_body(request)
    fields = _decode(body)
    if b"\\u0000" in body:
        codec.refuse_nul(body)
    saved = await service.put(
        request.app[RUNTIME], principal.tenant, fields, match_of(request), principal.key_id
    )
    return saved_response(saved, rendered(saved.kept, "name"), _RULES)


async def _get(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    kept = await service.get(request.app[RUNTIME], principal.tenant)
    return kept_response(kept, rendered(kept, "name"))
