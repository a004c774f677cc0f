"""What a recorder counts of a batch, once it is committed."""

from dataclasses import dataclass, field

from engine.infra import metrics
from engine.kernel.events import Expired
from engine.orders.stretch import Stretch
from engine.orders.types import Changes, NewOrder


@dataclass(slots=True)
class Tally:
    """What one transaction wrote."""

    orders: list[NewOrder] = field(default_factory=list)
    payments: int = 0

    def note(self, changes: Changes, new: set[str]) -> None:
        """Remember what was written of some changes, whose orders `new` are."""
        self.orders += [changes.orders[order_id] for order_id in new]
        self.payments += len(changes.payments)

    def count(self, stretch: Stretch, seconds: float, now_ms: int) -> None:
        """Count it all: the transaction is committed."""
        metrics.RECORDER_BATCHES.add()
        metrics.RECORDER_ENTRIES.add(n=stretch.entries)
        metrics.RECORDER_SECONDS.add(seconds)
        metrics.PAYMENTS_RECORDED.add(n=self.payments)
        expired = sum(isinstance(one.event, Expired) for one in stretch.logged)
        metrics.HOLDS_EXPIRED.add(n=expired)
        ages: dict[str, list[float]] = {}
        for order in self.orders:
            age_s = max(0, now_ms - order.placed_at) / 1_000
            ages.setdefault(order.channel, []).append(age_s)
        for channel, found in ages.items():
            metrics.ORDERS_RECORDED.add(channel, len(found))
            metrics.CHANNEL_LAG.of(channel).add_falling(sorted(found, reverse=True))
