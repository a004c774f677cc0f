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
from engine.infra.http.auth import principal_of, require_channel
from engine.infra.http.documents import Documents
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.query import word_of
from engine.infra.http.server import json_response, query_id
from engine.infra.runtime import RUNTIME

_RULES: Final = Documents(
    "alert-rules", "rule", AlertRuleFields, AlertRuleView, AlertRulePage, service,
    "Create or change a rule that says when stock is worth an alert", "an alert rule",
    "alert rules",
)  # fmt: skip
_WORDS: Final = {
    "kind": get_args(AlertKind),
    "severity": get_args(Severity),
    "standing": ("true", "false"),
}


async def list_alerts(request: web.Request) -> web.Response:
    """List alerts."""
    principal = await principal_of(request, "stock:read")
    channel = query_id(request, "channel") or principal.channel
    require_channel(principal, channel, reading=True)
    page = read_page(request.query, int)
    said = {name: word_of(request, name, words) for name, words in _WORDS.items()}
    wanted = Wanted(
        principal.tenant, channel, said["kind"], query_id(request, "sku"), said["severity"],
        said["standing"] != "false", page.after[0] if page.after else 0, page.limit + 1,
    )  # fmt: skip
    rows = await service.alerts(request.app[RUNTIME], wanted)
    return json_response(page.answer(rows, lambda one: [one.alert_id], lambda one: one))


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [
        *_RULES.routes(),
        web.get("/v1/stock:alerts", list_alerts),
    ]


OPERATIONS: Final[list[Operation]] = [
    *_RULES.operations(),
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
