"""Decisions and what became of them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from engine.elastic.types import Decision, Lending, State
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel import codec
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.elastic")


async def last_numbers(
    tx: Connection, tenant: Tenant, campaign: str, skus: Collection[str]
) -> dict[str, int]:
    """Return the number of the last decision about each of these SKUs, 0 for none."""
    rows = await tx.fetch(SQL["last_numbers"], tenant, campaign, list(skus))
    return {row["sku"]: row["n"] for row in rows}


async def write(
    tx: Connection, cell: str, decisions: Sequence[Decision], state: State, at: datetime
) -> None:
    """Write decisions down before anything is done about them."""
    await tx.executemany(
        SQL["write_lending"],
        [
            (
                cell, *one[:6], one.lending.source, one.lending.target, one.lending.units,
                one.lending.how, one.lending.keep, one.lending.reason,
                codec.encode(one.lending.figures).decode(), state, at,
            )
            for one in decisions
        ],
    )  # fmt: skip


async def waiting(db: Connection, cell: str, limit: int) -> list[tuple[State, Decision]]:
    """Return what is not done yet, `decided` or `requested`, the oldest first."""
    rows = await db.fetch(SQL["open_lendings"], cell, limit)
    return [(row["state"], _decision(row)) for row in rows]


async def end(
    tx: Connection, decision: Decision, state: State, *, units: int, detail: str = ""
) -> bool:
    """Write down what became of a decision; False when that is known."""
    ended = await tx.fetchval(
        SQL["end_lending"],
        decision.tenant, decision.campaign, decision.sku, decision.n, state, detail, units,
    )  # fmt: skip
    return ended is not None


async def tell(tx: Connection, kind: str, actor: str, data: dict[str, object]) -> None:
    """Write an event in the caller's transaction."""
    await tx.execute(SQL["tell"], kind, actor, codec.encode(data).decode())


async def page(db: Connection, tenant: Tenant, campaign: str, before: int, limit: int) -> list[Any]:
    """Read decisions about a campaign, latest first."""
    rows: list[Any] = await db.fetch(SQL["list_lendings"], tenant, campaign, before, limit)
    return rows


def _decision(row: Any) -> Decision:
    lending = Lending(
        row["source"], row["target"], row["units"], row["how"], row["keep"], row["reason"],
        codec.decode_json(row["figures"]),
    )  # fmt: skip
    return Decision(
        row["tenant"], row["campaign"], row["sku"], row["node_group"], row["n"], row["move_id"],
        lending,
    )  # fmt: skip
