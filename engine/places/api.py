"""Profiles of nodes over HTTP; a channel-bound key is refused."""

from typing import Final

from aiohttp import web

from engine.infra.http.documents import Documents
from engine.infra.http.openapi import Operation
from engine.kernel.errors import NotFound
from engine.places.service import profiles as service
from engine.places.types.profiles import ProfileFields, ProfileView

_PROFILES: Final = Documents(
    "nodes", "node", ProfileFields, ProfileView, None, service,
    "Say what a node can do and when", "what a node can do and when", "", problems=[NotFound],
    below="profile",
)  # fmt: skip
OPERATIONS: Final[list[Operation]] = _PROFILES.operations()


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return _PROFILES.routes()
