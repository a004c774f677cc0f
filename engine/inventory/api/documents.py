"""Supply policies; they show all channels, so a channel-bound key is refused."""

from typing import Final

from aiohttp import web

from engine.infra.http.auth import unbound_of
from engine.infra.http.openapi import PAGED, Operation, operation
from engine.infra.http.paging import read_page
from engine.infra.http.resource import (
    kept_response,
    match_of,
    published_soon,
    rendered,
    saved_response,
)
from engine.infra.http.server import body_of, json_response, path_id
from engine.infra.runtime import RUNTIME
from engine.infra.versioned import Kept
from engine.inventory.service import documents as service
from engine.inventory.types import (
    PolicyFields,
    PolicyPage,
    PolicyView,
)
from engine.kernel import codec
from engine.kernel.errors import InConflict, NotFound, PreconditionRequired

_decode_policy: Final = codec.Decoder(PolicyFields)


async def put_policy(request: web.Request) -> web.Response:
    """Create or change a policy; answers when the cell has it, or after two seconds."""
    principal = await unbound_of(request, "stock:write")
    runtime, policy = request.app[RUNTIME], path_id(request, "policy")
    fields = await body_of(request, _decode_policy)
    saved = await service.put_policy(
        runtime, principal.tenant, policy, fields, match_of(request), principal.key_id
    )

    async def ask() -> bool:
        return (await service.get_policy(runtime, principal.tenant, policy)).published

    published = await published_soon(request, runtime.clock, ask)
    return saved_response(saved, _policy(saved.kept, published), request.rel_url.raw_path)


async def get_policy(request: web.Request) -> web.Response:
    """Show a policy."""
    principal = await unbound_of(request, "stock:read")
    policy = path_id(request, "policy")
    kept = await service.get_policy(request.app[RUNTIME], principal.tenant, policy)
    return kept_response(kept, _policy(kept, kept.published))


async def list_policies(request: web.Request) -> web.Response:
    """List policies."""
    principal = await unbound_of(request, "stock:read")
    page = read_page(request.query, str)
    after = page.after[0] if page.after else ""
    rows = await service.policies(request.app[RUNTIME], principal.tenant, after, page.limit + 1)
    answer = page.answer(rows, lambda kept: [kept.id], lambda kept: _policy(kept, kept.published))
    return json_response(answer)


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [
        web.put("/v1/supply-policies/{policy}", put_policy),
        web.get("/v1/supply-policies/{policy}", get_policy),
        web.get("/v1/supply-policies", list_policies),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "PUT",
        "/v1/supply-policies/{policy}",
        "Create or change a supply policy; an applied one needs If-Match",
        "stock:write",
        request=PolicyFields,
        responses={200: PolicyView, 201: PolicyView},
        problems=[InConflict, PreconditionRequired],
        headers=["Prefer"],
        etag=True,
    ),
    operation(
        "GET",
        "/v1/supply-policies/{policy}",
        "Show a supply policy",
        "stock:read",
        responses={200: PolicyView},
        problems=[NotFound],
        etag=True,
    ),
    operation(
        "GET",
        "/v1/supply-policies",
        "List supply policies",
        "stock:read",
        responses={200: PolicyPage},
        query=PAGED,
    ),
]


def _policy(kept: Kept[PolicyFields], published: bool) -> dict[str, object]:  # noqa: FBT001 - one caller kind
    return {**rendered(kept, "policy"), "published": published}
