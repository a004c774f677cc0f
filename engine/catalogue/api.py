"""SKUs over HTTP."""

from typing import Final

from aiohttp import web

from engine.catalogue import service
from engine.catalogue.types import SkuFields, SkuPage, SkuView
from engine.infra.http.documents import Documents
from engine.infra.http.openapi import Operation
from engine.kernel.errors import InConflict

_SKUS: Final = Documents(
    "skus", "sku", SkuFields, SkuView, SkuPage, service,
    "Create or change a SKU", "a SKU", "SKUs", problems=[InConflict], for_all=True,
)  # fmt: skip
OPERATIONS: Final[list[Operation]] = _SKUS.operations()


def routes() -> list[web.RouteDef]:
    """Return the routes of this slice."""
    return _SKUS.routes()
