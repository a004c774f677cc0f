"""What is done with warehouses' systems."""

from engine.infra.runtime import Runtime
from engine.kernel.types import Tenant
from engine.wms import store


async def put_secret(
    runtime: Runtime, tenant: Tenant, node: str, secret: str, *, keep: bool, actor: str
) -> None:
    """Set the secret of a node; with `keep` what the one before signed is still taken."""
    await store.put_secret(runtime.pool, tenant, node, secret, keep=keep, actor=actor)
