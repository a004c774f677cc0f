"""One pass of all checks, what comes of it, and the loop that makes it again and again.

The loop works a few percent of the time: after each step it rests as long as the last pass allows
for, so that a pass takes less than a minute and one of a small instance next to nothing. It never
works more than a tenth of the time: from some 100,000 open holds on a pass takes longer instead.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from engine.assurance.certifying import certify
from engine.assurance.reconciling import repairing, store
from engine.assurance.reconciling.checks import CHECKS
from engine.assurance.reconciling.looking import Looking
from engine.assurance.reconciling.store import SQL
from engine.assurance.reconciling.types import Drift
from engine.infra import duties
from engine.infra.cell import Cell
from engine.infra.postgres import UNAVAILABLE, Pool
from engine.infra.tasks import sleep
from engine.kernel import limits
from engine.kernel.clock import Clock
from engine.kernel.errors import EngineError

_POLL_S: Final = 0.5
_EVERY_S: Final = 30.0  # at most so often a pass begins
_WITHIN_S: Final = 50.0  # and so long it may rest in all, as long as it works a few percent
_REST_PER_WORK: Final = 29.0  # about 3 % of the time
_REST_AT_LEAST: Final = 9.0  # a tenth of the time; it is what is sold that has the machine
# Statements over all that was ever recorded: a share of the time, however long they take.
_LONG: Final = frozenset({"ledger", "grants"})
_LONG_EVERY: Final = 50.0
_REST_MAX_S: Final = duties.DUTY_SECONDS / 2
_ASK_EVERY_S: Final = duties.DUTY_SECONDS / 5  # with a rest after it still well before it lapses
_AWAY: Final[tuple[type[Exception], ...]] = (EngineError, *UNAVAILABLE)
_logger: Final = structlog.get_logger()

Rest = Callable[[float], Awaitable[bool]]


@dataclass(slots=True)
class Passed:
    """What one pass found; `skipped` are checks that could not be made, with the reason."""

    drifts: list[tuple[int, Drift, str]] = field(default_factory=list)
    resolved: int = 0
    work_s: float = 0.0
    skipped: dict[str, str] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)


async def _no_rest(_work_s: float) -> bool:
    await asyncio.sleep(0)
    return True


class Reconciler:
    """Compares one cell with its database."""

    def __init__(self, cell: Cell, db: Pool, clock: Clock, owner: str = "by hand") -> None:
        """Bind to clients; nothing is read until a pass is made."""
        self._look = Looking(cell, db, clock)
        self._cell = cell
        self._db = db
        self._clock = clock
        self._owner = owner
        self._last_work_s = 0.0
        self._may_rest_s = _WITHIN_S
        self._ours_until = 0.0
        self._next_at = 0.0
        self._not_before: dict[str, float] = {}

    async def check(
        self,
        *,
        repair: bool = True,
        checks: Collection[str] | None = None,
        rest: Rest = _no_rest,
        say: Callable[[str], None] = lambda _told: None,
    ) -> Passed | None:
        """Make one pass: raise what is found, repair what is safe, end what is not seen any more.

        `rest` is asked after each step, with the seconds it worked; False ends the pass, which then
        returns None. Without `repair` nothing is written, neither here nor there.
        """
        passed = Passed()
        began = await self._db.fetchval(SQL["now"])
        made = CHECKS.keys() if checks is None else checks
        self._look.turn += 1
        self._look.listed = -1
        self._look.checks = frozenset(made)
        for name in made:
            say(f"{name} …")
            try:
                if not await self._one(name, passed, repair=repair, rest=rest):
                    return None
            except _AWAY as away:
                passed.skipped[name] = _why(away)
                _logger.warning("check_skipped", check=name, reason=_why(away))
        if repair:
            await self._resolve(passed, began, made)
        return passed

    async def _one(self, name: str, passed: Passed, *, repair: bool, rest: Rest) -> bool:
        function, _ = CHECKS[name]
        steps, before = function(self._look), passed.work_s
        while True:
            at = self._clock.monotonic()
            found = await anext(steps, None)
            for drift in found or []:
                passed.drifts.append(await self._raise(drift, repair=repair))
            work_s = self._clock.monotonic() - at
            passed.work_s += work_s
            if found is None:
                passed.took_s[name] = passed.work_s - before
                return True
            if not await rest(work_s):
                return False

    async def _raise(self, drift: Drift, *, repair: bool) -> tuple[int, Drift, str]:
        if not repair:
            return 0, drift, ""
        async with self._db.acquire() as connection, connection.transaction():
            drift_id, done = await store.raise_drift(connection, self._cell.id, drift)
        if not done:
            _logger.error("drift_found", kind=drift.kind, detail=drift.detail)
        again = drift.repair == "safe" or not done  # a stop that a person lifted stays lifted
        told = await repairing.repair(self._cell, self._db, drift, drift_id) if again else ""
        return drift_id, drift, told or done

    async def _resolve(self, passed: Passed, began: Any, made: Collection[str]) -> None:
        """End what nobody sees any more, of the kinds whose every check was made to its end."""
        missing = {one for one in CHECKS if one not in made or one in passed.skipped}
        unsure = {kind for one in missing for kind in CHECKS[one][1]}
        kinds = {kind for _, kinds in CHECKS.values() for kind in kinds} - unsure
        async with self._db.acquire() as connection, connection.transaction():
            passed.resolved = await store.resolve(connection, self._cell.id, kinds, began)

    async def run(self) -> None:
        """Make passes and certificates until cancelled, while nobody else does."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._certify())
            await self._pass()

    async def _certify(self) -> None:
        wait_s = limits.CERTIFY_FIRST_S
        while True:
            await sleep(wait_s)
            wait_s = limits.CERTIFY_FIRST_S
            try:
                if self._cell.is_open and await self._ours():
                    wait_s = await certify(self._cell, self._db, self._clock)
            except _AWAY as away:
                _logger.warning("certificate_waits", reason=_why(away))

    async def _pass(self) -> None:
        while True:
            try:
                waited_s = await self._turn()
            except _AWAY as away:
                _logger.warning("reconciler_waits", reason=_why(away))
                waited_s = 1.0
            await sleep(waited_s)

    async def _turn(self) -> float:
        """Make a pass if it is ours to make; return how long to wait for the next."""
        await self._cell.refresh()
        left = self._next_at - self._clock.monotonic()
        if not await self._ours() or left > 0:
            return min(max(left, _POLL_S), _REST_MAX_S)
        began = self._clock.monotonic()
        self._next_at = began + _EVERY_S
        self._may_rest_s = _WITHIN_S
        due = [name for name in CHECKS if self._not_before.get(name, began) <= began]
        passed = await self.check(checks=due, rest=self._rest)
        if passed is None:
            self._next_at = 0.0  # somebody else began: if he dies, it is ours again
            return _POLL_S
        self._last_work_s = passed.work_s
        for name in _LONG & passed.took_s.keys():
            self._not_before[name] = began + passed.took_s[name] * _LONG_EVERY
        return _POLL_S

    async def _ours(self) -> bool:
        """Whether it is ours to go on; asked again when a while has passed since it last was."""
        now = self._clock.monotonic()
        if now >= self._ours_until:
            if not await duties.take(self._db, self._cell.id, "reconcile", self._owner):
                return False
            self._ours_until = now + _ASK_EVERY_S
        return True

    async def _rest(self, work_s: float) -> bool:
        rest_s = rest_of(work_s, self._last_work_s, self._may_rest_s)
        self._may_rest_s = max(0.0, self._may_rest_s - rest_s)
        await sleep(rest_s)
        return await self._ours()


def rest_of(work_s: float, last_s: float, left_s: float) -> float:
    """Return how long to rest after a step: `last_s` is what the whole last pass worked (0: none).

    `left_s` is what the pass may still rest to take less than a minute; one that has more to do
    than the last one rests less from there on, down to the least, and is late this once.
    """
    room = _WITHIN_S / last_s if last_s else _REST_AT_LEAST
    wanted = min(work_s * min(room, _REST_PER_WORK), left_s)
    return min(max(wanted, work_s * _REST_AT_LEAST), _REST_MAX_S)


def _why(away: Exception) -> str:
    return away.detail if isinstance(away, EngineError) else type(away).__name__
