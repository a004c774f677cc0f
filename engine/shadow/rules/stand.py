"""Where a listing stands while facts are played, and what of it adds up."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from engine.kernel.clock import rfc3339, to_ms
from engine.shadow.rules.events import Offer
from engine.shadow.types import Cause, Point, Terms

# A cause, and in words how it was.
Told: TypeAlias = "tuple[Cause, str]"
_MINUTE_S: Final = 60.0


class _State(NamedTuple):
    """Pieces shown and wanted, units free; None: nobody knows."""

    shown: int | None = None
    wanted: int | None = None
    free: int | None = None


@dataclass(slots=True)
class Sum:
    """Something that lasts: how long, how much at most and in all, since when, and why."""

    minutes: float = 0.0
    total: float = 0.0
    most: int = 0
    first_at: datetime | None = None
    why: list[Told] = field(default_factory=list)

    def add(self, start: datetime, minutes: float, much: int) -> None:
        """Add a span in which it was so much."""
        self.minutes += minutes
        self.total += minutes * much
        self.most = max(self.most, much)
        self.first_at = self.first_at or start


@dataclass(slots=True)
class Stand:
    """A listing: what it shows, what was told last and what has happened since, and its sums."""

    offer: Offer
    shown: int | None = None
    told: int = 0
    told_at: datetime | None = None
    free_then: int = 0
    wanted_then: int | None = None
    others: int = 0  # units that other channels sold since it was told
    worst: int = 0
    worst_at: datetime | None = None
    over: Sum = field(default_factory=Sum)
    under: Sum = field(default_factory=Sum)
    exposed: Sum = field(default_factory=Sum)
    dry: Sum = field(default_factory=Sum)
    points: list[Point] = field(default_factory=list)
    _state: _State = field(default_factory=_State)
    _since: datetime | None = None
    _dry_before: float = 0.0

    @property
    def units(self) -> int:
        """Units that it shows."""
        return (self.shown or 0) * self.offer.units_per

    @property
    def drift(self) -> int:
        """Pieces that it shows beyond what would have been published."""
        shown, wanted, _ = self._state
        return 0 if shown is None or wanted is None else shown - wanted

    def turn(
        self,
        at: datetime,
        wanted: int | None,
        free: int | None,
        terms: Terms,
        stands: Iterable["Stand"],
    ) -> None:
        """Take note of what is so from `at` on."""
        state = _State(self.shown, wanted, free)
        if state == self._state:
            return
        self._add_until(at, terms)
        if not _dry(state):
            self._explain(stands)
        if state[:2] != self._state[:2]:
            self.points.append(Point(at, self.shown, wanted))
        self._state, self._since = state, at

    def close(self, end: datetime, terms: Terms, stands: Iterable["Stand"]) -> None:
        """Add what lasts until the end."""
        self._add_until(end, terms)
        self._explain(stands)
        self._since = end

    def _add_until(self, end: datetime, terms: Terms) -> None:
        if self._since is None:
            return
        start = max(filter(None, (self._since, terms.since)))
        end = min(filter(None, (end, terms.until)))
        minutes = (end - start).total_seconds() / _MINUTE_S
        if minutes > 0:
            self._add(start, minutes)

    def _add(self, start: datetime, minutes: float) -> None:
        shown, wanted, free = self._state
        if shown is None:
            return
        drift, units_per = self.drift, self.offer.units_per
        if drift > 0:
            self.over.add(start, minutes, drift)
        elif drift < 0:
            self.under.add(start, minutes, -drift)
        if abs(drift) > abs(self.worst):
            self.worst, self.worst_at = drift, start
        if free is not None and shown * units_per > free:
            self.exposed.add(start, minutes, shown * units_per - free)
        if wanted and not shown:
            self.dry.add(start, minutes, wanted * units_per)

    def _explain(self, stands: Iterable["Stand"]) -> None:
        """Say why it was dry, at the end of that, if it was."""
        if self.dry.minutes == self._dry_before:
            return
        self._dry_before = self.dry.minutes
        link, at = self.offer.link, self.told_at
        told = f"{link} was told {self.told} at {'?' if at is None else rfc3339(to_ms(at))}"
        idle = [
            f"{one.offer.link} still had {one.units}"
            for one in stands
            if one.offer.link.channel != link.channel and one.units > 0
        ]
        if self.told >= (self.wanted_then or 0):
            why: Told = "stale_number", f"{told}, and not again when units came free"
        elif idle:
            why = "quota_idle", f"{told} where {self.wanted_then} were free; {', '.join(idle)}"
        else:
            why = "wrong_number", f"{told} where {self.wanted_then} were free"
        self.dry.why.append(why)


def _dry(state: _State) -> bool:
    return state.shown == 0 and bool(state.wanted)
