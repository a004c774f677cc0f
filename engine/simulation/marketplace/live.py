"""A shop that takes our numbers: it sells what it was last told to show, and nothing else.

What its buyers find depends on when a number came, so there is nothing to replay here; buyers and
what becomes of their orders still come from the seed.
"""

from collections import Counter
from random import Random
from typing import Any

from engine.simulation.marketplace.feed import Marketplace
from engine.simulation.marketplace.trading import Version, arrivals, basket, life
from engine.simulation.marketplace.types import Spec


class Live(Marketplace):
    """One shop while it sells: `counter` is what it shows, in units of the SKU."""

    def __init__(self, spec: Spec) -> None:
        """Open with an empty shelf; nothing is sold before the first number came."""
        self._placed: list[list[Version]] = []
        super().__init__(spec)
        self.counter: Counter[str] = Counter()
        self.coming = arrivals(spec, self._rng("buyers"))
        self._buyers = self._rng("baskets")
        self._delays = self._rng("feed")
        self._skus = {(one.item_id, one.sku_id): one.sku for one in spec.wares}

    def show(self, item_id: str, sku_id: str, pieces: int) -> None:
        """Take a number; pairs are sold from what their ware shows, so theirs changes nothing."""
        if sku := self._skus.get((item_id, sku_id)):
            self.counter[sku] = pieces

    def shows(self) -> list[tuple[str, str, int]]:
        """Return what the wares show now: item, variant, pieces."""
        return [(*link, max(0, self.counter[sku])) for link, sku in self._skus.items()]

    def sell(self, at_s: float) -> list[tuple[float, int, int]]:
        """Let a buyer come; return when which version of his order reaches us, nothing if none.

        Each is (seconds from the opening, order, version).
        """
        lines = basket(self.spec, self._buyers, self.counter)
        if not lines:
            return []
        first = Version(self.spec.opens_at_ms + int(at_s * 1_000), at_s, lines)
        self.counter.subtract(first.units())
        n = len(self._placed)
        self._placed.append(life(self.spec, self._rng(f"order {n}"), first))
        self.truth = (*self.truth, self._truth(n, self._placed[n]))
        return sorted(self._arrivals_of(self._delays, n, self._placed[n]))

    def document(self, n: int, place: int) -> dict[str, Any]:
        """Return a version of an order as it reaches us."""
        return self._document(n, self._placed[n][place])

    def _traded(self) -> list[list[Version]]:
        return self._placed

    def _rng(self, what: str) -> Random:
        return Random(f"{what} {self.spec.seed} {self.spec.channel}")
