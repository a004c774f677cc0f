"""Play a sale over in simulated time: the same wishes, the same split, with lending or without.

It decides by the very rule of the rebalancer, on what it would have seen: pools once a second.
Nobody gives anything back: what was sold stays sold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import ceil
from typing import Final, Literal, TypeAlias

from engine.campaigns.types import Elastic
from engine.elastic import rules
from engine.elastic.types import Bounds, Burn, Lending, Shop
from engine.simulation.elastic.types import Drains, Outcome, Past, Step, Wish

_Told: TypeAlias = Literal["moved", "asked", "declined"]
_AT_ONCE: Final[Drains] = lambda _lending: 0.0  # noqa: E731 - a constant


@dataclass(slots=True)
class _Pool:
    """A shop's pool of one SKU and what the rebalancer last saw of it."""

    granted: int
    available: int
    sold: int = 0
    seen_sold: int = 0
    seen_available: int = 0
    seen_s: float = 0.0
    burn: Burn | None = None
    borrowed_s: float | None = None
    draining: bool = False


def play(past: Past, elastic: Elastic | None, drains: Drains = _AT_ONCE) -> Outcome:
    """Return what became of every wish; without a policy the split stays as it is.

    `drains` says how long each marketplace takes to confirm.
    """
    return _Play(past, elastic, drains).run()


class _Play:
    """One run."""

    def __init__(self, past: Past, elastic: Elastic | None, drains: Drains) -> None:
        self.past, self.elastic, self.drains = past, elastic, drains
        self.outcome = Outcome()
        self.pools = {
            sku: {shop: _Pool(units, units) for shop, units in quotas.items()}
            for sku, quotas in past.quotas.items()
        }
        self.awaited: list[tuple[float, int, str, Lending, bool]] = []
        self.numbers = count()
        self.touched: set[str] = set(self.pools)

    def run(self) -> Outcome:
        wishes, at = self.past.wishes, 0
        for second in range(1, ceil(self.past.lasts_s) + 1):
            while at < len(wishes) and wishes[at].at_s < second:
                self._confirm(wishes[at].at_s)
                self._sell(wishes[at])
                at += 1
            self._confirm(second)
            if self.elastic is not None and self.elastic.enabled:
                self._look(self.elastic, float(second))
        for wish in wishes[at:]:
            self._sell(wish)
        return self.outcome

    def _sell(self, wish: Wish) -> None:
        pool = self.pools.get(wish.sku, {}).get(wish.shop)
        if pool is None or pool.available < wish.units:
            self.outcome.refused[wish.shop] += wish.units
            self._note(wish.at_s, "refused", wish)
            return
        pool.available -= wish.units
        pool.sold += wish.units
        self.touched.add(wish.sku)
        self.outcome.sold[wish.shop] += wish.units
        self._note(wish.at_s, "sold", wish)

    def _note(self, at_s: float, kind: Literal["sold", "refused"], wish: Wish) -> None:
        self.outcome.steps.append(Step(at_s, kind, wish.sku, wish.shop, wish.units))

    def _look(self, elastic: Elastic, now_s: float) -> None:
        """Look at the SKUs of which anything changed, or somebody is in need, and decide."""
        again = set()
        for sku in sorted(self.touched):
            quotas, pools = self.past.quotas[sku], self.pools[sku]
            bounds = rules.bounds_of(elastic, quotas)
            shops = [
                self._shop(elastic, bounds, shop, quotas[shop], pool, now_s)
                for shop, pool in pools.items()
            ]
            ruling = rules.decide(shops, bounds, self.past.lasts_s - now_s)
            if ruling.again:
                again.add(sku)
            if not elastic.observe_only:
                for lending in ruling.lendings:
                    self._carry_out(sku, lending, now_s)
        self.touched = again

    def _shop(
        self, elastic: Elastic, bounds: Bounds, name: str, quota: int, pool: _Pool, now_s: float
    ) -> Shop:
        half_life_s = rules.half_life(bounds.horizon_s)
        if pool.burn is None:
            pool.burn = rules.first(pool.sold, now_s, half_life_s)
        else:
            went = pool.sold - pool.seen_sold
            pool.burn = rules.since(
                pool.burn, went, now_s - pool.seen_s, half_life_s,
                was=pool.seen_available, now=pool.available,
            )  # fmt: skip
        pool.seen_sold, pool.seen_available, pool.seen_s = pool.sold, pool.available, now_s
        return Shop(
            name,
            pool.available,
            pool.granted,
            pool.burn,
            floor=rules.floor_of(elastic, name, quota),
            ceiling=rules.ceiling_of(elastic, name, quota),
            after_drain=name in self.past.marketplaces,
            lends="is already asked for units" if pool.draining else "",
            borrowed_s=None if pool.borrowed_s is None else now_s - pool.borrowed_s,
        )

    def _carry_out(self, sku: str, lending: Lending, now_s: float) -> None:
        if lending.how == "move":
            self._move(sku, lending, now_s)
            return
        self._tell(now_s, "asked", sku, lending)
        self.pools[sku][lending.source].draining = True
        takes_s = self.drains(lending)
        until_s = now_s + (takes_s if takes_s is not None else 1.0)
        heappush(
            self.awaited, (until_s, next(self.numbers), sku, lending, takes_s is not None)
        )  # fmt: skip

    def _confirm(self, now_s: float) -> None:
        """End the drains that a marketplace answered by now."""
        while self.awaited and self.awaited[0][0] <= now_s:
            at_s, _, sku, lending, confirmed = heappop(self.awaited)
            source = self.pools[sku][lending.source]
            source.draining = False
            # what was sold while it was asked is not there to be lent
            units = min(lending.units, source.available - lending.keep)
            if confirmed and units > 0:
                self._move(sku, lending._replace(units=units), at_s)
            else:
                self._tell(at_s, "declined", sku, lending)

    def _move(self, sku: str, lending: Lending, now_s: float) -> None:
        source, target = (self.pools[sku][one] for one in (lending.source, lending.target))
        assert lending.units <= source.available, "only what is free is lent"
        source.available -= lending.units
        source.granted -= lending.units
        target.available += lending.units
        target.granted += lending.units
        target.borrowed_s = now_s
        self.touched.add(sku)
        self._tell(now_s, "moved", sku, lending)

    def _tell(self, at_s: float, kind: _Told, sku: str, lending: Lending) -> None:
        self.outcome.steps.append(
            Step(
                at_s, kind, sku, lending.source, lending.units, lending.target, lending.reason
            )
        )  # fmt: skip


def totals(outcome: Outcome) -> Mapping[str, int]:
    """Return units sold and refused, and how often units were moved, in all."""
    return {
        "sold": outcome.sold.total(),
        "refused": outcome.refused.total(),
        "moves": len(outcome.of("moved")),
        "units_moved": sum(step.units for step in outcome.of("moved")),
    }
