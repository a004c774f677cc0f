"""Supply policies; they show all channels, so a channel-bound key is refused."""

from typing import Final

from aiohttp import web

from engine.infra.http.documents import Documents
from engine.infra.http.openapi import Operation
from engine.inventory.service import documents as service
from engine.inventory.types import PolicyFields, PolicyPage, PolicyView
from engine.kernel.errors import InConflict, PreconditionRequired

_POLICIES: Final = Documents(
    "supply-policies", "policy", PolicyFields, PolicyView, PolicyPage, service,
    "Create or change a supply policy; an applied one needs If-Match", "a supply policy",
    "supply policies", problems=[InConflict, PreconditionRequired], told=True,
)  # fmt: skip
OPERATIONS: Final[list[Operation]] = _POLICIES.operations()


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return _POLICIES.routes()
