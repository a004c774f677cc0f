"""Keep and find supply policies."""

from engine.catalogue import service as catalogue
from engine.channels import service as channels
from engine.infra import publishing, versioned
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept, Match, Saved
from engine.inventory import rules
from engine.inventory.rules import policies as resolving
from engine.inventory.store import documents as store
from engine.inventory.types import PolicyFields
from engine.kernel import codec
from engine.kernel.errors import InConflict
from engine.kernel.types import Tenant


async def put(
    runtime: Runtime, tenant: Tenant, policy: str, fields: PolicyFields, match: Match, actor: str
) -> Saved[PolicyFields]:
    """Create or change a supply policy and wake the publisher; an applied one needs If-Match.

    Raises:
        ValidationFailed: also for a SKU or channel that does not exist.
        InConflict: the SKU has another policy without dates, or this one is of other SKUs.
    """
    wanted = resolving.normal(fields)
    async with runtime.pool.acquire() as connection, connection.transaction():
        owner = await _owner(connection, tenant, wanted)
        if wanted.sku and not store.dated(wanted):
            await _refuse_second(connection, tenant, policy, owner, wanted.sku)
        saved = await versioned.put(
            connection,
            store.table(owner),
            tenant,
            policy,
            wanted,
            match=match,
            actor=actor,
            allow=lambda kept: _refuse_other_target(kept, wanted),
        )
        await publishing.wake(connection)
        return saved


async def get(runtime: Runtime, tenant: Tenant, policy: str) -> Kept[PolicyFields]:
    """Return one policy.

    Raises:
        NotFound: there is none of that name.
    """
    async with runtime.pool.acquire() as connection:
        return await store.table().get(connection, tenant, policy)


async def page(
    runtime: Runtime, tenant: Tenant, after: str, limit: int
) -> list[Kept[PolicyFields]]:
    """Return policies after one, in the order of their ids."""
    async with runtime.pool.acquire() as connection:
        return await store.table().page(connection, tenant, after, limit)


async def _owner(tx: Connection, tenant: Tenant, policy: PolicyFields) -> str:
    named = [policy.sku] if policy.sku else []
    found = (await catalogue.stocked(tx, tenant, named)).get(policy.sku)
    if found is not None and found.is_bundle:
        codec.refuse("/sku", "is a bundle and has no stock: give out that of its components")
    known = await channels.known(tx, tenant, [one.channel for one in policy.channels])
    return rules.check_names(policy, found.owner if found else None, known)


async def _refuse_second(tx: Connection, tenant: Tenant, policy: str, owner: str, sku: str) -> None:
    present = await store.policy_of_sku(tx, tenant, owner, sku)
    if present is not None and present != policy:
        raise InConflict("the SKU has another supply policy", policy=present)


def _refuse_other_target(kept: Kept[PolicyFields] | None, wanted: PolicyFields) -> None:
    if kept is None:
        return
    before, now = kept.value, wanted
    if resolving.target(before) != resolving.target(now) or (
        not now.sku and before.owner != now.owner
    ):
        raise InConflict("a supply policy stays with its SKUs: make another policy")
