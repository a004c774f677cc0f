"""One measurement: a load, its clock, and the CPU that every process had meanwhile."""

import asyncio
from time import monotonic  # the clock of Tally.began
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from engine.infra import queries
from engine.infra.cell import Cell
from engine.infra.log import position
from engine.infra.postgres import Pool
from engine.infra.servers import ports
from engine.infra.servers import postgres as postgres_server
from engine.infra.servers import valkey as valkey_server
from engine.infra.servers.supervisor import Supervisor
from engine.kernel.clock import Clock, rfc3339
from engine.kernel.ids import token
from engine.simulation.bench import cellload, cpu, grantload
from engine.simulation.bench.children import Generator
from engine.simulation.bench.scenarios import Scenario, Target, orders_of
from engine.simulation.bench.shelf import EXTERNAL, GATE, Shelf
from engine.simulation.bench.types import (
    CELL,
    GENERATOR,
    INGEST,
    POSTGRES,
    RECORDER,
    BenchFailed,
    Job,
    Sample,
    Tally,
)

SQL: Final = queries.load("engine.simulation.bench")

_WITHOUT_HTTP: Final = {Target.CELL, Target.GRANTS}
_POLL_S: Final = 0.005
_LOAD_WITHIN_S: Final = 180.0
_RECORDED_WITHIN_S: Final = 120.0


class Server(NamedTuple):
    """A process of the bench that stands in the API's place."""

    pid: int
    port: int


