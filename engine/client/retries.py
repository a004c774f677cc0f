"""When to try again: after how long, how often at all, and until when."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random  # noqa: TID251 - the kind of what is taken

from engine.kernel.clock import Clock, to_ms


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient a client is.

    A call ends `deadline_s` after it began, each try of it after `try_s`; none begins in the last
    tenth, where it would rather lose its answer than get one. Pauses begin at `pause_s`
    and grow, by chance, up to `pause_max_s`. Retries that do not help are bounded over all calls
    together: `budget_burst`, one more for every 1 / `budget_ratio` calls, and `budget_per_s`, by
    which those who wait find out that it is over even if nobody else asks.
    """

    deadline_s: float = 30.0
    try_s: float = 10.0
    pause_s: float = 0.1
    pause_max_s: float = 5.0
    budget_ratio: float = 0.1
    budget_burst: int = 20
    budget_per_s: float = 1.0


class Budget:
    """The retries all calls of a client may make, so that many who fail make no storm.

    A retry that was answered gives back what it took: it was no part of one.
    """

    def __init__(self, policy: RetryPolicy, clock: Clock) -> None:
        """Begin with the burst."""
        self._policy, self._clock = policy, clock
        self._left = float(policy.budget_burst)
        self._at = clock.monotonic()

    def earn(self) -> None:
        """Count a call."""
        self._add(self._policy.budget_ratio)

    def take(self) -> bool:
        """Count a retry; False when there may be none now."""
        now = self._clock.monotonic()
        self._add((now - self._at) * self._policy.budget_per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """Take note that a retry was answered."""
        self._add(1)

    def _add(self, retries: float) -> None:
        self._left = min(float(self._policy.budget_burst), self._left + retries)


class Tries:
    """The tries of one call; `n` counts them."""

    def __init__(self, policy: RetryPolicy, budget: Budget, clock: Clock, chance: Random) -> None:
        """Begin: from here on the deadline counts."""
        self._policy, self._budget, self._clock, self._chance = policy, budget, clock, chance
        self._until = clock.monotonic() + policy.deadline_s
        self._pause_s = policy.pause_s
        self.n = 1
        budget.earn()

    @property
    def left_s(self) -> float:
        """Return the seconds until the deadline."""
        return self._until - self._clock.monotonic()

    @property
    def this_s(self) -> float:
        """Return the seconds that this try may take."""
        return max(0.001, min(self._policy.try_s, self.left_s))

    async def again(self, retry_after_s: float = 0.0) -> bool:
        """Wait until the call may be tried again; False, at once, if that would be too late.

        Who finds the budget empty pauses once more instead: others may have helped by then.
        """
        while True:
            pause = max(self._next_pause(), retry_after_s)
            if pause >= self.left_s - self._policy.deadline_s / 10:
                return False
            await asyncio.sleep(pause)
            if self._budget.take():
                self.n += 1
                return True

    def answered(self) -> None:
        """Take note that this try was answered with more than "later"."""
        if self.n > 1:
            self._budget.give_back()

    def _next_pause(self) -> float:
        """Return a pause that does not go along with anybody else's (decorrelated jitter)."""
        policy = self._policy
        drawn = self._chance.uniform(policy.pause_s, self._pause_s * 3)
        self._pause_s = min(policy.pause_max_s, drawn)
        return self._pause_s


def retry_after_s(header: str, now_ms: int) -> float:
    """Return the seconds that `Retry-After` asks for, given as seconds or as a date; 0 for none."""
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (to_ms(_zoned(at)) - now_ms) / 1_000)


def _zoned(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
