"""What does not agree, over HTTP; a key that is bound to a channel sees none of it."""

from typing import Final, NoReturn, get_args

from aiohttp import web

from engine.assurance.reconciling import views
from engine.assurance.reconciling.types import Kind
from engine.assurance.reconciling.views import DriftPage
from engine.infra.http.auth import principal_of, require_unbound
from engine.infra.http.openapi import PAGED, Operation, Query, operation
from engine.infra.http.paging import read_page
from engine.infra.http.server import json_response
from engine.infra.runtime import RUNTIME
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Fault

_KINDS: Final = get_args(Kind)
_STATES: Final = ("open", "all")


async def list_drifts(request: web.Request) -> web.Response:
    """List drifts, newest first."""
    principal = await principal_of(request, "stock:read")
    require_unbound(principal)
    page = read_page(request.query, int)
    kind, state = request.query.get("kind", ""), request.query.get("state", "open")
    if kind not in {"", *_KINDS}:
        _refuse("kind", f"must be one of {', '.join(_KINDS)}")
    if state not in _STATES:
        _refuse("state", f"must be one of {', '.join(_STATES)}")
    rows = await views.drifts(
        request.app[RUNTIME].pool, principal.tenant, kind, only_open=state == "open",
        below=page.after[0] if page.after else None, limit=page.limit + 1,
    )  # fmt: skip
    return json_response(page.answer(rows, lambda row: [int(row.drift_id)], lambda row: row))


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [web.get("/v1/drifts", list_drifts)]


OPERATIONS: Final[list[Operation]] = [
    operation(
        "GET",
        "/v1/drifts",
        "List what does not agree between the cell, the database, documents and the ledger",
        "stock:read",
        responses={200: DriftPage},
        query=[
            Query("state", "`open` when not given, or `all`"),
            Query("kind", "only of this kind"),
            *PAGED,
        ],
    )
]


def _refuse(name: str, detail: str) -> NoReturn:
    raise ValidationFailed([Fault("", f"query parameter {name}: {detail}")])
