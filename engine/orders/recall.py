"""Orders as a cell that forgot them needs them when their marketplace tells of them again."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from engine.infra.postgres import Pool
from engine.kernel import codec
from engine.kernel.clock import to_ms
from engine.kernel.types import OrderId
from engine.orders.store import SQL
from engine.reservation import bundles
from engine.snapshots.rules import PROGRESS

_HOLD_VERSION: Final = 1
_UNPAID: Final = frozenset({"unpaid", "deposit_paid"})


async def recall_holds(pool: Pool, order_ids: Sequence[OrderId]) -> Mapping[OrderId, Sequence[Any]]:
    """Return a hold (fields as in `lua/include/hold.lua`) for each of these that is recorded."""
    rows = await pool.fetch(SQL["recall_holds"], list(order_ids))
    return {OrderId(row["order_id"]): hold_of(row) for row in rows}


def hold_of(row: Mapping[str, Any] | asyncpg.Record) -> list[Any]:
    """Return the hold that a row of `recall_holds` once was."""
    draws = codec.decode_json(row["draws"])
    units: dict[int, int] = {}
    for line_no, _, part in draws:
        units[line_no] = units.get(line_no, 0) + part
    lines = codec.decode_json(row["lines"] or "[]")
    shorts = codec.decode_json(row["shorts"])
    return [
        _HOLD_VERSION, _state(row), 1, row["fingerprint"], row["tenant"], row["channel"],
        row["campaign"], row["buyer_id"], row["currency"], row["payable"], _ms(row["pay_by"]),
        _ms(row["held_until"]),
        [
            [sku, units.get(n, 0), payable, _mark(n, part_of, per)]
            for n, (sku, payable, _, part_of, per) in enumerate(lines, start=1)
        ],
        draws, codec.decode_json(row["counters"]), [], [], 0, to_ms(row["accepted_at"]), [], [],
        [], 0, row["version"] or None, PROGRESS.get(row["source_status"], 0),
        [name for _, _, name, _, _ in lines], shorts, [], [],
    ]  # fmt: skip


def _mark(n: int, part_of: int, per: int) -> str:
    """Return how a line takes part in a bundle, as `lua/include/hold.lua` has it."""
    if part_of == n:
        return bundles.SOLD
    return bundles.mark(max(0, part_of), per) if part_of else ""


def _state(row: Mapping[str, Any] | asyncpg.Record) -> str:
    if row["stock_state"] == "released":
        return "E" if row["state"] == "closed" else "R"
    if not row["version"]:
        return "P" if row["stock_state"] == "held" else "C"
    unpaid = row["source_status"] == "unpaid" and row["payment_state"] in _UNPAID
    return "P" if unpaid else "C"


def _ms(moment: Any) -> int:
    return 0 if moment is None else to_ms(moment)
