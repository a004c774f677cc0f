"""Stock rules in Postgres, and the SKUs they speak of."""

from collections.abc import Iterable
from typing import Final

from engine.infra import publishing, queries
from engine.infra.postgres import Connection
from engine.infra.versioned import Statements, Table
from engine.kernel import codec
from engine.kernel.types import Tenant
from engine.logical.types.bases import Rule
from engine.logical.types.documents import RuleFields

SQL: Final = queries.load("engine.logical")

RULES: Final = Table(
    kind="stock_rule",
    word="rule",
    noun="stock rule",
    decode=codec.Decoder(RuleFields),
    sql=Statements(
        SQL["get_rule"], SQL["lock_rule"], SQL["list_rules"], SQL["insert_rule"], SQL["update_rule"]
    ),
    columns=lambda rule: (rule.until,),
)


async def named(db: Connection, tenant: Tenant, sku: str, node: str) -> tuple[bool, bool]:
    """Tell whether there is such a SKU, and such a node."""
    row = await db.fetchrow(SQL["named"], tenant, sku, node)
    assert row is not None, "a SELECT of two values has one row"
    return row["sku"], row["node"]


async def changed(tx: Connection, tenant: Tenant, rules: Iterable[Rule]) -> None:
    """Have every SKU planned anew that one of these rules speaks of and that ever had stock."""
    of = [
        (one.sku, one.category, one.brand, one.owner, one.node, one.node_group, one.batch,
         one.condition)
        for one in rules
    ]  # fmt: skip
    if of:
        columns = [list(column) for column in zip(*of, strict=True)]
        await publishing.change_inputs(tx, tenant)
        await tx.execute(SQL["rules_changed"], tenant, *columns)
    await publishing.wake(tx)
