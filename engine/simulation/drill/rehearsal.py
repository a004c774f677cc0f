"""One drill over one place: open a sale, let everybody come, do the harm, look, and judge."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.client import Client
from engine.infra import cell, postgres
from engine.infra.postgres import Pool
from engine.kernel import codec
from engine.kernel.clock import Clock, rfc3339
from engine.kernel.types import CellId
from engine.simulation.bench import machine
from engine.simulation.calls import PATIENT, Calls
from engine.simulation.drill import gathering, generating, judge, opening, proving, replaying, told
from engine.simulation.drill import plan as plans
from engine.simulation.drill.faults import Harming
from engine.simulation.drill.generating import Generator
from engine.simulation.drill.judge import Measured
from engine.simulation.drill.observe import Lag, Observer
from engine.simulation.drill.places import Place
from engine.simulation.drill.plan import Plan
from engine.simulation.drill.replaying import Replay
from engine.simulation.drill.scenarios import Scenario
from engine.simulation.drill.summary import SCHEMA, Fault, Invariant, Series, Summary, Totals
from engine.simulation.drill.tally import Seen
from engine.simulation.http import LoadClient
from engine.simulation.progress import Progress

SEED: Final = 20_261_111

_SHOW_EVERY_S: Final = 0.25
_DRAINED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.02
_OPENS_WITHIN_S: Final = 30.0
_ANSWERS_S: Final = 60.0


class Drill(NamedTuple):
    """What is to be held: a scenario by its name, and where its papers go."""

    run_id: str
    mark: str
    name: str
    scenario: Scenario
    folder: Path
    replay: Replay | None = None


class Tools(NamedTuple):
    """What is open while a drill runs."""

    pool: Pool
    redis: Redis
    client: LoadClient
    lag: Lag


class Rehearsal:
    """One run; everything it needs is open before, and closed after."""

    def __init__(
        self, drill: Drill, place: Place, generator: Generator, progress: Progress, clock: Clock
    ) -> None:
        """Take what is held where, with whom."""
        self._drill = drill
        self._scenario = drill.scenario
        self._place = place
        self._generator = generator
        self._progress = progress
        self._clock = clock
        self._machine: dict[str, str] = {}
        work = drill.scenario.work
        expected = drill.scenario.curve.expected(drill.scenario.seconds)
        plenty = max(1.0, expected * max(1, work.per_body if work.sync_share else 1))
        self._units: Mapping[str, int] = plans.shelf(work, plenty)
        if drill.replay:
            self._units = drill.replay.units

    async def run(self) -> Summary:
        """Hold the drill and return what was found.

        Raises:
            EngineError: it could not be held.
        """
        started_at = rfc3339(self._clock.now_ms())
        async with self._tools() as tools:
            self._machine = await _machine(tools)
            markets = [plans.market(n) for n in range(self._scenario.work.markets)]
            async with Client(self._place.address, self._place.key, retry=PATIENT) as operator:
                await opening.put(
                    Calls(operator), self._drill.mark, self._units, markets, self._clock
                )
            await self._generator.prepare(self._plan(), self._clock)
            self._progress.say(f"{self._drill.name}: {self._scenario.about}")
            observer = Observer(
                self._place.supervisor, lambda: self._generator.pids, tools.lag, self._clock
            )
            try:
                seen, faults, drained_s = await self._load(tools, observer)
            except ExceptionGroup as group:
                raise group.exceptions[0] from group
            self._progress.say("all is answered; comparing and certifying")
            series = gathering.series(seen, observer)
            words, invariants = await self._prove(tools, seen, faults)
            return self._judged(started_at, seen, series, faults, drained_s, (words, invariants))

    @asynccontextmanager
    async def _tools(self) -> AsyncIterator[Tools]:
        settings = self._place.settings
        async with AsyncExitStack() as stack:
            pool = await postgres.open_pool(settings.database_url or "")
            stack.callback(pool.terminate)
            redis = cell.client(settings.valkey_url or "")
            stack.push_async_callback(redis.aclose)
            client = await stack.enter_async_context(
                LoadClient(self._place.address, self._place.key, connections=8)
            )
            lag = Lag(pool, redis, CellId(settings.cell), self._clock)
            yield Tools(pool, redis, client, lag)

    def _plan(self) -> Plan:
        scenario, replay = self._scenario, self._drill.replay
        return Plan(
            url=self._place.address,
            mark=self._drill.mark,
            seed=SEED,
            curve=scenario.curve,
            seconds=scenario.seconds,
            work=scenario.work,
            in_flight_max=scenario.in_flight_max,
            bounds=scenario.bounds,
            folder="",
            orders=str(replay.path.absolute()) if replay else "",
        )

    async def _load(
        self, tools: Tools, observer: Observer
    ) -> tuple[list[Seen], list[Fault], float | None]:
        """Let everybody come; return what was seen, the faults, and how long recording went on."""
        scenario, harming = self._scenario, None
        began = self._generator.go(self._clock)
        if scenario.fault and self._place.supervisor:
            harming = Harming(self._place.supervisor, scenario.fault, tools.lag, self._clock)
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(observer.run(began))
            telling = tasks.create_task(self._tell())
            harmed = tasks.create_task(harming.run(began, scenario.seconds)) if harming else None
            seen = await self._generator.finish(self._clock, scenario.seconds + _ANSWERS_S)
            if harmed:
                await harmed
            drained_s = await self._drained(tools.lag)
            telling.cancel()
            looking.cancel()
        self._progress.end()
        return seen, [harming.fault] if harming and harming.fault else [], drained_s

    async def _drained(self, lag: Lag) -> float | None:
        """Return how long after the last answer everything was recorded."""
        began = self._clock.monotonic()
        while (found := await lag.ask()) is None or found > 0:
            if self._clock.monotonic() - began > _DRAINED_WITHIN_S:
                return None
            await asyncio.sleep(_POLL_S)
        return round(self._clock.monotonic() - began, 3)

    async def _tell(self) -> None:
        while True:
            counts: Counter[str] = Counter()
            for one in self._generator.told():
                counts.update(one.counts)
            if counts:
                self._progress.counts({name: f"{count:,}" for name, count in counts.items()})
            await asyncio.sleep(_SHOW_EVERY_S)

    async def _prove(
        self, tools: Tools, seen: Sequence[Seen], faults: Sequence[Fault]
    ) -> tuple[str, list[Invariant]]:
        answers = told.read(sorted(self._drill.folder.glob("told-*.tsv")))
        words, oversold = await proving.certificate(
            tools.redis, tools.pool, self._place.settings, self._clock
        )
        found = [
            Invariant("no oversell", oversold == 0, f"{oversold} units are oversold by us"),
            *await proving.compare(tools.pool, answers, self._drill.mark, self._units),
            await proving.replayed(tools.client, answers, self._document(answers)),
            judge.unexplained(gathering.failures_by_second(seen), faults),
        ]
        with suppress(OSError, RedisError):
            found.append(await proving.on_disk(tools.redis, self._place.settings))
        found.append(Invariant("certificate", words == proving.HOLDS, words))
        return words, found

    def _document(self, answers: told.Told) -> proving.Document:
        if self._drill.replay:
            bodies = replaying.documents(self._drill.replay.path, answers.taken)
            return bodies.__getitem__
        plan = self._plan()
        return lambda n: codec.encode(plans.order(plan, n))

    def _judged(
        self,
        started_at: str,
        seen: Sequence[Seen],
        series: Series,
        faults: Sequence[Fault],
        drained_s: float | None,
        proved: tuple[str, list[Invariant]],
    ) -> Summary:
        words, invariants = proved
        totals, (latency, histograms) = gathering.totals(seen), gathering.latencies(seen)
        snapshots: Counter[str] = Counter()
        for one in seen:
            snapshots.update(one.snapshots)
        measured = Measured(totals, latency, series, faults, snapshots, drained_s)
        bars = judge.thresholds(self._scenario.thresholds, measured)
        generator = gathering.generator(generating.NAME, seen)
        failures = [f"{one.name}: {one.told}" for one in invariants if not one.met]
        if generator.aborted:
            why = next(one.aborted for one in seen if one.aborted)
            failures = [f"generator: {why}; the engine was not measured", *failures]
        else:
            failures += [judge.sentence(one) for one in bars if not one.met]
        seconds = self._seconds(totals)
        return Summary(
            schema=SCHEMA,
            run_id=self._drill.run_id,
            scenario=self._drill.name,
            started_at=started_at,
            seconds=seconds,
            target=self._place.name,
            passed=not failures,
            failures=failures,
            thresholds=bars,
            invariants=invariants,
            certificate=words,
            totals=totals,
            latency=latency,
            rate_target_max=round(self._highest(), 1),
            rate_sent_max=max(series.sent, default=0),
            accepted_per_s=round(totals.accepted / seconds, 1) if seconds else 0.0,
            faults=list(faults),
            generator=generator,
            machine=self._machine,
            series=series,
            histograms=histograms,
        )

    def _highest(self) -> float:
        replay = self._drill.replay
        return replay.highest if replay else self._scenario.curve.highest(self._scenario.seconds)

    def _seconds(self, totals: Totals) -> float:
        replay = self._drill.replay
        seconds = replay.seconds if replay else self._scenario.seconds
        return round(max(seconds, 1.0 if totals.sent else 0.0), 3)


async def _machine(tools: Tools) -> dict[str, str]:
    """Return where and with what a drill was held."""
    where, what = machine.look(), await machine.versions(tools.redis, tools.pool)
    return {
        "cpu": where.cpu,
        "cores": str(where.cores),
        "system": where.system,
        "load": " ".join(map(str, where.load)),
        "commit": where.commit,
        "python": what.python,
        "valkey": what.valkey,
        "postgres": what.postgres,
        **what.packages,
    }
