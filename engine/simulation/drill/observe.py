"""What is seen of the servers in a drill: CPU by kind of process, and how far recording lags."""

import asyncio
from collections.abc import Callable
from typing import Final

from redis.asyncio import Redis

from engine.infra import keys, postgres
from engine.infra.cell import Cell
from engine.infra.log import position
from engine.infra.postgres import Pool
from engine.infra.servers.postgres import NAME as POSTGRES
from engine.infra.servers.supervisor import Supervisor
from engine.infra.servers.valkey import NAME as VALKEY
from engine.kernel.clock import Clock
from engine.kernel.errors import OutcomeUnknown
from engine.kernel.types import CellId
from engine.simulation.bench import cpu
from engine.simulation.drill.statements import SQL

KINDS: Final = {"api": "api-", "worker": "worker-", "valkey": VALKEY, "postgres": POSTGRES}

_ASKED_WITHIN_S: Final = 1.0
_SILENT: Final[tuple[type[Exception], ...]] = (OutcomeUnknown, *postgres.UNAVAILABLE)


class Lag:
    """How old the oldest order is that Postgres does not have."""

    def __init__(self, pool: Pool, redis: Redis, cell: CellId, clock: Clock) -> None:
        """Take where to look."""
        self.recorded_ms = 0  # when the newest order was placed that Postgres has
        self._pool = pool
        self._cell = Cell(redis, cell, clock)
        self._key = keys.of(cell, "log")

    async def ask(self) -> float | None:
        """Return its age in seconds, 0 if there is none; None: nobody can say now."""
        try:
            async with asyncio.timeout(_ASKED_WITHIN_S):
                last = await self._pool.fetchval(SQL["recorded_to"], self._cell.id)
                entries, (seconds, micros) = await self._cell.read(
                    ("XRANGE", self._key, f"({last or '0-0'}", "+", "COUNT", 1), ("TIME",)
                )
        except _SILENT:
            return None
        self.recorded_ms = position(last or "0-0")[0]
        if not entries:
            return 0.0
        now = int(seconds) + int(micros) / 1e6
        return max(0.0, now - position(entries[0][0].decode())[0] / 1_000)


class Observer:
    """Looks once a second; lists have one value for each second since the beginning."""

    def __init__(
        self, supervisor: Supervisor | None, pids: Callable[[], list[int]], lag: Lag, clock: Clock
    ) -> None:
        """Take whom to watch; of somebody else's instance only the generator's CPU is seen."""
        self._supervisor = supervisor
        self._generator = pids
        self._lag = lag
        self._clock = clock
        self.lag_s: list[float | None] = []
        self.cpu: dict[str, list[float | None]] = {}

    async def run(self, began: float) -> None:
        """Look until cancelled."""
        before, at = self._read(), self._clock.monotonic()
        second = 0
        while True:
            second += 1
            await asyncio.sleep(max(0.0, began + second - self._clock.monotonic()))
            lag = await self._lag.ask()
            now, then = self._read(), self._clock.monotonic()
            missed = int(then - began) - len(self.lag_s)
            for _ in range(max(1, missed)):
                self.lag_s.append(None if lag is None else round(lag, 3))
                for kind in now:
                    used = now[kind] - before.get(kind, 0.0)
                    # less than before: a process was replaced, and took its time along
                    cores = round(used / (then - at), 3) if used >= 0 else None
                    self.cpu.setdefault(kind, []).append(cores)
            second = max(second, len(self.lag_s))
            before, at = now, then

    def _read(self) -> dict[str, float]:
        return cpu.read(self._pids())

    def _pids(self) -> dict[str, list[int]]:
        found = {"generator": self._generator()}
        if self._supervisor is None:
            return found
        names = self._supervisor.names()
        for kind, prefix in KINDS.items():
            mine = [self._supervisor.pid_of(name) for name in names if name.startswith(prefix)]
            roots = [pid for pid in mine if pid is not None]
            found[kind] = [pid for root in roots for pid in cpu.tree(root)]
        return found
