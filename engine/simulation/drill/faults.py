"""Harm that is done in the middle of a drill, and when it is over."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final

from redis import Redis

from engine.infra.servers.supervisor import Supervisor
from engine.infra.servers.valkey import NAME as VALKEY
from engine.kernel.clock import Clock
from engine.kernel.errors import Misconfigured
from engine.settings import Settings
from engine.simulation.drill.losing import Now, kill_valkey_and_delete_its_data
from engine.simulation.drill.observe import Lag
from engine.simulation.drill.places import is_open
from engine.simulation.drill.power import Watch
from engine.simulation.drill.scenarios import Harm
from engine.simulation.drill.summary import Fault

Over = Callable[[], Awaitable[bool]]

WORKER: Final = "worker-0"
CUT_POWER: Final = "cut-power"

_POLL_S: Final = 0.02
_CUT_EVERY_S: Final = 0.02
_OVER_WITHIN_S: Final = 60.0
_LAG_OVER_S: Final = 0.5  # what is recorded within this is recorded as always


class Harming:
    """One fault; `fault` is None until it is done."""

    def __init__(self, supervisor: Supervisor, harm: Harm, lag: Lag, clock: Clock) -> None:
        """Take whom it is done to; `lag` asks how far the recorder is behind."""
        self._supervisor = supervisor
        self._settings: Settings = supervisor.settings
        self._harm = harm
        self._lag = lag
        self._clock = clock
        self._done_at, self._done_ms = 0.0, 0
        self.fault: Fault | None = None

    async def run(self, began: float, seconds: float) -> None:
        """Do the harm at its time and wait until it is over, or has lasted too long."""
        await asyncio.sleep(max(0.0, began + seconds * self._harm.at - self._clock.monotonic()))
        do, over = self._ways()[self._harm.name]
        self._note()
        at_s = self._done_at - began
        self.fault = Fault(self._harm.name, round(at_s, 3), None)
        try:
            await asyncio.to_thread(do, self._note)
        except (Misconfigured, TimeoutError):
            return  # it did not come back: the fault is not over
        until = self._clock.monotonic() + _OVER_WITHIN_S
        while not await over():
            if self._clock.monotonic() > until:
                return
            await asyncio.sleep(_POLL_S)
        ended = self._clock.monotonic() - began
        self.fault = Fault(self._harm.name, round(self._done_at - began, 3), round(ended, 3))

    def _ways(self) -> dict[str, tuple[Callable[[Now], None], Over]]:
        return {
            "kill-worker": (self._kill_worker, self._recorded),
            "kill-valkey": (self._kill_valkey, self._open),
            "cut-links": (self._cut_links, self._open),
            CUT_POWER: (self._cut_power, self._open),
            "lose-cell": (self._lose_cell, self._open),
        }

    def _kill_worker(self, now: Now) -> None:
        now()
        pid = self._supervisor.kill(WORKER)
        self._supervisor.wait_replaced(WORKER, pid, within_s=30.0)

    def _kill_valkey(self, now: Now) -> None:
        now()
        pid = self._supervisor.kill(VALKEY)
        self._supervisor.wait_replaced(VALKEY, pid, within_s=30.0)

    def _cut_links(self, now: Now) -> None:
        """Close every connection to the cell again and again: calls are done, and not answered."""
        now()
        until = self._clock.monotonic() + self._harm.seconds
        with Redis.from_url(self._settings.valkey_url or "", protocol=2) as redis:
            while self._clock.monotonic() < until:
                redis.client_kill_filter(_type="normal", skipme=True)
                time.sleep(_CUT_EVERY_S)

    def _cut_power(self, now: Now) -> None:
        """The machine of cell and API loses its power, while recording is some seconds behind."""
        supervisor = self._supervisor
        others = [name for name in supervisor.names() if name.startswith("api-")]
        supervisor.kill(WORKER, signal.SIGSTOP)
        watch = Watch(supervisor.pid_of(VALKEY) or 0, supervisor.home.path / "calls")
        watch.wait_worst(self._harm.seconds)
        now()
        for name in (VALKEY, *others):
            supervisor.kill(name, restart=False)
        watch.cut()
        for name in (VALKEY, *others):
            supervisor.start_again(name)
        supervisor.kill(WORKER, signal.SIGCONT)
        supervisor.wait_ready()

    def _lose_cell(self, now: Now) -> None:
        kill_valkey_and_delete_its_data(self._supervisor, now)

    def _note(self) -> None:
        self._done_at, self._done_ms = self._clock.monotonic(), self._clock.now_ms()

    async def _open(self) -> bool:
        return await is_open(self._settings, self._clock)

    async def _recorded(self) -> bool:
        """Whether orders of after the harm are recorded, as fast as always; or there are none."""
        lag = await self._lag.ask()
        past = self._lag.recorded_ms >= self._done_ms
        return lag == 0 or (lag is not None and past and lag <= _LAG_OVER_S)
