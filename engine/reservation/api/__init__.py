"""Orders of gate channels over HTTP: one by one, and many in one request."""

from typing import Final

from aiohttp import web

from engine.infra.http.openapi import Operation
from engine.reservation.api import batch, single, tickets
from engine.reservation.api.single import RECALL, RECORDED, REGISTRY, RESERVATIONS, Recall, order

__all__ = ["RECALL", "RECORDED", "REGISTRY", "RESERVATIONS", "Recall", "order"]

OPERATIONS: Final[list[Operation]] = [
    *single.OPERATIONS,
    *batch.OPERATIONS,
    *tickets.OPERATIONS,
]


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return [*single.routes(), *batch.routes(), *tickets.routes()]
