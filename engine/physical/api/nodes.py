"""Nodes over HTTP; a channel-bound key is refused."""

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
from engine.physical.service import nodes as service
from engine.physical.types.nodes import NodeFields, NodePage, NodeView

_decode_node: Final = codec.Decoder(NodeFields)


async def put_node(request: web.Request) -> web.Response:
    """Create or change a node."""
    principal = await _caller(request, "stock:write")
    node, fields = path_id(request, "node"), await body_of(request, _decode_node)
    saved = await service.put(
        request.app[RUNTIME], principal.tenant, node, fields, match_of(request), principal.key_id
    )
    return saved_response(saved, _node(saved.kept), request.rel_url.raw_path)


async def get_node(request: web.Request) -> web.Response:
    """Show a node."""
    principal = await _caller(request, "stock:read")
    kept = await service.get(request.app[RUNTIME], principal.tenant, path_id(request, "node"))
    return kept_response(kept, _node(kept))


async def list_nodes(request: web.Request) -> web.Response:
    """List nodes."""
    principal = await _caller(request, "stock:read")
    page = read_page(request.query, str)
    after = page.after[0] if page.after else ""
    rows = await service.page(request.app[RUNTIME], principal.tenant, after, page.limit + 1)
    return json_response(page.answer(rows, lambda kept: [kept.id], _node))


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [
        web.put("/v1/nodes/{node}", put_node),
        web.get("/v1/nodes/{node}", get_node),
        web.get("/v1/nodes", list_nodes),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "PUT",
        "/v1/nodes/{node}",
        "Create or change a node",
        "stock:write",
        request=NodeFields,
        responses={200: NodeView, 201: NodeView},
        etag=True,
    ),
    operation(
        "GET",
        "/v1/nodes/{node}",
        "Show a node",
        "stock:read",
        responses={200: NodeView},
        problems=[NotFound],
        etag=True,
    ),
    operation(
        "GET", "/v1/nodes", "List nodes", "stock:read", responses={200: NodePage}, query=PAGED
    ),
]


async def _caller(request: web.Request, scope: str) -> Principal:
    principal = await principal_of(request, scope)
    require_unbound(principal)
    return principal


def _node(kept: Kept[NodeFields]) -> dict[str, object]:
    return rendered(kept, "node")
