"""Publications over HTTP: what adapters take and tell, and what is done during a sale."""

from typing import Final

from aiohttp import web

from engine.infra.http.openapi import Operation
from engine.publications.api import adapters, controls

OPERATIONS: Final[list[Operation]] = [*adapters.OPERATIONS, *controls.OPERATIONS]


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [*adapters.routes(), *controls.routes()]
