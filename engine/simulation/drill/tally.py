"""What one generator process saw: histograms, and of each second what was due and what came.

Latencies are kept in microseconds, to three digits.
"""

from typing import Any, Final

import msgspec
from hdrh.histogram import HdrHistogram

KINDS: Final = ("accepted", "refused", "service")

_LOWEST_US: Final = 1
_HIGHEST_US: Final = 3_600_000_000
_DIGITS: Final = 3


def histogram() -> Any:
    """Return an empty histogram; all of them can be added up."""
    return HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)


class Second(msgspec.Struct):
    """What was due in a second (planned, sent, dropped), and what was answered in it (the rest).

    `latency` counts accepted orders that were due in it by their microseconds, to three digits.
    """

    planned: int = 0
    sent: int = 0
    dropped: int = 0
    accepted: int = 0
    refused: int = 0
    failed: dict[str, int] = {}
    unknown: int = 0
    latency: dict[int, int] = {}
    cpu: float | None = None


class Seen(msgspec.Struct):
    """One generator's result; what is not a count is encoded as HDR histograms are."""

    repeated: int = 0
    retried: int = 0
    paid: int = 0
    refused: dict[str, int] = {}
    failed: dict[str, int] = {}
    snapshots: dict[str, int] = {}
    histograms: dict[str, str] = {}
    late: str = ""
    aborted: str = ""
    seconds: list[Second] = []


class Tally:
    """Counts as they come; `seen` is complete after `close`."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seen = Seen()
        self.late = histogram()
        self._kinds = {kind: histogram() for kind in KINDS}

    def second(self, at_s: float) -> Second:
        """Return the second in which something was due or answered."""
        seconds = self.seen.seconds
        while len(seconds) <= at_s:
            seconds.append(Second())
        return seconds[int(at_s)]

    def due(self, at_s: float, late_s: float, *, dropped: bool) -> None:
        """Note an arrival, how late it began, and whether too many were in flight."""
        self.late.record_value(_us(late_s))
        second = self.second(at_s)
        second.planned += 1
        if dropped:
            second.dropped += 1
        else:
            second.sent += 1

    def accepted(self, due_s: float, now_s: float, service_s: float) -> None:
        """Note an order that was taken: it was due then, and answered now."""
        waited = _us(now_s - due_s)
        self._kinds["accepted"].record_value(waited)
        self._kinds["service"].record_value(_us(service_s))
        self.second(now_s).accepted += 1
        latency = self.second(due_s).latency
        _count(latency, _coarse(waited))

    def refused(self, due_s: float, now_s: float, service_s: float, code: str) -> None:
        """Note an answer that took nothing."""
        self._kinds["refused"].record_value(_us(now_s - due_s))
        self._kinds["service"].record_value(_us(service_s))
        self.second(now_s).refused += 1
        _count(self.seen.refused, code)

    def failed(self, now_s: float, code: str) -> None:
        """Note a 5xx, of any attempt."""
        _count(self.second(now_s).failed, code)
        _count(self.seen.failed, code)

    def snapshot(self, result: str) -> None:
        """Note what became of one snapshot."""
        _count(self.seen.snapshots, result)

    def unknown(self, now_s: float) -> None:
        """Note an order whose client gave up without an answer."""
        self.second(now_s).unknown += 1

    def close(self) -> Seen:
        """Return everything, histograms encoded."""
        seen = self.seen
        seen.histograms = {kind: encoded(one) for kind, one in self._kinds.items()}
        seen.late = encoded(self.late)
        return seen


def encoded(one: Any) -> str:
    """Return a histogram in its own compressed encoding."""
    text: bytes = one.encode()
    return text.decode("ascii")


def added(texts: list[str]) -> Any:
    """Return the sum of encoded histograms."""
    total = histogram()
    for text in texts:
        total.decode_and_add(text)
    return total


def _count(counts: dict[Any, int], what: str | int) -> None:
    counts[what] = counts.get(what, 0) + 1


def _us(seconds: float) -> int:
    return min(_HIGHEST_US, max(_LOWEST_US, int(seconds * 1_000_000)))


def _coarse(value: int) -> int:
    """Return a value to three digits."""
    unit = 1
    while value >= 1_000 * unit:
        unit *= 10
    return value // unit * unit
