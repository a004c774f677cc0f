"""Campaigns over HTTP; they show all channels, so a channel-bound key has no business here."""

from typing import Final

from aiohttp import web

from engine.campaigns import service
from engine.campaigns.types import CampaignFields, CampaignPage, CampaignView
from engine.infra.http.documents import Documents
from engine.infra.http.openapi import Operation
from engine.kernel.errors import InConflict, PreconditionRequired

_CAMPAIGNS: Final = Documents(
    "campaigns", "campaign", CampaignFields, CampaignView, CampaignPage, service,
    "Create or change a campaign; a started one needs If-Match", "a campaign", "campaigns",
    problems=[InConflict, PreconditionRequired], told=True,
)  # fmt: skip
OPERATIONS: Final[list[Operation]] = _CAMPAIGNS.operations()


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return _CAMPAIGNS.routes()
