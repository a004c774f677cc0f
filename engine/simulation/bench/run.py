"""`tidegate bench`: an instance, loads in alternating pairs with the bare handler, and a report."""

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import uvloop

from engine.infra.migrate import migrate
from engine.infra.servers.supervisor import Supervisor
from engine.kernel.clock import SystemClock
from engine.settings import Settings
from engine.simulation.bench import baseline, machine, scenarios, show
from engine.simulation.bench.bench import Bench
from engine.simulation.bench.plan import Plan
from engine.simulation.bench.report import Report
from engine.simulation.progress import Progress

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
SLOWER: Final = 99

_PAIRS: Final = 7  # their smallest and largest enclose the median with 98.4 %
_ORDERS: Final = 10_000
_QUICK_ORDERS: Final = 2_000


class Options(NamedTuple):
    """What the command was given; None takes what fits."""

    quick: bool = False
    only: tuple[str, ...] = ()
    pairs: int | None = None
    orders: int | None = None
    against: Path | None = None


def run(settings: Settings, options: Options, *, as_json: bool) -> int:
    """Run the bench; 99 only if an order certainly costs more than the baseline allows.

    Raises:
        CannotStart: nothing is left running.
    """
    try:
        chosen = scenarios.chosen(options.only, quick=options.quick)
        kept = baseline.read(options.against) if options.against else None
    except scenarios.UnknownName as refusal:
        sys.stderr.write(f"--only {refusal}\n")
        return USAGE
    except baseline.Unusable as refusal:
        sys.stderr.write(f"--against {options.against} {refusal}\n")
        return USAGE
    plan = Plan(
        scenarios=chosen,
        pairs=options.pairs or _PAIRS,
        orders=options.orders or (_QUICK_ORDERS if options.quick else _ORDERS),
        quick=options.quick,
        baseline=kept,
    )
    report = measure(settings, plan)
    show.show(report, as_json=as_json)
    if report.faults:
        sys.stderr.write(_AFTER_A_FAULT)
        return FAILED
    if any(one.worse for one in report.changes):
        sys.stderr.write(_WHEN_SLOWER.format(against=options.against))
        return SLOWER
    return DONE


_AFTER_A_FAULT: Final = (
    "Something was lost or broken: this is no matter of speed. Run it again without --ephemeral "
    "and read the logs in the data directory; `tidegate up` and `tidegate verify` show the state.\n"
)
_WHEN_SLOWER: Final = (
    "An order costs over 15 % more CPU than the baseline, and the interval says it is no noise.\n"
    "1. Run it again on a quiet machine, that scenario alone: --only NAME --pairs 15 "
    "--against {against}\n"
    "2. Find the commit: the leg is the process to profile (ingest, cell, recorder, postgres).\n"
    "3. If it is the price of something wanted, write a new baseline with --quick --json and say "
    "why in the commit.\n"
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
