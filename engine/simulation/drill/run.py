"""`tidegate drill run SCENARIO`: rehearse a peak, or a failure in the middle of one, and judge it.

Exit 0: passed. 99: a threshold was breached or something that must hold did not, with sentences why
on stderr. 2: the command cannot be read or asks for what may not be. 3: something is not installed.
"""

import asyncio
import importlib
import importlib.util
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import uvloop

from engine.infra.migrate import migrate
from engine.infra.servers.supervisor import Supervisor
from engine.kernel import codec
from engine.kernel.clock import SystemClock
from engine.kernel.ids import token
from engine.settings import Settings
from engine.simulation import orderfile
from engine.simulation.drill import faults, judge, power, replaying, scenarios
from engine.simulation.drill.generating import Generator
from engine.simulation.drill.places import Place, Refused, attached
from engine.simulation.drill.rehearsal import Drill, Rehearsal
from engine.simulation.drill.replaying import Replay
from engine.simulation.drill.scenarios import Scenario
from engine.simulation.drill.summary import Summary
from engine.simulation.progress import Progress

PASSED: Final = 0
USAGE: Final = 2
BREACHED: Final = 99
SUMMARY: Final = "summary.json"

_CELL_MB_FREE: Final = 512
_ORDERS_PER_CELL_MB: Final = 1_000
_REPORT: Final = "engine.simulation.drill.report"


class Options(NamedTuple):
    """What the command was given; None and "" are what the scenario says."""

    scenario: str
    short: bool = False
    seconds: float | None = None
    rate: float | None = None
    target: str = ""
    orders: Path | None = None
    speed: float = 1.0
    keep: bool = False
    runs: Path = Path("runs")


def run(settings: Settings, options: Options, *, as_json: bool) -> int:
    """Hold a drill, leave its papers in a folder of its own, and show what was found.

    Raises:
        CannotStart: nothing is left running.
        EngineError: it could not be held.
    """
    progress = Progress(SystemClock().monotonic)
    try:
        chosen(options)
        place = attached(settings, options.target) if options.target else None
        drill = prepared(options)
    except (Refused, orderfile.MalformedFile) as refusal:
        sys.stderr.write(f"{refusal}\n")
        return USAGE
    with _interruptible(progress):
        summary = _held(settings, options, drill, place, progress)
    show(summary, drill.folder, as_json=as_json)
    return PASSED if summary.passed else BREACHED


def chosen(options: Options) -> Scenario:
    """Return the scenario as it was asked for.

    Raises:
        Refused: there is no such scenario, or the options do not fit it.
        Missing: what its fault is done with is not installed.
    """
    name = options.scenario
    if name not in scenarios.names():
        raise Refused(f"{name!r} is no scenario: there are {', '.join(scenarios.names())}")
    if (name == scenarios.REPLAY) != (options.orders is not None):
        raise Refused("--orders FILE goes with the scenario replay, and with no other")
    scenario = scenarios.load(name, short=options.short)
    judge.check(scenario.thresholds)
    if scenario.fault and options.target:
        raise Refused(
            f"{name} kills servers: it is held on an instance of its own, without --target"
        )
    if scenario.fault and scenario.fault.name == faults.CUT_POWER:
        power.require()
    return scenarios.scaled(scenario, rate=options.rate, seconds=options.seconds)


def prepared(options: Options) -> Drill:
    """Return what is to be held, its folder made.

    Raises:
        Refused, Missing: as `chosen` does.
        MalformedFile: the file of a replay cannot be read.
    """
    name, scenario = options.scenario, chosen(options)
    mark, now = token(4), datetime.now(UTC)
    run_id = f"{now:%Y%m%d-%H%M%S}-{name}-{mark[:4]}"
    folder = options.runs / run_id
    folder.mkdir(parents=True)
    replay = None
    if options.orders:
        replay = _replay(options, mark, folder)
        scenario = msgspec.structs.replace(scenario, seconds=replay.seconds)
    return Drill(run_id, mark, name, scenario, folder, replay)


def hold(drill: Drill, place: Place, generator: Generator, progress: Progress) -> Summary:
    """Hold a drill at a place, write its papers and return what was found."""
    clock = SystemClock()
    try:
        rehearsal = Rehearsal(drill, place, generator, progress, clock)
        summary = uvloop.run(rehearsal.run())
    finally:
        progress.end()
        _keep_logs(place, drill.folder)
    (drill.folder / SUMMARY).write_bytes(codec.encode_pretty(summary))
    if importlib.util.find_spec(_REPORT):
        report: Any = importlib.import_module(_REPORT)
        report.write(drill.folder, summary)
    return summary


