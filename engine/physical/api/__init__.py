"""Physical stock over HTTP."""

from typing import Final

from aiohttp import web

from engine.infra.http.openapi import Operation
from engine.physical.api import nodes

OPERATIONS: Final[list[Operation]] = [*nodes.OPERATIONS]


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [*nodes.routes()]
