"""Facts: what is read of the database and of the cell when somebody asks."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from engine.infra.meters.families import Family, Labels
from engine.infra.metrics import Measure, Values
from engine.infra.postgres import UNAVAILABLE, Pool
from engine.kernel.clock import Clock
from engine.kernel.errors import EngineError

_FRESH_S: Final = 5.0
_AWAY: Final[tuple[type[Exception], ...]] = (EngineError, *UNAVAILABLE)
_log: Final = structlog.get_logger(__name__)

Reading = Callable[[Pool], Awaitable[Values]]


def seldom(reading: Reading, every_s: float, time: Clock) -> Reading:
    """Return a reading that is made no more often than that; what it read last is told again."""
    at = float("-inf")
    last: Values = {}

    async def read(pool: Pool) -> Values:
        nonlocal at, last
        if time.monotonic() - at >= every_s:
            last = await reading(pool)
            at = time.monotonic()
        return last

    return read


class Measured:
    """What the servers say; read when it is asked for, and not twice within some seconds.

    While one of them says nothing, what it was asked is missing: an old number would look like a
    new one.
    """

    def __init__(self, pool: Pool, time: Clock, readings: Sequence[Reading]) -> None:
        """Take what reads it; nothing was read yet."""
        self._pool, self._clock, self._readings = pool, time, readings
        self._at = float("-inf")
        self._values: dict[Measure, dict[Labels, float]] = {}

    async def refresh(self) -> None:
        """Read what is older than it may be; never raises."""
        now = self._clock.monotonic()
        if now - self._at < _FRESH_S:
            return
        self._at = now
        values: dict[Measure, dict[Labels, float]] = {}
        for one in self._readings:
            for measure, found in (await self._read(one)).items():
                values.setdefault(measure, {}).update(found)
        self._values = values

    async def _read(self, reading: Reading) -> Values:
        try:
            return await reading(self._pool)
        except _AWAY as away:
            _log.warning("measures_missing", reason=type(away).__name__)
            return {}

    def families(self) -> list[Family]:
        """Return what was read last."""
        return [
            Family(
                one.name, "gauge", one.told, one.labels, "fact",
                [(labels, [float(value)]) for labels, value in sorted(found.items())],
            )
            for one, found in self._values.items()
        ]  # fmt: skip
