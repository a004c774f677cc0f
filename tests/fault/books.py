"""What the log says, added up by hand, beside what Postgres has of it."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec
from redis.asyncio import Redis

from engine.infra import keys, log
from engine.infra.log import Entry, position
from engine.kernel import events
from engine.kernel.events import LogEvent, Move, Opened, Reheld, Reserved, Synced
from engine.kernel.types import CellId
from engine.snapshots.types import decode_facts

CELL = CellId("1")
OWED = 1  # its place among a pool's accounts

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
    raw: Any = await redis.xrange(keys.of(CELL, "log"))
    pools: Counter[tuple[str, int]] = Counter()
    claims, moves, told = 0, 0, Counter[str]()
    for _, named in raw:
        for event in msgspec.msgpack.decode(named[b"e"]):
            claims += event[0] == "R" or (event[0] == "X" and event[4] == 1)
            moves += len(event[3])
            for pool_id, *units in event[3]:
                for account, change in enumerate(units):
                    pools[pool_id, account] += change
            kind = TOLD.get(event[0], "")
            if event[0] == "X":
                kind = "order.synced" if event[4] == 1 else "order.changed"
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
IGNORED = [
    "order.duplicate",
    "order.deadline_moved",
    "order.needs_attention",
    "order.replaced",
    "order.short_repaid",
]


@dataclass
class Books:
    """Pools, and who is owed what, as the log tells it entry by entry; `faults` may never be.

    What comes free repays first of all less to the order that gave it, then whoever placed his
    order first. Of the pools `together`, from which one marketplace draws, none has anything free
    while another owes. While a cell is put back this may be so: what is free was promised to claims
    that are still to come, and its opening settles the rest.
    """

    together: frozenset[str] = frozenset()
    pools: dict[str, list[int]] = field(default_factory=dict)
    shorts: dict[str, dict[str, int]] = field(default_factory=dict)
    placed_at: dict[str, int] = field(default_factory=dict)
    repaid_by: Counter[str] = field(default_factory=Counter)
    asked_for: Counter[str] = field(default_factory=Counter)
    end: str = "0-0"
    _faults: list[str] = field(default_factory=list)
    _unless_put_back: list[str] = field(default_factory=list)
    _waiting: deque[Entry] = field(default_factory=deque)
    _once_owed: set[str] = field(default_factory=set)

    @property
    def faults(self) -> list[str]:
        """What may never be and was."""
        return [*self._faults, *self._unless_put_back]

    async def read(self, redis: Redis, cell: CellId = CELL) -> None:
        """Fetch what the log has by now; to be asked again before the log is cut."""
        last = self._waiting[-1].log_id if self._waiting else self.end
        while found := await log.read(redis, cell, last, 1_000, wait_ms=None):
            self._waiting += found
            last = found[-1].log_id

    def add(self, entry: Entry) -> None:
        """Take an entry for fetched."""
        self._waiting.append(entry)

    def fold(self, until: str = "") -> None:
        """Add up what was fetched: up to a position, or all of it."""
        while self._waiting:
            if until and position(self._waiting[0].log_id) > position(until):
                return
            entry = self._waiting.popleft()
            for event in events.decode(entry.events):
                self._fold_one(entry, event)
            self.end = entry.log_id

    def owed(self) -> dict[tuple[str, str], int]:
        """Return the units owed by (pool, order)."""
        return {
            (pool, order_id): units
            for pool, orders in self.shorts.items()
            for order_id, units in orders.items()
        }

    def _fold_one(self, entry: Entry, event: LogEvent) -> None:
        where = f"{entry.log_id} {type(event).__name__} {event.subject}"
        if isinstance(event, Synced):
            facts = decode_facts(entry.payloads[event.payload - 1])
            self.placed_at.setdefault(event.subject, facts.placed_at)
        for move in event.moves:
            self._move(where, move, event)
        if isinstance(event, Synced):
            for pool_id, units, _ in event.owed:
                orders = self.shorts.setdefault(pool_id, {})
                orders[event.subject] = orders.get(event.subject, 0) + units
        if self.together:
            self._check_together(where)
        self._decide(event)
        for move in event.moves:
            lacking = sum(self.shorts.get(move.pool_id, {}).values())
            if move.owed and self.pools[move.pool_id][OWED] != lacking:
                self._faults.append(f"{where}: {move.pool_id} owes other units than orders lack")

    def _decide(self, event: LogEvent) -> None:
        """What looked wrong was wrong, unless an opening follows what was put back."""
        if not isinstance(event, Reserved | Synced):
            opened = isinstance(event, Opened) and event.subject == "opened"
            self._faults += [] if opened else self._unless_put_back
            self._unless_put_back = []

    def _move(self, where: str, move: Move, event: LogEvent) -> None:
        pool = self.pools.setdefault(move.pool_id, [0] * 5)
        if isinstance(event, Reserved | Reheld) and move.available < 0:
            self._asked_for(where, move, pool)
        for account, change in enumerate(_changes(move)):
            pool[account] += change
        self._check(where, move.pool_id, pool)
        if move.owed < 0:
            self.repaid_by[type(event).__name__] -= move.owed
            self._repay(move.pool_id, -move.owed, event.subject)

    def _asked_for(self, where: str, move: Move, pool: Sequence[int]) -> None:
        """An order that was asked for takes nothing of a pool that owes, not even what is free."""
        late = "after zero" if move.pool_id in self._once_owed else "before"
        self.asked_for[late] -= move.available
        if pool[OWED]:
            self._unless_put_back.append(
                f"{where}: took of {move.pool_id}, which owed {pool[OWED]}"
            )

    def _check(self, where: str, pool_id: str, pool: Sequence[int]) -> None:
        granted, owed, available, held, sold = pool
        if granted + owed != available + held + sold or min(pool) < 0:
            self._faults.append(f"{where}: {pool_id} does not add up: {pool}")
        if owed and available:
            self._unless_put_back.append(f"{where}: {pool_id} owes {owed} and has {available} free")
        if owed:
            self._once_owed.add(pool_id)

    def _check_together(self, where: str) -> None:
        mine = {name: self.pools[name] for name in sorted(self.together & self.pools.keys())}
        free = [name for name, (_, _, available, _, _) in mine.items() if available]
        if free and any(pool[OWED] for pool in mine.values()):
            self._unless_put_back.append(f"{where}: {free} have units free, beside {mine}")

    def _repay(self, pool_id: str, units: int, giver: str) -> None:
        orders = self.shorts.get(pool_id, {})
        queue = sorted((one != giver, self.placed_at.get(one, 0), one) for one in orders)
        for _, _, order_id in queue:
            part = min(units, orders[order_id])
            units -= part
            orders[order_id] -= part
            if not orders[order_id]:
                del orders[order_id]
            if not units:
                return


async def compare(pg: asyncpg.Connection, books: Books, redis: Redis) -> list[str]:
    """Fold the log up to where Postgres stands; return what it has differently."""
    async with pg.transaction(isolation="repeatable_read", readonly=True):
        end = await pg.fetchval("SELECT last_id FROM cells")
        pools = await pg.fetch("SELECT pool_id, granted, owed, available, held, sold FROM pools")
        shorts = await pg.fetch("SELECT pool_id, order_id, units FROM shorts")
        lines = await pg.fetch(
            "SELECT order_id, sum(short) AS units FROM order_lines WHERE short > 0"
            " GROUP BY order_id"
        )
        blocked = await pg.fetch("SELECT DISTINCT order_id FROM blocks WHERE code = 'short'")
        waits = await pg.fetch("SELECT order_id FROM orders WHERE stock_state = 'short'")
    await books.read(redis)
    books.fold(end)
    if position(books.end) < position(end):
        return [f"the log was read up to {books.end} only, Postgres stands at {end}"]
    owed = books.owed()
    lacking = Counter[str]()
    for (_, order_id), units in owed.items():
        lacking[order_id] += units
    sides = {
        "pools": (
            {name: units for name, units in books.pools.items() if any(units)},
            {name: units for name, *units in pools if any(units)},
        ),
        "shorts": (owed, {(row[0], row[1]): row[2] for row in shorts}),
        "lines that are short": (lacking, {row[0]: row[1] for row in lines}),
        "orders that are blocked": (set(lacking), {row[0] for row in blocked}),
        "orders whose stock is short": (set(lacking), {row[0] for row in waits}),
    }
    return [
        f"{end}: {what} differ, of the log {_beside(said, found)}"
        for what, (said, found) in sides.items()
        if said != found
    ]


def _changes(move: Move) -> tuple[int, ...]:
    return move.granted, move.owed, move.available, move.held, move.sold


def _beside(said: Any, found: Any) -> str:
    """Show only what differs."""
    if isinstance(said, set):
        return f"{sorted(said - found)[:5]}, of Postgres {sorted(found - said)[:5]}"
    names = [name for name in {**said, **found} if said.get(name) != found.get(name)][:5]
    return ", ".join(f"{name}: {said.get(name)}, of Postgres {found.get(name)}" for name in names)
