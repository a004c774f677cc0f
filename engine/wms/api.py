"""What warehouses call, signed by their own secret; the secret; and what people say instead."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from aiohttp import web

from engine.infra.http.auth import principal_of, unbound_of
from engine.infra.http.openapi import Operation, operation
from engine.infra.http.server import body_of, json_response, path_id
from engine.infra.runtime import RUNTIME, Runtime
from engine.kernel import codec
from engine.kernel.clock import instant
from engine.kernel.errors import (
    EngineError,
    InConflict,
    NotFound,
    PayloadTooLarge,
    Unauthorised,
)
from engine.kernel.limits import BODY_BYTES_MAX
from engine.kernel.types import Tenant
from engine.physical.service import nodes
from engine.shipments.service import ByHand
from engine.shipments.types.shipments import Reason
from engine.wms import service as wms
from engine.wms.rules import plain, qimen
from engine.wms.rules.plain import ReportIn
from engine.wms.service import accesses, byhand, callbacks
from engine.wms.types import Access, Report

_Secret = Annotated[str, msgspec.Meta(min_length=16, max_length=256)]
_XML: Final = "text/xml"
_NOTE_MAX: Final = 256
_REASONS: Final[Mapping[str, Reason]] = {reason: reason for reason in get_args(Reason)}


class SecretIn(codec.Wire, frozen=True):
    """The secret that a node's system and we sign with; no call ever shows it.

    With `keep_former` what the one before signed is still taken, until this is sent again without.
    """

    secret: _Secret
    keep_former: bool = False


class SecretKept(codec.Answer, frozen=True):
    """That it was kept."""

    node: str
    outcome: str


class CallbackTaken(codec.Answer, frozen=True):
    """What became of a message: `recorded`, `repeated`, or `ignored`: nothing here is meant."""

    outcome: str


class RejectIn(codec.Wire, frozen=True):
    """Why a node will not send a shipment, and a note for whoever reads its order's timeline."""

    reason: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(_REASONS)})]
    note: Annotated[str, msgspec.Meta(max_length=_NOTE_MAX)] = ""


class RejectedView(codec.Answer, frozen=True):
    """What became of it: of all that its node was asked for together.

    `asked`: the node's own system has it and is asked to let go; rejected it is once it did.
    """

    shipments: list[str]
    state: Literal["rejected", "asked"]
    reason: Reason


_decode_reject: Final = codec.Decoder(RejectIn)
_decode_secret: Final = codec.Decoder(SecretIn)


async def put_secret(request: web.Request) -> web.Response:
    """Set the secret of a node."""
    principal = await unbound_of(request, "admin")
    node, runtime = path_id(request, "node"), request.app[RUNTIME]
    told = await body_of(request, _decode_secret)
    codec.plain_text(told.secret, "/secret", 256)
    await nodes.get(runtime, principal.tenant, node)
    await wms.put_secret(
        runtime, principal.tenant, node, told.secret, keep=told.keep_former, actor=principal.key_id
    )
    return json_response(SecretKept(node, "kept"))


async def post_callback(request: web.Request) -> web.Response:
    """Take in what a node's system tells; nothing is read of it before its signature holds."""
    runtime = request.app[RUNTIME]
    tenant = Tenant(runtime.settings.tenant)
    node = path_id(request, "node")
    body = await _body(request)
    reached = await accesses.reach(runtime, tenant, node)
    if reached is None:
        raise Unauthorised("the signature does not fit")
    now_ms = runtime.clock.now_ms()
    if reached.access.language == "qimen":
        qimen.verify(reached.access.secrets, _query(request), body, now_ms)
        return await _qimen(runtime, tenant, reached.access, request, body)
    header = request.headers.get(plain.SIGNATURE, "")
    plain.verify(reached.access.secrets, header, body, now_ms)
    reports = plain.told(body, node, instant(now_ms))
    return json_response(CallbackTaken(await _taken(runtime, tenant, reached.access, reports)))


async def post_reject(request: web.Request) -> web.Response:
    """Take from a node what it will not send; a bound key does so for its channel."""
    principal = await principal_of(request, "orders:write")
    shipment_id = path_id(request, "shipment_id")
    told = await body_of(request, _decode_reject)
    reason = _REASONS.get(told.reason)
    if reason is None:
        codec.refuse("/reason", f"must be one of {', '.join(_REASONS)}")
    note = codec.plain_text(told.note, "/note", _NOTE_MAX)
    said = ByHand(shipment_id, "", reason, note, principal.key_id)
    done = await byhand.reject(request.app[RUNTIME], principal.tenant, principal.channel, said)
    status = 200 if done.state == "rejected" else 202
    answer = RejectedView(list(done.shipments), done.state, reason)
    return json_response(answer, status=status)


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.put("/v1/nodes/{node}/secret", put_secret),
        web.post("/v1/wms/{node}/callbacks", post_callback),
        web.post("/v1/shipments/{shipment_id}/reject", post_reject),
    ]


async def _qimen(
    runtime: Runtime, tenant: Tenant, access: Access, request: web.Request, body: bytes
) -> web.Response:
    """Answer as Qimen does, refusals too: with what it calls a failure the message comes again."""
    try:
        method = qimen.method_of(_query(request))
        reports = qimen.told(method, body, access.node, instant(runtime.clock.now_ms()))
        outcome: str = await _taken(runtime, tenant, access, reports)
    except EngineError as refused:
        faults: Any = refused.extra.get("errors") or [{"pointer": "", "detail": refused.detail}]
        text = "; ".join(f"{fault['pointer']} {fault['detail']}".strip() for fault in faults)
        answer = qimen.answer(success=False, message=text)
        return web.Response(status=refused.status, body=answer, content_type=_XML)
    return web.Response(body=qimen.answer(success=True, message=outcome), content_type=_XML)


async def _taken(
    runtime: Runtime, tenant: Tenant, access: Access, reports: tuple[Report, ...]
) -> str:
    outcomes = [await callbacks.take(runtime, tenant, access, one) for one in reports]
    return outcomes[0]


async def _body(request: web.Request) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise PayloadTooLarge(f"a body here has at most {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _query(request: web.Request) -> list[tuple[str, str]]:
    return list(request.query.items())


OPERATIONS: Final[list[Operation]] = [
    operation(
        "PUT",
        "/v1/nodes/{node}/secret",
        "Set the secret that a node's system and we sign with",
        "admin",
        request=SecretIn,
        responses={200: SecretKept},
        problems=[NotFound],
    ),
    operation(
        "POST",
        "/v1/wms/{node}/callbacks",
        "Take in what a node's system tells, signed with its secret: JSON, or Qimen's XML",
        "the node's signature",
        request=ReportIn,
        responses={200: CallbackTaken},
        problems=[PayloadTooLarge],
    ),
    operation(
        "POST",
        "/v1/shipments/{shipment_id}/reject",
        "Say that a node will not send a shipment, and why: its order is routed again",
        "orders:write",
        request=RejectIn,
        responses={200: RejectedView, 202: RejectedView},
        problems=[NotFound, InConflict],
    ),
]
