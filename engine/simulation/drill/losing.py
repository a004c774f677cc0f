"""`tidegate drill lose-cell`: under load the cell's server is killed and its data deleted."""

import asyncio
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvloop

from engine.assurance import rules
from engine.assurance.verify import certify
from engine.infra import cell, postgres
from engine.infra.cell import Cell
from engine.infra.migrate import migrate
from engine.infra.postgres import Pool
from engine.infra.servers.supervisor import Supervisor
from engine.infra.servers.valkey import NAME as VALKEY
from engine.kernel.clock import SystemClock
from engine.kernel.errors import Closed, OutcomeUnknown
from engine.kernel.types import CellId
from engine.settings import Settings
from engine.simulation.drill import show
from engine.simulation.drill.places import is_open
from engine.simulation.drill.selling import CHANNEL, SKUS, Selling
from engine.simulation.drill.statements import SQL
from engine.simulation.drill.types import LOST_LISTED_MAX, Options, Report
from engine.simulation.http import LoadClient
from engine.simulation.progress import Progress

PASSED: Final = 0
BREACHED: Final = 99

Now = Callable[[], None]
Lose = Callable[[Supervisor, Now], None]  # it says when the harm is done that is measured from

_LOSE_AT: Final = 0.4  # of the load
_CONFIGURATION: Final = "valkey.conf"
_CELL_MB_FREE: Final = 512
_ORDERS_PER_CELL_MB: Final = 1_000  # they take less than half of it
_RECORDED_WITHIN_S: Final = 60.0
_REPLAYED: Final = 200
_POLL_S: Final = 0.02
_SHOW_EVERY_S: Final = 0.25


def run(settings: Settings, options: Options, *, as_json: bool) -> int:
    """Run the drill on servers of its own and show the report; 99 if a bar was not met.

    Raises:
        CannotStart: nothing is left running.
    """
    report = play(settings, options)
    show.show(report, as_json=as_json)
    if report.passed:
        return PASSED
    sys.stderr.write("".join(f"not met: {one}\n" for one in report.failures))
    return BREACHED


def kill_valkey_and_delete_its_data(supervisor: Supervisor, now: Now) -> None:
    """Kill the server, delete what it had, and start it empty."""
    now()
    supervisor.kill(VALKEY, restart=False)
    folder: Path = supervisor.home.path / VALKEY
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _CONFIGURATION:
            path.unlink()
    supervisor.start_again(VALKEY)


def play(
    settings: Settings, options: Options, lose: Lose = kill_valkey_and_delete_its_data
) -> Report:
    """Start an instance, lose its cell, and return what was found; all is stopped after.

    `lose` does the harm, in a thread of its own while the load goes on. SIGTERM is taken as Ctrl-C,
    so that the servers are stopped then too.

    Raises:
        CannotStart: nothing is left running.
    """
    progress = Progress(SystemClock().monotonic)
    progress.say("starting Valkey, Postgres, one API process and one worker")
    # a shell's background job was started with SIGINT ignored
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        own = _of_its_own(settings, options)
        with Supervisor(own, ephemeral=True, api_processes=1, tell=progress.say) as supervisor:
            asyncio.run(migrate(supervisor.settings.database_url or ""))
            supervisor.start_engine()
            supervisor.wait_ready()
            found = uvloop.run(_Drill(supervisor, options, progress, lose).run())
            progress.end()
            progress.say("done; stopping")
            return found
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
        progress.end()


def _of_its_own(settings: Settings, options: Options) -> Settings:
    """Return settings under which nothing of a running instance is touched."""
    orders = options.holds + int(options.orders_per_second * options.seconds)
    return replace(
        settings, ephemeral=True, http_port=0, database_url=None, valkey_url=None,
        valkey_maxmemory_mb=max(
            settings.valkey_maxmemory_mb, _CELL_MB_FREE + orders // _ORDERS_PER_CELL_MB
        ),
    )  # fmt: skip


