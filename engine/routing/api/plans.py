"""Plans over HTTP: put, shown by version, tried, and moved through their states by an admin."""

from typing import Final

import msgspec
from aiohttp import web

from engine.infra.http.auth import unbound_of
from engine.infra.http.openapi import PAGED, Operation, operation
from engine.infra.http.paging import read_page
from engine.infra.http.resource import match_of
from engine.infra.http.server import json_response, path_id, raw_body
from engine.infra.runtime import RUNTIME
from engine.infra.versioned import etag
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import InConflict, LacksLibrary, NotFound, PlanInvalid
from engine.routing.service import plans as service
from engine.routing.service import reporting
from engine.routing.types.answers import (
    Checked,
    CheckView,
    FailedExample,
    PlanNote,
    PlanVersion,
    PlanView,
    Status,
    VersionPage,
    VersionView,
)
from engine.routing.types.comparing import ShadowReport
from engine.routing.types.plans import PlacedFault, PlanFields

VERSION_MAX: Final = 2**63 - 1
_DIGITS_MAX: Final = 18
_PLANS: Final = "/v1/routing-plans"
_PLAN: Final = f"{_PLANS}/{{plan}}"
_VERSIONS: Final = f"{_PLAN}/versions"
_VERSION: Final = f"{_VERSIONS}/{{n}}"
_MOVES: Final[dict[str, tuple[Status, str]]] = {
    "activate": ("ACTIVE", "Let a version of a plan decide, in the place of the one that does"),
    "shadow": ("SHADOW", "Let a version of a plan decide beside the active one, binding nothing"),
    "archive": ("ARCHIVED", "Let a version of a plan decide no more"),
}
_decode: Final = codec.Decoder(PlanFields)

OPERATIONS: Final[list[Operation]] = [
    operation(
        "PUT", _PLAN, "Create a routing plan, or change it: its last version is a DRAFT then",
        "admin", request=PlanFields, responses={200: PlanView, 201: PlanView},
        problems=[PlanInvalid, LacksLibrary], etag=True,
    ),
    operation(
        "GET", _PLAN, "Show the last version of a routing plan", "admin",
        responses={200: PlanView}, problems=[NotFound], etag=True,
    ),
    operation(
        "GET", _PLANS, "List routing plans, each by its last version", "admin",
        responses={200: VersionPage}, query=PAGED,
    ),
    operation(
        "GET", _VERSIONS, "List the versions of a routing plan, the last one first", "admin",
        responses={200: VersionPage}, problems=[NotFound], query=PAGED,
    ),
    operation(
        "GET", _VERSION, "Show a version of a routing plan", "admin", responses={200: PlanView},
        problems=[NotFound],
    ),
    operation(
        "POST", f"{_VERSION}/check", "Compile a version of a plan and decide its examples", "admin",
        responses={200: CheckView}, problems=[NotFound, LacksLibrary],
    ),
    operation(
        "GET", f"{_VERSION}/shadow-report",
        "Report how a version decided orders beside the ones that were active", "admin",
        responses={200: ShadowReport}, problems=[NotFound],
    ),
    *(
        operation(
            "POST", f"{_VERSION}/{word}", summary, "admin", responses={200: VersionView},
            problems=[NotFound, InConflict]
            + ([PlanInvalid, LacksLibrary] if status == "ACTIVE" else []),
        )
        for word, (status, summary) in _MOVES.items()
    ),
]  # fmt: skip


def routes() -> list[web.RouteDef]:
    """Return the routes of plans."""
    return [
        web.put(_PLAN, _put),
        web.get(_PLAN, _get),
        web.get(_PLANS, _list),
        web.get(_VERSIONS, _versions),
        web.get(_VERSION, _version),
        web.post(f"{_VERSION}/check", _check),
        web.get(f"{_VERSION}/shadow-report", _report),
        *(web.post(f"{_VERSION}/{word}", _move) for word in _MOVES),
    ]


async def _put(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    plan, body = path_id(request, "plan"), await raw_body(request)
    fields = _decode(body)
    if b"\\u0000" in body:
        codec.refuse_nul(body)
    found, created = await service.put(
        request.app[RUNTIME], principal.tenant, plan, fields, match_of(request), principal.key_id
    )
    headers = {"ETag": etag(found.version)}
    if created:
        headers["Location"] = request.rel_url.raw_path
    return json_response(_whole(found), 201 if created else 200, headers)


async def _get(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    plan = path_id(request, "plan")
    found = await service.version(request.app[RUNTIME], principal.tenant, plan)
    return json_response(_whole(found), headers={"ETag": etag(found.version)})


async def _list(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    page = read_page(request.query, str)
    after = page.after[0] if page.after else ""
    found = await service.page(request.app[RUNTIME], principal.tenant, after, page.limit + 1)
    return json_response(page.answer(found, lambda one: [one.plan], _summary))


async def _versions(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    page = read_page(request.query, int)
    below = page.after[0] if page.after else VERSION_MAX
    found = await service.versions(
        request.app[RUNTIME], principal.tenant, path_id(request, "plan"), below, page.limit + 1
    )
    return json_response(page.answer(found, lambda one: [one.version], _summary))


async def _version(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    plan, number = path_id(request, "plan"), _number(request)
    found = await service.version(request.app[RUNTIME], principal.tenant, plan, number)
    return json_response(_whole(found))


async def _check(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    plan, number = path_id(request, "plan"), _number(request)
    found = await service.check(request.app[RUNTIME], principal.tenant, plan, number)
    return json_response(_told(found))


async def _report(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    plan, number = path_id(request, "plan"), _number(request)
    found = await reporting.report(request.app[RUNTIME], principal.tenant, plan, number)
    return json_response(found)


async def _move(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    plan, number = path_id(request, "plan"), _number(request)
    status, _ = _MOVES[request.path.rpartition("/")[2]]
    found = await service.move(
        request.app[RUNTIME], principal.tenant, plan, number, status, principal.key_id
    )
    return json_response(_summary(found))


def _number(request: web.Request) -> int:
    """Return the version that the path names.

    Raises:
        NotFound: none could have that number.
    """
    text = path_id(request, "n")
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX):
        raise NotFound("there is no such version of a routing plan")
    return int(text)


def _summary(one: PlanVersion) -> VersionView:
    moments = (one.effective_from, one.effective_to, one.activated_at)
    since, until, activated = (rfc3339(to_ms(at)) if at else None for at in moments)
    return VersionView(
        one.plan, one.version, one.status, one.digest, one.created_by,
        rfc3339(to_ms(one.created_at)), rfc3339(to_ms(one.updated_at)), since, until,
        one.activated_by, activated,
    )  # fmt: skip


def _whole(one: PlanVersion) -> dict[str, object]:
    assert one.fields is not None, "one version is read with what it says"
    return msgspec.structs.asdict(one.fields) | msgspec.structs.asdict(_summary(one))


def _told(found: Checked) -> CheckView:
    return CheckView(
        valid=not (found.errors or found.failed),
        errors=[_note(one) for one in found.errors],
        notes=[_note(one) for one in found.notes],
        examples=found.examples,
        failed=[FailedExample(*one) for one in found.failed],
    )


def _note(one: PlacedFault) -> PlanNote:
    return PlanNote(one.pointer, one.detail, *one.place)
