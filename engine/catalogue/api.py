"""SKUs over HTTP."""

from typing import Final

from aiohttp import web

from engine.catalogue import service
from engine.catalogue.types import SkuFields, SkuPage, SkuView
from engine.infra.http.auth import principal_of, require_unbound
from engine.infra.http.openapi import PAGED, Operation, operation
from engine.infra.http.paging import read_page
from engine.infra.http.resource import kept_response, match_of, rendered, saved_response
from engine.infra.http.server import body_of, json_response, path_id
from engine.infra.runtime import RUNTIME
from engine.infra.versioned import Kept
from engine.kernel import codec
from engine.kernel.errors import InConflict, NotFound

_decode: Final = codec.Decoder(SkuFields)


async def put_sku(request: web.Request) -> web.Response:
    """Create or change a SKU."""
    principal = await principal_of(request, "stock:write")
    require_unbound(principal)
    sku, fields = path_id(request, "sku"), await body_of(request, _decode)
    saved = await service.put(
        request.app[RUNTIME], principal.tenant, sku, fields, match_of(request), principal.key_id
    )
    return saved_response(saved, _shown(saved.kept), request.rel_url.raw_path)


async def get_sku(request: web.Request) -> web.Response:
    """Show a SKU."""
    principal = await principal_of(request, "stock:read")
    kept = await service.get(request.app[RUNTIME], principal.tenant, path_id(request, "sku"))
    return kept_response(kept, _shown(kept))


async def list_skus(request: web.Request) -> web.Response:
    """List SKUs."""
    principal = await principal_of(request, "stock:read")
    page = read_page(request.query, str)
    after = page.after[0] if page.after else ""
    rows = await service.page(request.app[RUNTIME], principal.tenant, after, page.limit + 1)
    return json_response(page.answer(rows, lambda kept: [kept.id], _shown))


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.put("/v1/skus/{sku}", put_sku),
        web.get("/v1/skus/{sku}", get_sku),
        web.get("/v1/skus", list_skus),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "PUT",
        "/v1/skus/{sku}",
        "Create or change a SKU",
        "stock:write",
        request=SkuFields,
        responses={200: SkuView, 201: SkuView},
        problems=[InConflict],
        etag=True,
    ),
    operation(
        "GET",
        "/v1/skus/{sku}",
        "Show a SKU",
        "stock:read",
        responses={200: SkuView},
        problems=[NotFound],
        etag=True,
    ),
    operation("GET", "/v1/skus", "List SKUs", "stock:read", responses={200: SkuPage}, query=PAGED),
]


def _shown(kept: Kept[SkuFields]) -> dict[str, object]:
    return rendered(kept, "sku")
