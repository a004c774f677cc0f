"""Physical stock over HTTP."""

from typing import Final

from aiohttp import web

from engine.infra.http.openapi import Operation
from engine.physical.api import nodes, stock

OPERATIONS: Final[list[Operation]] = [*nodes.OPERATIONS, *stock.OPERATIONS]


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [*nodes.routes(), *stock.routes()]
