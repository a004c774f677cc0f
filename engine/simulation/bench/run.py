"""`tidegate bench`: an instance, loads in alternating pairs with the bare handler, and a report."""

import signal
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import uvloop

from engine.infra.migrate import migrate
from engine.infra.servers.supervisor import Supervisor
from engine.kernel.clock import SystemClock
from engine.settings import Settings
from engine.simulation.bench import baseline, machine, overload, scenarios, show
from engine.simulation.bench.bench import Bench
from engine.simulation.bench.plan import Plan
from engine.simulation.bench.report import Report
from engine.simulation.bench.scenarios import Target
from engine.simulation.progress import Progress

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
SLOWER: Final = 99

OVERLOAD: Final = "overload"
_OVERLOAD_ORDERS: Final = 2_000_000
_SECONDS: Final = 60.0
_SECONDS_BRIEF: Final = 8.0
_AGAIN_PAIRS: Final = 15
_PAIRS: Final = 7  # their smallest and largest enclose the median with 98.4 %
# Nothing pairs filled with empty, so it takes more measurements: short ones, because each then lies
# closer to its bare handler, and of few orders, because those of the bench fill the instance, too.
_FILLED_PAIRS: Final = 15
_FILLED_PAIRS_BRIEF: Final = 4
_FILLED_ORDERS: Final = 1_000
_ORDERS: Final = 10_000
_QUICK_ORDERS: Final = 2_000
_CELL_MB_FREE: Final = 512
_ORDERS_PER_CELL_MB: Final = 1_000  # they take less than half of it
_LOG_KEEP_S: Final = 1  # what the log keeps is no order's memory


class Options(NamedTuple):
    """What the command was given; None takes what fits."""

    quick: bool = False
    only: tuple[str, ...] = ()
    pairs: int | None = None
    orders: int | None = None
    against: Path | None = None
    filled: int | None = None


class _Unfit(ValueError):
    """What the command was given makes no sense; the sentence says why."""


def run(settings: Settings, options: Options, *, as_json: bool) -> int:
    """Run the bench; 99 only if an order certainly costs more than the baseline allows.

    What looks so is measured again, among the same loads and by more pairs: it has to look so
    twice.

    Raises:
        CannotStart: nothing is left running.
    """
    if options.only == (OVERLOAD,):
        return _overload(_roomy(settings, _OVERLOAD_ORDERS), options, as_json=as_json)
    try:
        plan = _plan(settings, options)
    except _Unfit as refusal:
        sys.stderr.write(f"{refusal}\n")
        return USAGE
    report = measure(_roomy(settings, plan.filled), plan)
    if (worse := _worse(report)) and not report.faults:
        again = plan._replace(pairs=max(plan.pairs, _AGAIN_PAIRS), routing=False, filled=0)
        said = f"{', '.join(sorted(worse))} looked slower: measured again, {again.pairs} pairs"
        sys.stderr.write(f"{said}\n")
        report = baseline.confirmed(report, measure(settings, again))
    show.show(report, as_json=as_json)
    if report.faults:
        sys.stderr.write(_AFTER_A_FAULT)
        return FAILED
    if _worse(report):
        sys.stderr.write(_WHEN_SLOWER.format(against=options.against))
        return SLOWER
    return DONE


def _overload(settings: Settings, options: Options, *, as_json: bool) -> int:
    """Measure what is left when far more orders come than can be taken."""
    clock = SystemClock()
    progress = Progress(clock.monotonic)
    own, seconds = replace(settings, http_port=0), _SECONDS_BRIEF if options.quick else _SECONDS
    with ExitStack() as stack:
        stack.callback(progress.end)
        with overload.on_one_core() as apart:
            supervisor = stack.enter_context(Supervisor(own, tell=progress.say))
            uvloop.run(migrate(supervisor.settings.database_url or ""))
            supervisor.start_engine()
        supervisor.wait_ready()
        steps = uvloop.run(overload.measure(supervisor, clock, seconds, progress))
    if not apart:
        sys.stderr.write("there is one core only: the generator had a part of it\n")
    text = msgspec.json.encode(steps).decode() if as_json else "\n".join(overload.lines(steps))
    sys.stdout.write(text + "\n")
    return DONE


def _worse(report: Report) -> set[str]:
    return {one.name for one in report.changes if one.worse}


_AFTER_A_FAULT: Final = (
    "Something was lost or broken: this is no matter of speed. Run it again without --ephemeral "
    "and read the logs in the data directory; `tidegate up` and `tidegate verify` show the state.\n"
)
_WHEN_SLOWER: Final = (
    "An order costs over 15 % more CPU than the baseline, by the intervals of two measurements.\n"
    "1. Run it again on a quiet machine, that scenario alone: --only NAME --pairs 15 "
    "--against {against}\n"
    "2. Find the commit: the leg is the process to profile (ingest, cell, recorder, postgres).\n"
    "3. If it is the price of something wanted, write a new baseline with --quick --json and say "
    "why in the commit.\n"
)


def _plan(settings: Settings, options: Options) -> Plan:
    if options.filled and not settings.ephemeral:
        raise _Unfit("--filled needs --ephemeral: nobody wants so many orders to stay")
    usual = scenarios.usual(quick=options.quick, filled=bool(options.filled))
    try:
        chosen = scenarios.chosen(options.only, usual)
        kept = baseline.read(options.against) if options.against else None
    except scenarios.UnknownName as refusal:
        raise _Unfit(f"--only {refusal}") from None
    except baseline.Unusable as refusal:
        raise _Unfit(f"--against {options.against} {refusal}") from None
    pairs, orders = _PAIRS, _QUICK_ORDERS if options.quick else _ORDERS
    if options.filled:
        pairs, orders = _FILLED_PAIRS_BRIEF if options.quick else _FILLED_PAIRS, _FILLED_ORDERS
    return Plan(
        scenarios=[one for one in chosen if one.target is not Target.ROUTING],
        routing=any(one.target is Target.ROUTING for one in chosen),
        pairs=options.pairs or pairs,
        orders=options.orders or orders,
        quick=options.quick,
        baseline=kept,
        filled=options.filled or 0,
    )


def _roomy(settings: Settings, filled: int) -> Settings:
    """Return settings under which so many orders fit into the cell, and its log is soon cut."""
    if not filled:
        return settings
    return replace(
        settings,
        valkey_maxmemory_mb=max(
            settings.valkey_maxmemory_mb, _CELL_MB_FREE + filled // _ORDERS_PER_CELL_MB
        ),
        log_keep_seconds=min(settings.log_keep_seconds, _LOG_KEEP_S),
    )


def measure(settings: Settings, plan: Plan) -> Report:
    """Start an instance, measure, and return what was found; all is stopped after.

    SIGTERM is taken as Ctrl-C, so that the servers are stopped then too.

    Raises:
        CannotStart: nothing is left running.
    """
    clock = SystemClock()
    progress = Progress(clock.monotonic)
    before_us = machine.look()
    progress.say("starting Valkey, Postgres, the API and one worker")
    # a shell's background job was started with SIGINT ignored
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        # any free port: nobody has to find us, and a running instance is not in the way
        own = replace(settings, http_port=0)
        with Supervisor(own, tell=progress.say) as supervisor:
            uvloop.run(migrate(supervisor.settings.database_url or ""))
            supervisor.start_engine()
            supervisor.wait_ready()
            progress.say("ready")
            report = uvloop.run(Bench(supervisor, plan, progress, clock).run(before_us))
            progress.say("done; stopping")
            return report
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
        progress.end()
