"""Pause, resume and move: what an operator does while a sale runs, and marketplaces follow."""

from typing import Final

from aiohttp import web

from engine.infra.http.auth import unbound_of
from engine.infra.http.openapi import Operation, operation
from engine.infra.http.server import body_of, json_response, path_id
from engine.infra.runtime import RUNTIME
from engine.inventory.api.controls import switch, switches
from engine.inventory.types import MoveFields, Short
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import Closed, IdempotencyConflict, InConflict, NotFound, OutcomeUnknown
from engine.publications.service import controls as service
from engine.publications.types import DrainListing, DrainState, Found, PoolMove, SkuPauseView

_decode_move: Final = codec.Decoder(MoveFields)


async def pause_sku(request: web.Request) -> web.Response:
    """Stop a SKU."""
    return await switch(request, "sku", service.pause_sku)


async def resume_sku(request: web.Request) -> web.Response:
    """Let a SKU go on."""
    return await switch(request, "sku", service.resume_sku)


async def move(request: web.Request) -> web.Response:
    """Move free units between two pools of a SKU; 202 while a marketplace has to confirm."""
    principal = await unbound_of(request, "stock:write")
    wanted = await body_of(request, _decode_move)
    found = await service.move(request.app[RUNTIME], principal.tenant, wanted, principal.key_id)
    shown = _shown(found)
    return json_response(shown, 200 if shown.state == "done" else 202)


async def get_move(request: web.Request) -> web.Response:
    """Show what became of a move."""
    principal = await unbound_of(request, "stock:read")
    move_id = path_id(request, "move_id")
    found = await service.get_move(request.app[RUNTIME], principal.tenant, move_id)
    return json_response(_shown(found))


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [
        web.post("/v1/skus/{sku}/pause", pause_sku),
        web.post("/v1/skus/{sku}/resume", resume_sku),
        web.post("/v1/pools:move", move),
        web.get("/v1/pools:move/{move_id}", get_move),
    ]


OPERATIONS: Final[list[Operation]] = [
    *switches(
        "/v1/skus/{sku}",
        "a SKU: effective with the next order; says what listings show",
        SkuPauseView,
    ),
    operation(
        "POST",
        "/v1/pools:move",
        "Move free units between two pools of a SKU, once per move_id; out of a marketplace's pool"
        " only after its shops confirmed a lower number",
        "stock:write",
        request=MoveFields,
        responses={200: PoolMove, 202: PoolMove},
        problems=[Short, NotFound, InConflict, IdempotencyConflict, Closed, OutcomeUnknown],
    ),
    operation(
        "GET",
        "/v1/pools:move/{move_id}",
        "Show what became of a move between pools",
        "stock:read",
        responses={200: PoolMove},
        problems=[NotFound],
    ),
]


def _shown(found: Found) -> PoolMove:
    drain = found.drain
    direct: DrainState = "requested" if found.moved is None else "done"
    listings = [
        DrainListing(*one, confirmed=confirmed)
        for one, confirmed in zip(drain.listings if drain else (), found.confirmed, strict=True)
    ]
    ended_at = found.ended_at if drain else (found.at if found.moved is not None else None)
    return PoolMove(
        found.asked.move_id, found.asked.units, drain.state if drain else direct, found.reason,
        found.told, listings, rfc3339(to_ms(found.requested_at or found.at)),
        None if ended_at is None else rfc3339(to_ms(ended_at)),
    )  # fmt: skip
