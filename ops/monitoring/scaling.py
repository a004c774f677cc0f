"""Durations in rules: shrunk by a drill's factor, so that an alert comes in seconds and not hours.

In an expression `[5m]` is a window, `<30s>` an age to compare with, and `<15m|90s>` one that is
never less than 90 s, because what it judges comes round once a minute in a drill, too. Neither
name nor label of a rule is touched: `…:rate5m` of a drill is over less than five minutes.
"""

import re
from typing import Final, NamedTuple

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WINDOW: Final = re.compile(r"\[(\d+[smhd])\]")
_AGE: Final = re.compile(r"<(\d+[smhd])(?:\|(\d+[smhd]))?>")
WINDOW_SCRAPES_MIN: Final = 3  # a rate needs two samples, and one may come late


def seconds(told: str) -> int:
    """Return what a duration such as `5m` is in seconds."""
    return int(told[:-1]) * _UNITS[told[-1]]


class Scale(NamedTuple):
    """How much shorter than written, and how often is scraped."""

    factor: float = 1.0
    interval_s: int = 15

    def expr(self, told: str) -> str:
        """Return an expression as Prometheus reads it."""
        windowed = _WINDOW.sub(lambda found: f"[{self._window(found[1])}]", told)
        return _AGE.sub(lambda found: self._age(found[1], found[2] or "2s"), windowed)

    def held(self, told: str) -> str:
        """Return a `for:`; one that is not 0 lasts at least two evaluations."""
        if self.factor == 1 or seconds(told) == 0:
            return told
        return f"{max(2 * self.interval_s, round(seconds(told) * self.factor))}s"

    def _window(self, told: str) -> str:
        if self.factor == 1:
            return told
        return f"{max(WINDOW_SCRAPES_MIN * self.interval_s, round(seconds(told) * self.factor))}s"

    def _age(self, told: str, least: str) -> str:
        return f"{max(seconds(told) * self.factor, min(seconds(least), seconds(told))):g}"
