"""What the log says, added up by hand, beside what Postgres has of it."""

from collections import Counter
from typing import Any

import asyncpg
import msgspec
from redis.asyncio import Redis

from engine.infra import keys
from engine.kernel.types import CellId

# The events of a log entry that become rows of `events`, by the kind they have there.
TOLD = {
    "R": "order.reserved",
    "C": "order.paid",
    "H": "order.paid",
    "M": "payment.refund_due",
    "E": "order.expired",
    "W": "hold.expiring",
    "B": "stock.returned",
}


async def log_says(redis: Redis) -> dict[str, Any]:
    """Fold the whole log: pools, claims, and how often each kind of event is told."""
    raw: Any = await redis.xrange(keys.of(CellId("1"), "log"))
    pools: Counter[tuple[str, int]] = Counter()
    claims, moves, told = 0, 0, Counter[str]()
    for _, named in raw:
        for event in msgspec.msgpack.decode(named[b"e"]):
            claims += event[0] == "R"
            moves += len(event[3])
            for pool_id, *units in event[3]:
                for account, change in enumerate(units):
                    pools[pool_id, account] += change
            kind = TOLD.get(event[0], "")
            if event[0] == "L" and event[5] != "duplicate":
                kind = "order.cancelled" if event[9] == "R" else "order.lines_cancelled"
            told[kind] += bool(kind)
    del told[""]
    return {
        "pools": {key: units for key, units in pools.items() if units},
        "claims": claims,
        "moves": moves,
        "told": +told,
        "end": raw[-1][0].decode(),
    }


async def postgres_says(pg: asyncpg.Connection) -> dict[str, Any]:
    """The same, as recorded."""
    rows = await pg.fetch("SELECT pool_id, granted, owed, available, held, sold FROM pools")
    pools = {(row[0], n): row[n + 1] for row in rows for n in range(5)}
    told = await pg.fetch(
        "SELECT kind, count(*) FROM events WHERE kind <> ALL($1) GROUP BY kind", IGNORED
    )
    cell = await pg.fetchrow("SELECT recorded, last_id FROM cells")
    return {
        "pools": {key: units for key, units in pools.items() if units},
        "claims": cell["recorded"],
        "moves": await pg.fetchval("SELECT count(*) FROM ledger"),
        "told": Counter({row["kind"]: row["count"] for row in told}),
        "end": cell["last_id"],
    }


# Events that Postgres tells of itself, with no event of the log behind them.
IGNORED = ["order.duplicate", "order.deadline_moved", "order.needs_attention", "order.replaced"]
