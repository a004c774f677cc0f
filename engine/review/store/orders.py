"""Orders to be judged, and what was said of them, in Postgres; nothing here commits."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.clock import to_ms
from engine.kernel.types import Tenant
from engine.review.store.documents import SQL
from engine.review.types.judging import NEVER, Review, Standing
from engine.review.types.recorded import RecordedLine, Row


async def lock(tx: Connection, tenant: Tenant, order_ids: Sequence[str]) -> list[Row]:
    """Lock orders, in the order of their ids, and read all that is judged; unknown ones are not."""
    rows = await tx.fetch(SQL["lock_orders"], tenant, sorted(set(order_ids)))
    ids = [row["order_id"] for row in rows]
    if not ids:
        return []
    draws = {row["order_id"]: tuple(map(tuple, codec.decode_json(row["draws"]))) for row in rows}
    pools = sorted({pool for many in draws.values() for _, pool, _ in many})
    groups = {row[0]: row[1] for row in await tx.fetch(SQL["groups_of"], pools)}
    lines: dict[str, list[RecordedLine]] = {}
    for row in await tx.fetch(SQL["lines_of"], ids):
        lines.setdefault(row["order_id"], []).append(RecordedLine(*list(row)[1:]))
    sent: dict[str, dict[int, int]] = {}
    for row in await tx.fetch(SQL["sent_of"], ids):
        sent.setdefault(row["order_id"], {})[row["line_no"]] = row["units"]
    paid = {row[0]: to_ms(row[1]) for row in await tx.fetch(SQL["paid_at"], ids)}
    moved = {row[0]: codec.decode_json(row[1]) for row in await tx.fetch(SQL["addresses_of"], ids)}
    blocks: dict[str, list[Standing]] = {}
    for row in await tx.fetch(SQL["blocks_of"], ids):
        until = to_ms(row["until"]) if row["until"] else NEVER
        blocks.setdefault(row["order_id"], []).append(Standing(row["code"], until, row["reason"]))
    last = {row[0]: Review(*list(row)[1:]) for row in await tx.fetch(SQL["last_reviews"], ids)}
    return [
        Row(
            row["order_id"], row["row_version"], row["channel"], row["state"],
            row["payment_state"], row["currency"], row["payable"], row["authority"],
            row["cool_off_s"], to_ms(row["placed_at"]), paid.get(row["order_id"], 0),
            draws[row["order_id"]], groups, codec.decode_json(row["document"]),
            moved.get(row["order_id"], {}), tuple(lines.get(row["order_id"], ())),
            sent.get(row["order_id"], {}), tuple(blocks.get(row["order_id"], ())),
            last.get(row["order_id"]),
        )
        for row in rows
    ]  # fmt: skip


async def add(tx: Connection, said: Sequence[tuple[str, Review]], at: datetime) -> None:
    """Keep what was said of orders."""
    if said:
        rows = [(order_id, *review) for order_id, review in said]
        ids, numbers, digests, verdicts, rules, versions = map(list, zip(*rows, strict=True))
        await tx.execute(
            SQL["add_reviews"], ids, numbers, digests, verdicts, rules, versions, at
        )  # fmt: skip


async def released(tx: Connection, who: Mapping[str, str]) -> None:
    """Note who let orders pass that rules had held; `who` by order."""
    if who:
        await tx.execute(SQL["released"], list(who), list(who.values()))


async def forget(db: "Connection | Pool", before: datetime, limit: int) -> int:
    """Delete reviews of before an instant that nothing depends on any more; return how many."""
    done = await db.execute(SQL["forget_reviews"], before, limit)
    return int(done.rpartition(" ")[2])


async def begin_sweep(tx: Connection, tenant: Tenant) -> None:
    """Have all open orders looked at, from the first one on."""
    await tx.execute(SQL["begin_sweep"], tenant)


async def sweep(tx: Connection, tenant: Tenant, limit: int) -> list[str]:
    """Return the next open orders that a sweep comes to; empty when none is under way, or left."""
    after = await tx.fetchval(SQL["sweeping"], tenant)
    if after is None:
        return []
    found = [row["order_id"] for row in await tx.fetch(SQL["open_paid"], tenant, after, limit)]
    if found:
        await tx.execute(SQL["swept"], tenant, found[-1])
    else:
        await tx.execute(SQL["end_sweep"], tenant)
    return found
