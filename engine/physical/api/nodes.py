"""Nodes over HTTP; a channel-bound key is refused."""

from typing import Final

from aiohttp import web

from engine.infra.http.documents import Documents
from engine.infra.http.openapi import Operation
from engine.kernel.errors import InConflict
from engine.physical.service import nodes as service
from engine.physical.types.nodes import NodeFields, NodePage, NodeView

_NODES: Final = Documents(
    "nodes", "node", NodeFields, NodeView, NodePage, service,
    "Create or change a node", "a node", "nodes", problems=[InConflict],
)  # fmt: skip
OPERATIONS: Final[list[Operation]] = _NODES.operations()


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return _NODES.routes()
