"""Time as an argument: instants are ms since the epoch, outside Postgres."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """What a process asks for the time; tests pass their own."""

    def now_ms(self) -> int:
        """Return the wall clock, ms since the epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring and for deadlines."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Return the wall clock, ms since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


def rfc3339(at_ms: int) -> str:
    """Render an instant as RFC 3339 in UTC with milliseconds, as every answer does."""
    second, ms = divmod(at_ms, 1_000)
    return f"{_second(second)}.{ms:03d}Z"


@lru_cache(maxsize=256)  # the deadlines of one batch lie within a second
def _second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


def instant(at_ms: int) -> datetime:
    """Return an instant as Postgres takes it."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC)


def to_ms(moment: datetime) -> int:
    """Return ms since the epoch; a moment without a zone is refused by its caller."""
    return round(moment.timestamp() * 1_000)
