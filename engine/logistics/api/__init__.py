"""Logistics over HTTP."""

from typing import Final

from aiohttp import web

from engine.infra.http.openapi import Operation
from engine.logistics.api import adapters, parcels

OPERATIONS: Final[list[Operation]] = [*adapters.OPERATIONS, *parcels.OPERATIONS]


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [*adapters.routes(), *parcels.routes()]
