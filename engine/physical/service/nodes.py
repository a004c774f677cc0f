"""Keep and find nodes."""

from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from engine.infra import versioned
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.kernel import codec
from engine.kernel.errors import InConflict, ValidationFailed
from engine.kernel.types import Tenant
from engine.physical.rules import addresses
from engine.physical.store import nodes as store
from engine.physical.types.nodes import NodeFields

_PLACES: Final = ("group", "controlled_by")


async def put(
    runtime: Runtime, tenant: Tenant, node: str, fields: NodeFields, match: Match, actor: str
) -> Saved[NodeFields]:
    """Create or change a node; what it holds is planned anew where that counts otherwise now.

    Raises:
        ValidationFailed: also for an address that routing could not go by.
        InConflict: another group, or another who controls it, after orders were given units of it:
            these count where they were sold, and would be missing there.
    """
    codec.plain_text(fields.name, "/name", 512)
    codec.plain_text(fields.owner, "/owner", 128)
    if fields.group:
        codec.identifier(fields.group, "/group")
    _check_timezone(fields.timezone)
    if fields.address:
        for name, text in msgspec.structs.asdict(fields.address).items():
            if isinstance(text, str):
                codec.plain_text(text, f"/address/{name}", 512)
        if wrong := list(addresses.faults(fields.address, "/address")):
            raise ValidationFailed(wrong)
    codec.open_document(fields.extensions, "/extensions")
    async with runtime.pool.acquire() as connection, connection.transaction():
        before = await store.NODES.lock(connection, tenant, node)
        saved = await versioned.put(
            connection, store.NODES, tenant, node, fields, match=match, actor=actor
        )
        if before is not None and _standing(before.value) != _standing(fields):
            await store.announce(connection, tenant)
            if whose := _moved(before.value, fields):
                await _require_unassigned(connection, tenant, node, whose)
            await store.changed(connection, tenant, node)
        return saved


async def get(runtime: Runtime, tenant: Tenant, node: str) -> Kept[NodeFields]:
    """Return one node.

    Raises:
        NotFound: there is none of that name.
    """
    async with runtime.pool.acquire() as connection:
        return await store.NODES.get(connection, tenant, node)


async def page(runtime: Runtime, tenant: Tenant, after: str, limit: int) -> list[Kept[NodeFields]]:
    """Return nodes after one, in the order of their ids."""
    async with runtime.pool.acquire() as connection:
        return await store.NODES.page(connection, tenant, after, limit)


def _standing(node: NodeFields) -> tuple[object, ...]:
    """Return what decides which stock of it may be sold, and with whose."""
    return node.enabled, node.controlled_by, node.group, node.timezone


def _moved(before: NodeFields, fields: NodeFields) -> str:
    """Return the field by which its stock would become that of other pools, "" for none."""
    changed = (name for name in _PLACES if getattr(before, name) != getattr(fields, name))
    return next(changed, "")


async def _require_unassigned(tx: Connection, tenant: Tenant, node: str, field: str) -> None:
    if await store.ever_assigned(tx, tenant, node):
        raise InConflict(
            f"orders were given units of this node, and count towards its present {field}: make a"
            f" new node with the other {field}, move what is left there by stock movements, and"
            " switch this one off (enabled: false)"
        )


def _check_timezone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as failure:  # a path, a folder, no such zone
        codec.refuse("/timezone", "must be a zone of the IANA database, as Asia/Shanghai", failure)
