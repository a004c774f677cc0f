"""Supply policies."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.infra.publishing import Unplannable, why
from engine.infra.versioned import Kept, Statements, Table
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


def table(owner: str = "") -> Table[PolicyFields]:
    """Return where policies are kept; `owner` is the one that a new policy's SKU has."""
    return Table(
        kind="supply_policy",
        word="policy",
        noun="supply policy",
        decode=_decode_policy,
        sql=Statements(
            SQL["get_policy"], SQL["lock_policy"], SQL["list_policies"], SQL["insert_policy"],
            SQL["update_policy"],
        ),
        columns=lambda one: (owner, one.sku, dated(one)),
        changing=lambda one: (dated(one),),
    )  # fmt: skip


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
        kept = table().read(row)
    except ValidationFailed as failure:
        return Unplannable(row["tenant"], row["policy"], row["version"], why(failure))
    return Unplanned(row["tenant"], row["owner"], kept)