def show(summary: Summary, folder: Path, *, as_json: bool) -> None:
    """Write the summary to stdout, and why it was not passed to stderr."""
    if as_json:
        sys.stdout.write(codec.encode(summary).decode() + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _lines(summary)))
        sys.stdout.write(f"papers: {folder}\n")
    sys.stderr.write("".join(f"not met: {one}\n" for one in summary.failures))


def _held(
    settings: Settings, options: Options, drill: Drill, place: Place | None, progress: Progress
) -> Summary:
    key = place.key if place else settings.admin_key or token(24)
    with Generator(drill.folder, drill.scenario.processes, key, settings) as generator:
        if place:
            return hold(drill, place, generator, progress)
        progress.say("starting Valkey, Postgres, one API process and one worker")
        own = _of_its_own(settings, drill.scenario, key)
        with Supervisor(own, ephemeral=True, api_processes=1, tell=progress.say) as supervisor:
            asyncio.run(migrate(supervisor.settings.database_url or ""))
            supervisor.start_engine()
            supervisor.wait_ready()
            place = Place(supervisor.settings, supervisor.address, key, supervisor)
            summary = hold(drill, place, generator, progress)
            if options.keep:
                progress.say(f"the instance stays at {supervisor.address}; Ctrl-C stops it")
                signal.pause()
            return summary


def _of_its_own(settings: Settings, scenario: Scenario, key: str) -> Settings:
    """Return settings under which nothing of a running instance is touched."""
    orders = int(scenario.curve.expected(scenario.seconds)) * scenario.work.per_body
    return replace(
        settings, ephemeral=True, http_port=0, database_url=None, valkey_url=None, admin_key=key,
        valkey_maxmemory_mb=max(
            settings.valkey_maxmemory_mb, _CELL_MB_FREE + orders // _ORDERS_PER_CELL_MB
        ),
    )  # fmt: skip


def _replay(options: Options, mark: str, folder: Path) -> Replay:
    assert options.orders
    demand = orderfile.read(options.orders)
    return replaying.write(demand, mark, options.speed, folder / "orders.tsv")


def _keep_logs(place: Place, folder: Path) -> None:
    """Keep what the servers wrote, and not what passed between us and the generator."""
    for passed in ("go", "ready-*", "progress-*"):
        for path in folder.glob(passed):
            path.unlink()
    if place.supervisor:
        logs = place.supervisor.home.path / "log"
        shutil.copytree(logs, folder / "logs", dirs_exist_ok=True)


@contextmanager
def _interruptible(progress: Progress) -> Iterator[None]:
    """Take SIGTERM as Ctrl-C, so that the servers are stopped then, too."""
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
        progress.end()


def _lines(summary: Summary) -> Iterator[str]:
    totals, latency = summary.totals, summary.latency
    yield f"{summary.scenario}: {'passed' if summary.passed else 'FAILED'}"
    yield (
        f"planned {totals.planned:,}, sent {totals.sent:,}, dropped {totals.dropped:,},"
        f" accepted {totals.accepted:,}, refused {sum(totals.refused.values()):,},"
        f" 5xx {sum(totals.failed.values()):,}, no answer {totals.unknown:,}"
    )
    for kind in ("accepted", "refused"):
        if (one := latency[kind]).count:
            yield (
                f"{kind}: p50 {one.p50:.1f} ms, p99 {one.p99:.1f} ms, p99.9 {one.p999:.1f} ms,"
                f" slowest {one.max:.1f} ms"
            )
    for fault in summary.faults:
        ended = "not over by the end" if fault.ended_s is None else f"over at {fault.ended_s:.1f} s"
        yield f"fault {fault.name} at {fault.at_s:.1f} s, {ended}"
    for bar in summary.thresholds:
        yield f"{'met    ' if bar.met else 'NOT MET'} {judge.sentence(bar)}"
    for held in summary.invariants:
        yield f"{'holds  ' if held.met else 'BROKEN '} {held.name}: {held.told}"
    made = summary.generator
    yield (
        f"generator {made.name}: {made.cpu_mean:.2f} cores, {made.late_p99_ms:.1f} ms late (p99);"
        f" {summary.rate_sent_max:,.0f} sent in the highest second"
    )
    yield summary.certificate
