"""What we sign with when carriers are asked, in Postgres; it is never shown."""

from typing import Final

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.carriers")


async def put_secret(
    db: "Connection | Pool", tenant: Tenant, service: str, secret: str, actor: str
) -> None:
    """Write the secret of a service."""
    await db.execute(SQL["put_carrier_secret"], tenant, service, secret, actor)


async def secret(db: "Connection | Pool", tenant: Tenant, service: str) -> str:
    """Read the secret of a service, "" where nobody set one."""
    found: str | None = await db.fetchval(SQL["carrier_secret"], tenant, service)
    return found or ""
