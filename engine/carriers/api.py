"""Services, rate cards and regions switched off, over HTTP; a channel-bound key is refused."""

from typing import Final

from aiohttp import web

from engine.carriers.rules.documents import ANY
from engine.carriers.service import cards, desks, printing, services
from engine.carriers.store.documents import Off
from engine.carriers.types.documents import (
    CardFields,
    CardPage,
    CardView,
    DeskSecret,
    RegionOff,
    RegionReason,
    RegionsOff,
    SecretKept,
    ServiceFields,
    ServicePage,
    ServiceView,
    WaybillView,
)
from engine.infra.http.auth import principal_of, unbound_of
from engine.infra.http.documents import Documents
from engine.infra.http.openapi import PAGED, Operation, operation
from engine.infra.http.paging import read_page
from engine.infra.http.resource import rendered
from engine.infra.http.server import body_of, json_response, path_id
from engine.infra.runtime import RUNTIME
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import Immutable, NotFound, OutcomeUnknown, ValidationFailed
from engine.places.rules.wording import text_faults

VERSION_MAX: Final = 2**63 - 1
_ADMIN: Final = ("admin", "stock:read")
_SERVICES: Final = Documents(
    "carriers", "service", ServiceFields, ServiceView, ServicePage, services,
    "Create or change a service of a carrier", "a service of a carrier", "services of carriers",
    scopes=_ADMIN,
)  # fmt: skip
_CARDS: Final = Documents(
    "rate-cards", "card", CardFields, CardView, CardPage, cards,
    "Create a rate card or its next version", "the last version of a rate card", "rate cards",
    problems=[Immutable], scopes=_ADMIN,
)  # fmt: skip
_SECRET: Final = "/v1/carriers/{service}/secret"  # noqa: S105 - a path
_WAYBILL: Final = "/v1/shipments/{shipment_id}/waybill"
_REGIONS: Final = "/v1/carriers/{service}/regions"
_REGION: Final = f"{_REGIONS}/{{region}}"
_VERSIONS: Final = "/v1/rate-cards/{card}/versions"
_decode: Final = codec.Decoder(RegionReason)
_decode_secret: Final = codec.Decoder(DeskSecret)

OPERATIONS: Final[list[Operation]] = [
    *_SERVICES.operations(),
    operation(
        "PUT", _REGION, "Let a service go to a region (* for all) no more, at once", "admin",
        request=RegionReason, responses={200: RegionOff, 201: RegionOff}, problems=[NotFound],
    ),
    operation(
        "DELETE", _REGION, "Let a service go to a region again", "admin",
        responses={200: RegionOff}, problems=[NotFound],
    ),
    operation(
        "PUT", _SECRET, "Set what is signed with when the carrier of a service is asked", "admin",
        request=DeskSecret, responses={200: SecretKept}, problems=[NotFound],
    ),
    operation(
        "GET", _WAYBILL, "Show the carrier's number of a shipment, and what a printer needs for it",
        "orders:read", responses={200: WaybillView}, problems=[NotFound, OutcomeUnknown],
    ),
    operation(
        "GET", _REGIONS, "List the regions that a service does not go to for now", "stock:read",
        responses={200: RegionsOff}, problems=[NotFound],
    ),
    *_CARDS.operations(),
    operation(
        "GET", _VERSIONS, "List the versions of a rate card, the last one first", "stock:read",
        responses={200: CardPage}, problems=[NotFound], query=PAGED,
    ),
]  # fmt: skip


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        *_SERVICES.routes(),
        web.put(_REGION, _switch_off),
        web.delete(_REGION, _switch_on),
        web.get(_REGIONS, _list_off),
        web.put(_SECRET, _put_secret),
        web.get(_WAYBILL, _show_waybill),
        *_CARDS.routes(),
        web.get(_VERSIONS, _versions),
    ]


async def _switch_off(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    service, region = path_id(request, "service"), _region(request)
    reason = (await body_of(request, _decode)).reason
    if wrong := list(text_faults({"/reason": reason})):
        raise ValidationFailed(wrong)
    off = await services.switch_off(
        request.app[RUNTIME], principal.tenant, service, region, (reason, principal.key_id)
    )
    return json_response(_shown(off), 201 if off.made else 200)


async def _switch_on(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    service, region = path_id(request, "service"), _region(request)
    runtime, tenant = request.app[RUNTIME], principal.tenant
    await services.switch_on(runtime, tenant, service, region, principal.key_id)
    return json_response(RegionOff(service, region or ANY, "on", by=principal.key_id))


async def _list_off(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "stock:read")
    runtime, service = request.app[RUNTIME], path_id(request, "service")
    found = await services.regions_off(runtime, principal.tenant, service)
    return json_response(RegionsOff([_shown(one) for one in found]))


async def _put_secret(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "admin")
    service, told = path_id(request, "service"), await body_of(request, _decode_secret)
    codec.plain_text(told.secret, "/secret", 256)
    runtime, tenant = request.app[RUNTIME], principal.tenant
    await desks.put_secret(runtime, tenant, service, told.secret, principal.key_id)
    return json_response(SecretKept(service))


async def _show_waybill(request: web.Request) -> web.Response:
    principal = await principal_of(request, "orders:read")
    shipment_id, runtime = path_id(request, "shipment_id"), request.app[RUNTIME]
    found = await printing.shown(runtime, principal.tenant, principal.channel, shipment_id)
    return json_response(found)


async def _versions(request: web.Request) -> web.Response:
    principal = await unbound_of(request, "stock:read")
    page = read_page(request.query, int)
    below = page.after[0] if page.after else VERSION_MAX
    found = await cards.versions(
        request.app[RUNTIME], principal.tenant, path_id(request, "card"), below, page.limit + 1
    )
    return json_response(
        page.answer(found, lambda kept: [kept.version], lambda kept: rendered(kept, "card"))
    )


def _region(request: web.Request) -> str:
    region = path_id(request, "region")
    return "" if region == ANY else region


def _shown(off: Off) -> RegionOff:
    return RegionOff(
        off.service, off.region or ANY, "off", rfc3339(to_ms(off.since)), off.reason, off.by
    )
