"""What buyers were told: the other side of the comparison with what is recorded."""

from collections import Counter
from dataclasses import dataclass, field

_FAULTS_KEPT_MAX = 50


@dataclass(slots=True)
class SeenOrder:
    """An order that got a 2xx: its lines as (line_id, SKU, units), and what it asks for now."""

    order_id: str
    lines: list[tuple[str, str, int]]
    payable: int
    firsts: int = 0


@dataclass(slots=True)
class Seen:
    """All answers of one sale, as counts and as facts; times are monotonic seconds.

    `unknown` are orders whose buyers gave up without an answer; `uncertain_payments` likewise.
    """

    counts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    orders: dict[str, SeenOrder] = field(default_factory=dict)
    payments: dict[tuple[str, str], str] = field(default_factory=dict)
    cancels: set[tuple[str, str]] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    queued_s: list[float] = field(default_factory=list)
    slowest_s: float = 0.0
    answered_per_second: Counter[int] = field(default_factory=Counter)
    killed_at: float = 0.0
    resumed_at: float = 0.0

    def fault(self, sentence: str) -> None:
        """Note a broken promise; the count goes on when the list is full."""
        self.counts["faults"] += 1
        if len(self.faults) < _FAULTS_KEPT_MAX:
            self.faults.append(sentence)

    @property
    def interruption_s(self) -> float | None:
        """From the kill to the first acceptance of an order sent after it; None: there was none."""
        if not self.killed_at or not self.resumed_at:
            return None
        return self.resumed_at - self.killed_at


def percentile(sorted_values: list[float], share: float) -> float:
    """Return the smallest value that at least `share` of them do not exceed; 0 of none."""
    if not sorted_values:
        return 0.0
    place = -int(-share * len(sorted_values) // 1) - 1
    return sorted_values[max(0, min(place, len(sorted_values) - 1))]
