"""Supply policies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.publishing import Unplannable, why
from engine.infra.versioned import Kept, packed
from engine.inventory.types import PolicyFields
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.inventory")
_decode_policy: Final = codec.Decoder(PolicyFields)


class Unplanned(NamedTuple):
    """A policy the cell has to be told of."""

    tenant: Tenant
    owner: str
    kept: Kept[PolicyFields]


@dataclass(frozen=True, slots=True)
class Policies:
    """The table of supply policies; `owner` is the one that the SKU has."""

    owner: str
    kind: str = "supply_policy"

    async def lock(self, tx: Connection, tenant: Tenant, key: str) -> Kept[PolicyFields] | None:
        """Read one policy and keep others from changing it."""
        return _policy(await tx.fetchrow(SQL["lock_policy"], tenant, key))

    async def insert(
        self, tx: Connection, tenant: Tenant, key: str, value: PolicyFields, actor: str
    ) -> Kept[PolicyFields] | None:
        """Write a new policy; None when it, or another one of the SKU, was made meanwhile."""
        row = await tx.fetchrow(
            SQL["insert_policy"], tenant, key, packed(value), actor, self.owner, value.sku,
            dated(value),
        )  # fmt: skip
        return _policy(row)

    async def update(
        self,
        tx: Connection,
        tenant: Tenant,
        kept: Kept[PolicyFields],
        value: PolicyFields,
        actor: str,
    ) -> Kept[PolicyFields]:
        """Write the next version."""
        row = await tx.fetchrow(
            SQL["update_policy"], tenant, kept.id, packed(value), actor, dated(value)
        )
        changed = _policy(row)
        assert changed is not None, "the row is locked"
        return changed


async def policy(db: Connection, tenant: Tenant, key: str) -> Kept[PolicyFields] | None:
    """Read one policy."""
    return _policy(await db.fetchrow(SQL["get_policy"], tenant, key))


async def policies(
    db: Connection, tenant: Tenant, after: str, limit: int
) -> list[Kept[PolicyFields]]:
    """Read policies in the order of their ids."""
    rows = await db.fetch(SQL["list_policies"], tenant, after, limit)
    return [kept for row in rows if (kept := _policy(row))]


async def policy_of_sku(tx: Connection, tenant: Tenant, owner: str, sku: str) -> str | None:
    """Return the id of the policy that a SKU has without dates."""
    found: str | None = await tx.fetchval(SQL["policy_of_sku"], tenant, owner, sku)
    return found


async def unplanned_policies(tx: Connection, limit: int) -> list[Unplanned | Unplannable]:
    """Lock policies whose present version was not written down for the cell.

    One that cannot be read is among them, as what it is.
    """
    return [_unplanned(row) for row in await tx.fetch(SQL["unplanned_policies"], limit)]


async def mark_planned(tx: Connection, done: Sequence[tuple[Tenant, str]]) -> None:
    """Note that the present versions are what is planned."""
    await tx.execute(
        SQL["plan_policies"], [tenant for tenant, _ in done], [policy for _, policy in done]
    )


async def await_changes(tx: Connection, done: Sequence[tuple[Tenant, str]], last: int) -> None:
    """Have these published once their SKUs are planned that changed up to that number."""
    tenants, policies = [tenant for tenant, _ in done], [policy for _, policy in done]
    await tx.execute(SQL["await_changes"], tenants, policies, last)


async def mark_published(db: Connection) -> None:
    """Note that the cell has everything that was planned, of those whose SKUs are, too."""
    await db.execute(SQL["publish_policies"])


def dated(policy: PolicyFields) -> bool:
    """Tell whether it is for some time only, beside the one that a SKU has always."""
    return policy.since is not None or policy.until is not None


def _unplanned(row: Any) -> Unplanned | Unplannable:
    try:
        kept = _policy(row)
    except ValidationFailed as failure:
        return Unplannable(row["tenant"], row["policy"], row["version"], why(failure))
    assert kept is not None, "there is a row"
    return Unplanned(row["tenant"], row["owner"], kept)


def _policy(row: Any) -> Kept[PolicyFields] | None:
    if row is None:
        return None
    return Kept(
        row["policy"],
        row["version"],
        row["updated_at"],
        _decode_policy(row["document"].encode()),
        published=row["published_version"] == row["version"],
        settled=row["published_version"] > 0,
    )