class _Drill:
    """One run over a started instance."""

    def __init__(
        self, supervisor: Supervisor, options: Options, progress: Progress, lose: Lose
    ) -> None:
        self._do_lose = lose
        self._supervisor = supervisor
        self._settings = supervisor.settings
        self._options = options
        self._progress = progress
        self._clock = SystemClock()
        self._lost_at = float("inf")
        self._resumed_at = 0.0

    async def run(self) -> Report:
        """Sell, lose the cell, wait, compare, certify."""
        options, say = self._options, self._progress.say
        pool = await postgres.open_pool(self._settings.database_url or "")
        key = self._settings.admin_key or ""
        try:
            async with LoadClient(self._supervisor.address, key) as client:
                selling = Selling(client, self._clock)
                wanted = options.holds + options.orders_per_second * options.seconds
                await selling.open(int(2 * wanted / len(SKUS)) + 1_000)
                say(f"the sale is open; {options.holds:,} orders first")
                await selling.fill(options.holds)
                say(f"now {options.orders_per_second:,} orders/s for {options.seconds:g} s")
                async with asyncio.TaskGroup() as tasks:
                    telling = tasks.create_task(self._tell(selling))
                    losing = tasks.create_task(self._lose(selling))
                    sent = await selling.run(options.orders_per_second, options.seconds)
                    await losing
                    telling.cancel()
                return await self._judge(pool, selling, sent)
        finally:
            pool.terminate()

    async def _lose(self, selling: Selling) -> None:
        """Kill the server, delete what it had, start it empty, and wait for the next 202."""
        await asyncio.sleep(self._options.seconds * _LOSE_AT)
        name = self._do_lose.__name__.replace("_", " ")
        self._progress.say(f"now: {name}")
        await asyncio.to_thread(self._do_lose, self._supervisor, self._note_lost)
        until = self._lost_at + 4 * self._options.reopens_within_s
        while self._clock.monotonic() < until:
            await asyncio.sleep(_POLL_S)
            last = next(reversed(selling.seen.accepted.values()), 0.0)
            if last > self._lost_at + _POLL_S and await self._is_open():
                self._resumed_at = self._clock.monotonic()
                took = self._resumed_at - self._lost_at
                self._progress.say(f"orders are accepted again {took:.2f} s after the kill")
                return
            if last < self._lost_at and await self._is_open():
                await selling.fill(1)  # the load is over: one order more tells

    def _note_lost(self) -> None:
        self._lost_at = self._clock.monotonic()

    async def _is_open(self) -> bool:
        return await is_open(self._settings, self._clock)

    async def _tell(self, selling: Selling) -> None:
        while True:
            seen = selling.seen
            self._progress.counts(
                {
                    "accepted": f"{len(seen.accepted):,}",
                    "refused": f"{seen.refused.total():,}",
                    "no answer": f"{seen.unknown:,}",
                }
            )
            await asyncio.sleep(_SHOW_EVERY_S)

    async def _judge(self, pool: Pool, selling: Selling, sent: int) -> Report:
        accepted = dict(selling.seen.accepted)
        before = [number for number, at in accepted.items() if at < self._lost_at]
        self._progress.say("comparing and certifying")
        words, oversold = await self._certify(pool)
        rows = await pool.fetch(SQL["recorded_numbers"], CHANNEL, timeout=_RECORDED_WITHIN_S)
        recorded = {row["channel_order_id"] for row in rows}
        lost = sorted(accepted.keys() - recorded)
        # The last ones before the loss are those that Postgres may have lacked. Only now: what is
        # lost would be accepted anew, and not be missed any more.
        again = before[-_REPLAYED:]
        same = await selling.replayed(again) if self._resumed_at else 0
        recovery = await pool.fetchrow(SQL["last_recovery"])
        reopened = self._resumed_at - self._lost_at if self._resumed_at else -1.0
        failures = []
        if not 0 <= reopened <= self._options.reopens_within_s:
            failures.append(
                f"open again after {reopened:.1f} s, not within"
                f" {self._options.reopens_within_s:g} s"
            )
        if lost:
            failures.append(f"{len(lost)} accepted orders are lost: {', '.join(lost[:10])}")
        if oversold:
            failures.append(f"{oversold} units are oversold")
        if same < len(again):
            failures.append(f"{len(again) - same} accepted orders were not known again")
        if words != "certificate: holds":
            failures.append(words)
        return Report(
            holds=self._options.holds,
            orders_per_second=round(sent / self._options.seconds, 1),
            accepted_before=len(before),
            accepted_after=len(accepted) - len(before),
            refused=selling.seen.refused.total(),
            unknown=selling.seen.unknown,
            recorded=len(recorded),
            seconds_to_reopen=round(reopened, 2),
            seconds_to_rebuild=round(recovery["seconds"], 2) if recovery else -1.0,
            rebuilt_orders=recovery["orders"] if recovery else 0,
            rebuilt_pending=recovery["pending"] if recovery else 0,
            lost=lost[:LOST_LISTED_MAX],
            lost_in_all=len(lost),
            lost_counted=recovery["uncounted"] if recovery else 0,
            not_replayed=len(again) - same,
            oversold=oversold,
            certificate=words,
            failures=failures,
        )

    async def _certify(self, pool: Pool) -> tuple[str, int]:
        redis = cell.client(self._settings.valkey_url or "")
        try:
            one = Cell(redis, CellId(self._settings.cell), self._clock)
            found = await certify(one, pool, self._clock, within_s=_RECORDED_WITHIN_S)
        except (Closed, OutcomeUnknown) as error:
            return f"no certificate: {error.detail}", 0
        else:
            return rules.verdict(found), found.oversold_by_us
        finally:
            await redis.aclose()
