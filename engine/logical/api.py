"""Stock rules over HTTP; they are for all channels, so a channel-bound key is refused."""

from typing import Final

from aiohttp import web

from engine.infra.http.auth import Principal, principal_of, require_unbound
from engine.infra.http.openapi import PAGED, Operation, operation
from engine.infra.http.paging import read_page
from engine.infra.http.resource import kept_response, match_of, rendered, saved_response
from engine.infra.http.server import body_of, json_response, path_id
from engine.infra.runtime import RUNTIME
from engine.infra.versioned import Kept
from engine.kernel import codec
from engine.kernel.errors import NotFound
from engine.logical.service import documents as service
from engine.logical.types.documents import RuleFields, RulePage, RuleView

_decode: Final = codec.Decoder(RuleFields)


async def put_rule(request: web.Request) -> web.Response:
    """Create or change a rule."""
    principal = await _caller(request, "stock:write")
    rule, fields = path_id(request, "rule"), await body_of(request, _decode)
    saved = await service.put(
        request.app[RUNTIME], principal.tenant, rule, fields, match_of(request), principal.key_id
    )
    return saved_response(saved, _shown(saved.kept), request.rel_url.raw_path)


async def get_rule(request: web.Request) -> web.Response:
    """Show a rule."""
    principal = await _caller(request, "stock:read")
    kept = await service.get(request.app[RUNTIME], principal.tenant, path_id(request, "rule"))
    return kept_response(kept, _shown(kept))


async def list_rules(request: web.Request) -> web.Response:
    """List rules."""
    principal = await _caller(request, "stock:read")
    page = read_page(request.query, str)
    after = page.after[0] if page.after else ""
    rows = await service.page(request.app[RUNTIME], principal.tenant, after, page.limit + 1)
    return json_response(page.answer(rows, lambda kept: [kept.id], _shown))


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.put("/v1/stock-rules/{rule}", put_rule),
        web.get("/v1/stock-rules/{rule}", get_rule),
        web.get("/v1/stock-rules", list_rules),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "PUT",
        "/v1/stock-rules/{rule}",
        "Create or change a rule about units that may not be sold",
        "stock:write",
        request=RuleFields,
        responses={200: RuleView, 201: RuleView},
        etag=True,
    ),
    operation(
        "GET",
        "/v1/stock-rules/{rule}",
        "Show a stock rule",
        "stock:read",
        responses={200: RuleView},
        problems=[NotFound],
        etag=True,
    ),
    operation(
        "GET", "/v1/stock-rules", "List stock rules", "stock:read",
        responses={200: RulePage}, query=PAGED,
    ),
]  # fmt: skip


async def _caller(request: web.Request, scope: str) -> Principal:
    principal = await principal_of(request, scope)
    require_unbound(principal)
    return principal


def _shown(kept: Kept[RuleFields]) -> dict[str, object]:
    return rendered(kept, "rule")
