"""How nodes are reached: their profiles, their secrets, and who sends from there."""

from typing import Final, NamedTuple

from engine.carriers.service import services
from engine.infra.runtime import Runtime
from engine.kernel.errors import NotFound
from engine.kernel.types import Tenant
from engine.physical.service import nodes
from engine.places.service import profiles
from engine.wms import store
from engine.wms.types import Access, Contact

_NO_CARRIER: Final = "OTHER"


class Reached(NamedTuple):
    """A node's system, and what of the node it has to be told."""

    access: Access
    sender: Contact
    tells_accepted: bool
    own_waybills: bool = True


async def reach(runtime: Runtime, tenant: Tenant, node: str) -> Reached | None:
    """Return how a node is reached; None where it has no system, or no secret to sign with."""
    try:
        profile = (await profiles.get(runtime, tenant, node)).value
        place = (await nodes.get(runtime, tenant, node)).value
    except NotFound:
        return None
    secrets = await store.secrets(runtime.pool, tenant, node)
    wms = profile.wms
    if wms.language == "none" or not secrets:
        return None
    where = place.address
    sender = Contact(
        wms.sender or place.name[:50], wms.phone,
        *((where.province, where.city, where.address) if where else ("", "", "")),
        district=where.district if where else "", country=where.country if where else "",
    )  # fmt: skip
    access = Access(
        node, wms.language, wms.url, secrets, warehouse=wms.warehouse or node, owner=wms.owner,
        app_key=wms.app_key, customer=wms.customer, codes=wms.codes, reasons=wms.reasons,
        cancels_later=wms.cancels_later, can_query=wms.can_query,
    )  # fmt: skip
    return Reached(access, sender, wms.tells_accepted, wms.own_waybills)


async def has_system(runtime: Runtime, tenant: Tenant, node: str) -> bool:
    """Tell whether a node's profile names a system, be it one that cannot be reached."""
    try:
        return (await profiles.get(runtime, tenant, node)).value.wms.language != "none"
    except NotFound:
        return False


async def carrier_of(runtime: Runtime, tenant: Tenant, service: str) -> str:
    """Return the carrier of a service, as warehouses call it; OTHER where none was chosen."""
    if not service:
        return _NO_CARRIER
    try:
        return (await services.get(runtime, tenant, service)).value.carrier
    except NotFound:
        return _NO_CARRIER
