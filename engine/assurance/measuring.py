"""What is read of a cell, its log and its pools for who watches them."""

from typing import Any, Final, get_args

from engine.assurance.rules import position
from engine.assurance.store import SQL
from engine.assurance.types import PoolState
from engine.infra import keys, metrics
from engine.infra.cell import Cell, State
from engine.infra.metrics import Values
from engine.infra.postgres import Pool
from engine.kernel.errors import OutcomeUnknown
from engine.kernel.types import Tenant

_COUNTED_MAX: Final = 64  # large ones take the cell 3 ms
# Counted where the log is: its entries carry whole orders.
_COUNT: Final = f"return #redis.call('XRANGE',KEYS[1],ARGV[1],'+','COUNT',{_COUNTED_MAX})"


async def of_cell(cell: Cell) -> Values:
    """Return how the cell stands; of one that does not answer, only that it is not open."""
    of = (str(cell.id),)
    try:
        await cell.refresh()
        memory = _fields(await cell.ask("INFO", "memory"))
        holds = await cell.ask("ZCARD", keys.of(cell.id, "due"))
    except OutcomeUnknown:
        return {metrics.CELL_OPEN: {of: 0.0}}
    return {
        metrics.CELL_OPEN: {of: float(cell.is_open)},
        metrics.CELL_MEMORY: {of: float(memory["used_memory"])},
        metrics.CELL_MEMORY_MAX: {of: float(memory["maxmemory"])},
        metrics.HOLDS_OPEN: {of: float(holds)},
    }


async def of_log(db: Pool, cell: Cell) -> Values:
    """Return how far Postgres is behind the cell."""
    recorded = await db.fetchrow(SQL["cell"], cell.id)  # first: what comes meanwhile is not behind
    state = await cell.refresh()
    if recorded is None or state is None:
        return {}
    of = (str(cell.id),)
    entries, lag_s = await _behind(cell, recorded["last_id"], state)
    return {
        metrics.LOG_LAG: {of: lag_s},
        metrics.LOG_ENTRIES: {of: float(entries)},
        metrics.UNRECORDED_ORDERS: {of: float(max(0, state.accepted - recorded["recorded"]))},
    }


async def _behind(cell: Cell, last_id: str, state: State) -> tuple[int, float]:
    """Return how many entries stand behind a position, and how many seconds the first is old."""
    log, after = keys.of(cell.id, "log"), f"({last_id}"
    if position(state.last_id) <= position(last_id):
        return 0, 0.0
    first, count, clock = await cell.read(
        ("XRANGE", log, after, "+", "COUNT", 1), ("EVAL_RO", _COUNT, 1, log, after), ("TIME",)
    )
    if not first:
        return 0, 0.0
    now_s = int(clock[0]) + int(clock[1]) / 1_000_000
    written_s = position(first[0][0].decode())[0] / 1_000
    return int(count), max(0.0, now_s - written_s)


async def of_pools(db: Pool, tenant: Tenant) -> Values:
    """Return how many pools are how, and what is owed and oversold."""
    states = dict.fromkeys(get_args(PoolState), 0.0)
    owed: dict[tuple[str, ...], float] = {}
    oversold = 0.0
    for row in await db.fetch(SQL["pool_states"], tenant):
        states[row["state"]] += row["pools"]
        channel = (row["channel"] or "shared",)
        owed[channel] = owed.get(channel, 0.0) + row["owed"]
        oversold += row["oversold"]
    return {
        metrics.POOLS: {(state,): n for state, n in states.items()},
        metrics.OWED_UNITS: owed,
        metrics.OVERSOLD_UNITS: {(): oversold},
    }


async def of_trust(db: Pool, cell: Cell, tenant: Tenant) -> Values:
    """Return what the last certificate said, and what was given up."""
    letters = await db.fetchrow(SQL["letters_by_kind"], cell.id, tenant)
    assert letters is not None
    told = await db.fetchrow(SQL["certificate"], cell.id)
    found: dict[metrics.Measure, dict[tuple[str, ...], float]] = {
        metrics.DEAD_LETTERS: {(kind,): float(n) for kind, n in letters.items()}
    }
    if told is not None:
        found[metrics.CERTIFICATE_HOLDS] = {(): float(told["holds"])}
        found[metrics.CERTIFICATE_AGE] = {(): told["age_s"]}
    return found


def _fields(info: Any) -> dict[str, str]:
    text = info.decode() if isinstance(info, bytes) else str(info)
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: value for name, _, value in pairs}
