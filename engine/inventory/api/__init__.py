"""Inventory over HTTP: documents, and what is done during a sale."""

from typing import Final

from aiohttp import web

from engine.infra.http.openapi import Operation
from engine.inventory.api import controls, documents

OPERATIONS: Final[list[Operation]] = [*documents.OPERATIONS, *controls.OPERATIONS]


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [*documents.routes(), *controls.routes()]
