"""How much an instance takes: the cell's memory, the disk, the processes."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from engine.infra import keys, postgres, queries
from engine.infra.cell import Cell
from engine.infra.postgres import Connection
from engine.simulation.bench import cpu

SQL: Final = queries.load("engine.simulation.bench")

_KEYS: Final = ("log", "pools", "holds", "due", "rules", "counters", "once", "done")


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """One look at an instance; bytes everywhere.

    `cell` is what Valkey has allocated without the log, which is cut anyhow; `files` its
    append-only file. `tables` are the largest ones with their indexes; `resident` is memory by
    process, shared pages counted once for each; `keys` what each key of the cell takes. `wal` and
    `wal_pages` have been written since Postgres' statistics began: bytes, and pages as a whole.
    """

    orders: int
    open_holds: int
    cell: int
    log: int
    files: int
    database: int
    tables: dict[str, int]
    resident: dict[str, int]
    keys: dict[str, int]
    wal: int
    wal_pages: int


async def look(cell: Cell, dsn: str, pids: Mapping[str, Sequence[int]]) -> Size:
    """Look at an instance that nobody uses."""
    db = await postgres.connect(dsn)
    try:
        return await _look(cell, db, pids)
    finally:
        await db.close(timeout=1)


async def _look(cell: Cell, db: Connection, pids: Mapping[str, Sequence[int]]) -> Size:
    redis = cell.redis
    memory, persistence = await redis.info("memory"), await redis.info("persistence")
    taken = {
        name: int(await redis.memory_usage(keys.of(cell.id, name), samples=0) or 0)
        for name in _KEYS
    }
    log = taken.pop("log")
    found = await db.fetchrow(SQL["size"])
    assert found is not None
    return Size(
        orders=found["orders"],
        open_holds=int(await redis.zcard(keys.of(cell.id, "due"))),
        cell=memory["used_memory"] - log,
        log=log,
        files=persistence.get("aof_current_size", 0),
        database=found["database"],
        tables={row["name"]: row["bytes"] for row in await db.fetch(SQL["tables"])},
        resident={role: sum(map(cpu.resident, these)) for role, these in pids.items() if these},
        keys=taken,
        wal=int(found["wal"]),
        wal_pages=found["wal_pages"],
    )
