"""What a recorder counts of a batch, once it is committed."""

from dataclasses import dataclass, field

from engine.infra import metrics
from engine.kernel.events import Expired
from engine.orders.stretch import Stretch
from engine.orders.types import Changes


@dataclass(slots=True)
class Tally:
    """What one transaction wrote."""

    placed: dict[str, list[int]] = field(default_factory=dict)  # when, in ms, by channel
    payments: int = 0

    def note(self, changes: Changes, new: set[str]) -> None:
        """Remember what was written of some changes, whose orders `new` are."""
        for order_id, order in changes.orders.items():
            if order_id in new:
                self.placed.setdefault(order.channel, []).append(order.placed_at)
        self.payments += len(changes.payments)

    def count(self, stretch: Stretch, seconds: float, now_ms: int) -> None:
        """Count it all: the transaction is committed."""
        metrics.RECORDER_BATCHES.add()
        metrics.RECORDER_ENTRIES.add(n=stretch.entries)
        metrics.RECORDER_SECONDS.add(seconds)
        metrics.PAYMENTS_RECORDED.add(n=self.payments)
        expired = sum(isinstance(one.event, Expired) for one in stretch.logged)
        metrics.HOLDS_EXPIRED.add(n=expired)
        for channel, placed in self.placed.items():
            placed.sort()
            metrics.ORDERS_RECORDED.add(channel, len(placed))
            ages = [max(0, now_ms - at) / 1_000 for at in placed]
            metrics.CHANNEL_LAG.of(channel).add_falling(ages)
