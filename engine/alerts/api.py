"""Alerts over HTTP: rules, for all channels; and what stands, of which a bound key sees its own."""

from typing import Final, get_args

from aiohttp import web

from engine.alerts.service import documents as service
from engine.alerts.service.documents import Wanted
from engine.alerts.types.documents import (
    AlertKind,
    AlertPage,
    AlertRuleFields,
    AlertRulePage,
    AlertRuleView,
    Severity,
)
from engine.infra.http.auth import Principal, principal_of, require_channel, require_unbound
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.resource import kept_response, match_of, rendered, saved_response
from engine.infra.http.server import body_of, json_response, path_id, query_id
from engine.infra.runtime import RUNTIME
from engine.infra.versioned import Kept
from engine.kernel import codec
from engine.kernel.errors import NotFound, ValidationFailed
from engine.kernel.types import Fault

_decode: Final = codec.Decoder(AlertRuleFields)
_WORDS: Final = {
    "kind": get_args(AlertKind),
    "severity": get_args(Severity),
    "standing": ("true", "false"),
}


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


async def list_alerts(request: web.Request) -> web.Response:
    """List alerts."""
    principal = await principal_of(request, "stock:read")
    channel = query_id(request, "channel") or principal.channel
    require_channel(principal, channel, reading=True)
    page = read_page(request.query, int)
    wanted = Wanted(
        principal.tenant, channel, _word(request, "kind"), query_id(request, "sku"),
        _word(request, "severity"), _word(request, "standing") != "false",
        page.after[0] if page.after else 0, page.limit + 1,
    )  # fmt: skip
    rows = await service.alerts(request.app[RUNTIME], wanted)
    return json_response(page.answer(rows, lambda one: [one.alert_id], lambda one: one))


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        web.put("/v1/alert-rules/{rule}", put_rule),
        web.get("/v1/alert-rules/{rule}", get_rule),
        web.get("/v1/alert-rules", list_rules),
        web.get("/v1/stock:alerts", list_alerts),
    ]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "PUT",
        "/v1/alert-rules/{rule}",
        "Create or change a rule that says when stock is worth an alert",
        "stock:write",
        request=AlertRuleFields,
        responses={200: AlertRuleView, 201: AlertRuleView},
        etag=True,
    ),
    operation(
        "GET",
        "/v1/alert-rules/{rule}",
        "Show an alert rule",
        "stock:read",
        responses={200: AlertRuleView},
        problems=[NotFound],
        etag=True,
    ),
    operation(
        "GET",
        "/v1/alert-rules",
        "List alert rules",
        "stock:read",
        responses={200: AlertRulePage},
        query=PAGED,
    ),
    operation(
        "GET",
        "/v1/stock:alerts",
        "List what of stock a person should look at",
        "stock:read",
        responses={200: AlertPage},
        query=[
            Query("channel", "only this channel"),
            Query("sku", "only this SKU"),
            Query("kind", f"one of {', '.join(_WORDS['kind'])}"),
            Query("severity", f"one of {', '.join(_WORDS['severity'])}"),
            Query("standing", "false: also those that are over"),
            *PAGED,
        ],
    ),
]


async def _caller(request: web.Request, scope: str) -> Principal:
    principal = await principal_of(request, scope)
    require_unbound(principal)
    return principal


def _shown(kept: Kept[AlertRuleFields]) -> dict[str, object]:
    return rendered(kept, "rule")


def _word(request: web.Request, name: str) -> str:
    text = query_id(request, name)
    if text not in {"", *_WORDS[name]}:
        detail = f"must be one of {', '.join(_WORDS[name])}"
        raise ValidationFailed([Fault("", f"query parameter {name}: {detail}")])
    return text
