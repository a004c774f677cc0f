"""How many orders a process takes on at once: no more than wait as briefly as they should.

What an order waits in the queue before the cell is measured, the shortest wait of each interval:
a queue that empties now and then is no overload. When even that one stays long, a limit is set on
the orders that are under way, lowered while they still wait, raised while some are turned away and
the others do not wait, and taken away when nobody was turned away for a while.

To turn one away costs, too. So it is done a bounded number of times a second; a connection that
was refused is not read for a while, and one that comes when the budget is used up is not even
answered before its turn. What waited on such a connection is refused, for its time is over; the
next request on it counts as any other. So those who got in stay quick, however many come.
"""

import asyncio
from collections import deque
from math import inf
from time import monotonic
from typing import Final, Protocol

from aiohttp import web

from engine.infra.metrics import ADMISSION_LIMIT, SHED
from engine.kernel import limits

UNLIMITED: Final = limits.IN_FLIGHT_MAX

_LEAST: Final = limits.IN_FLIGHT_MIN
_INTERVAL_S: Final = 0.1
_CALLS: Final = 4  # one alone may have met a slow disk
_LONG: Final = 5  # intervals in a row whose shortest wait was long: a disk that stalls is soon over
_CALM_S: Final = 1.0  # without a refusal: it is over
_TICK_S: Final = 0.01
_IDLE_TICKS: Final = 20
_SAVED_MAX: Final = 200  # refusals at once


class Held(Protocol):
    """A connection that is not read; whoever left it meanwhile lets it go on all the same."""

    def go_on(self) -> None: ...  # noqa: D102 - the name says it
    def came_in_time(self) -> None: ...  # noqa: D102 - what comes from now on


class Admission:
    """The limit of one process, and who waits outside; whoever admits counts `in_flight`."""

    def __init__(self) -> None:
        """Begin without a limit."""
        self.in_flight = 0
        self.limit = UNLIMITED
        self.draining = False  # the process ends
        self._shortest_s, self._sum_s, self._calls = inf, 0.0, 0
        self._judged_at = -inf
        self._long = 0  # intervals, to now
        self._refused_at = -inf
        self._refused = False  # somebody, in this interval
        self._held: deque[Held] = deque()
        self._late: list[Held] = []  # what comes of them at once has waited
        self._left = 0.0  # refusals that may be sent now
        self._counted_at = -inf
        self._idle_ticks = 0
        self._timer: asyncio.TimerHandle | None = None

    def sent(self, orders: int, seconds: float, now: float) -> None:
        """Note a call: so many orders, the oldest of which had waited so long."""
        self._left = min(self._left + orders * limits.REFUSALS_PER_ORDER, _SAVED_MAX)
        self._shortest_s = min(self._shortest_s, seconds)
        self._sum_s += seconds
        self._calls += 1
        if now - self._judged_at >= _INTERVAL_S and self._calls >= _CALLS:
            self._judge(now)

    def may_refuse(self, now: float) -> bool:
        """Tell whether there is budget for one refusal more, and take it."""
        self._refused_at, self._refused = now, True
        self._refill(now)
        if self._left < 1:
            return False
        self._left -= 1
        SHED.add("in_flight" if self.limit == UNLIMITED else "queue_wait")
        return True

    def hold(self, one: Held) -> None:
        """Keep a connection outside until its turn comes."""
        self._held.append(one)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    @property
    def held(self) -> int:
        """How many connections are kept outside."""
        return len(self._held)

    def end(self) -> None:
        """Keep nobody outside any longer: who is here is answered, and told to go."""
        self.draining, self.limit = True, UNLIMITED
        for _ in range(len(self._held)):
            self._held.popleft().go_on()

    async def missing(self) -> str:
        """Tell whether the process ends, for its readiness."""
        return "it ends: what is here is answered, nothing more is taken" if self.draining else ""

    def _judge(self, now: float) -> None:
        shortest, mean = self._shortest_s, self._sum_s / self._calls
        self._shortest_s, self._sum_s, self._calls = inf, 0.0, 0
        refused, self._refused = self._refused, False
        self._judged_at, target = now, limits.QUEUE_WAIT_TARGET_S
        self._long = self._long + 1 if shortest > limits.QUEUE_WAIT_MAX_S else 0
        if self.draining:
            pass
        elif self.limit < UNLIMITED:
            self.limit = self._next_limit(mean, now, refused=refused)
        elif self._long >= _LONG or (refused and mean > target):
            self.limit = max(self.in_flight // 2, _LEAST)
        ADMISSION_LIMIT.value = self.limit

    def _next_limit(self, wait_s: float, now: float, *, refused: bool) -> int:
        if now - self._refused_at > _CALM_S:
            return UNLIMITED
        target = limits.QUEUE_WAIT_TARGET_S
        if wait_s > target:
            return max(self.limit * (5 if wait_s > 2 * target else 7) // 8, _LEAST)
        more = self.limit // (4 if wait_s < target / 2 else 16) + 1
        return min(self.limit + more, UNLIMITED - 1) if refused else self.limit

    def _refill(self, now: float) -> None:
        more = min(now - self._counted_at, 1.0) * limits.REFUSALS_PER_SECOND
        self._left, self._counted_at = min(self._left + more, _SAVED_MAX), now

    def _tick(self) -> None:
        self._idle_ticks = 0 if self.in_flight else self._idle_ticks + 1
        if self._idle_ticks >= _IDLE_TICKS:  # those outside are in nobody's way
            self.limit = ADMISSION_LIMIT.value = UNLIMITED
        self._refill(monotonic())
        for one in self._late:  # all that was there has been read since the last tick
            one.came_in_time()
        turns = len(self._held) if self.limit == UNLIMITED else int(self._left)
        self._late = [self._held.popleft() for _ in range(min(turns, len(self._held)))]
        for one in self._late:
            one.go_on()
        self._timer = None
        if self._held or self._late:
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)


ADMISSION: Final = web.AppKey("admission", Admission)
