"""Stock rules over HTTP; they are for all channels, so a channel-bound key is refused."""

from typing import Final

from aiohttp import web

from engine.infra.http.documents import Documents
from engine.infra.http.openapi import Operation
from engine.logical.service import documents as service
from engine.logical.types.documents import RuleFields, RulePage, RuleView

_RULES: Final = Documents(
    "stock-rules", "rule", RuleFields, RuleView, RulePage, service,
    "Create or change a rule about units that may not be sold", "a stock rule", "stock rules",
)  # fmt: skip
OPERATIONS: Final[list[Operation]] = _RULES.operations()


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return _RULES.routes()