class Meter:
    """Measures over a running instance; `accepted` and `unanswered` count what it was sent."""

    def __init__(
        self, supervisor: Supervisor, generator: Generator, cell: Cell, pool: Pool, clock: Clock
    ) -> None:
        """Take what is measured and who loads it."""
        self.accepted = self.unanswered = 0
        self._first = 0
        self._supervisor = supervisor
        self._generator = generator
        self._cell = cell
        self._pool = pool
        self._clock = clock

    async def sample(
        self,
        scenario: Scenario,
        orders: int,
        shelf: Shelf,
        *,
        instead: Server | None = None,
        rate: float = 0.0,
    ) -> Sample:
        """Load the engine, or who stands in its place, and return what it came to.

        Raises:
            BenchFailed: no end was reached in time.
        """
        job = self._job(scenario, orders, shelf, instead, rate)
        if scenario.target not in _WITHOUT_HTTP:
            await self._generator.prepare(job)
        roles = self._roles(scenario, instead)
        before, others = cpu.read(roles), cpu.machine()
        tally = await self._load(scenario, job)
        recorded_at = tally.began + tally.seconds
        if instead is None and not scenario.sold_out:
            recorded_at = max(recorded_at, await self._recorded())
        after, others_after = cpu.read(self._roles(scenario, instead)), cpu.machine()
        if instead is None and scenario.target is not Target.GRANTS:
            self.accepted += tally.accepted
            self.unanswered += tally.statuses.get("0", 0)
        spent = {role: after[role] - before.get(role, 0.0) for role in after}
        if scenario.target not in _WITHOUT_HTTP:
            spent[GENERATOR] = tally.cpu_s
        foreign = None
        if others is not None and others_after is not None:
            foreign = others_after - others - sum(spent.values())
        return self._result(job, scenario, tally, recorded_at - tally.began, (spent, foreign))

    def _result(
        self,
        job: Job,
        scenario: Scenario,
        tally: Tally,
        seconds: float,
        cost: tuple[dict[str, float], float | None],
    ) -> Sample:
        spent, foreign = cost
        counted = tally.answers if scenario.sold_out else tally.accepted
        return Sample(
            asked=job.orders,
            orders=counted,
            orders_per_s=counted / seconds,
            answers_per_s=tally.answers / tally.seconds,
            p50_ms=tally.p50_ms,
            p99_ms=tally.p99_ms,
            late_p99_ms=tally.late_p99_ms,
            statuses=tally.statuses,
            cpu_us={role: used / max(counted, 1) * 1e6 for role, used in spent.items()},
            foreign=None if foreign is None else max(0.0, foreign) / (cpu.cores() * seconds),
        )

    async def recorded_orders(self, shelf: Shelf) -> int:
        """Return how many orders of this run Postgres has."""
        campaigns = [shelf.plenty, shelf.last_unit, *shelf.crowd.names()]
        return int(await self._pool.fetchval(SQL["orders_of_campaigns"], campaigns))

    def _job(
        self, scenario: Scenario, orders: int, shelf: Shelf, instead: Server | None, rate: float
    ) -> Job:
        settings = self._supervisor.settings
        where = urlsplit(self._supervisor.address)
        wide = scenario.wide
        self._first += orders if wide else 0
        return Job(
            host=ports.LOOPBACK if instead else where.hostname or ports.LOOPBACK,
            port=instead.port if instead else where.port or 0,
            key=settings.admin_key or "",
            kind=scenario.kind,
            tenant=settings.tenant,
            channel=EXTERNAL if scenario.kind == "sync" else GATE,
            campaign=_campaign(scenario, shelf),
            campaigns=shelf.crowd.campaigns if wide else 0,
            first=self._first,
            mark=token(6),
            placed_at=rfc3339(self._clock.now_ms()),
            skus=shelf.crowd.skus if wide else scenario.skus,
            orders=orders_of(scenario, orders),
            per_request=scenario.per_request,
            connections=scenario.connections,
            rate=rate,
        )

    async def counts(self) -> tuple[int, int]:
        """Return how many orders the cell has accepted, and how many of them are recorded."""
        row = await self._pool.fetchrow(SQL["recorded"], self._cell.id)
        state = await self._cell.refresh()
        if row is None or state is None:
            raise BenchFailed("the cell has no record of itself")
        return state.accepted, int(row["recorded"])

    def pids(self) -> dict[str, list[int]]:
        """Return the processes of the instance, by role; a server that is not ours has none."""
        return {
            INGEST: self._pids("api-"),
            CELL: self._pids(valkey_server.NAME),
            RECORDER: self._pids("worker-"),
            POSTGRES: self._postgres(),
        }

    def postgres(self) -> list[int]:
        """Return the process of the server, none if it is not ours."""
        return self._pids(postgres_server.NAME)

    async def _load(self, scenario: Scenario, job: Job) -> Tally:
        if scenario.target is Target.CELL:
            return await cellload.run(self._cell, job, self._clock.now_ms())
        if scenario.target is Target.GRANTS:
            return await grantload.run(self._pool, job)
        return await self._generator.go(_LOAD_WITHIN_S)

    async def _recorded(self) -> float:
        """Wait until Postgres has come to where the log stands now, and return when that was."""
        state = await self._cell.refresh()
        if state is None:
            raise BenchFailed("the cell has no record of itself")
        until = monotonic() + _RECORDED_WITHIN_S
        while True:
            row = await self._pool.fetchrow(SQL["recorded"], self._cell.id)
            if row is not None and position(row["last_id"]) >= position(state.last_id):
                return monotonic()
            if monotonic() > until:
                raise BenchFailed(
                    f"not recorded within {_RECORDED_WITHIN_S:.0f} s; the worker's log ends: "
                    + self._last_words("worker-0")
                )
            await asyncio.sleep(_POLL_S)

    def _roles(self, scenario: Scenario, instead: Server | None) -> dict[str, list[int]]:
        """Return the processes that take part, by role; a server that is not ours has none."""
        if instead is not None and scenario.target is Target.BARE:
            return {INGEST: [instead.pid]}
        if instead is not None:
            return {INGEST: [instead.pid], POSTGRES: self._postgres()}
        return self.pids()

    def _last_words(self, name: str) -> str:
        lines = self._supervisor.log_of(name).strip().splitlines()
        return lines[-1] if lines else "(nothing)"

    def _postgres(self) -> list[int]:
        return [pid for root in self._pids(postgres_server.NAME) for pid in cpu.tree(root)]

    def _pids(self, prefix: str) -> list[int]:
        names = [name for name in self._supervisor.names() if name.startswith(prefix)]
        return [pid for name in names if (pid := self._supervisor.pid_of(name)) is not None]


def _campaign(scenario: Scenario, shelf: Shelf) -> str:
    if scenario.wide:
        return shelf.crowd.prefix
    if scenario.target is Target.GRANTS:
        return shelf.many
    return shelf.last_unit if scenario.sold_out else shelf.plenty
