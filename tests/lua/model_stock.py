"""What the plain model keeps, and how units move between its pools."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from engine.kernel import limits
from tests.lua.model_parts import (
    GRACE_MS,
    HOLD_MS,
    Ask,
    Channel,
    Draw,
    Hold,
    Limit,
    Offer,
    Pool,
    Refused,
    Source,
)

KEEP_MS = limits.IDEMPOTENCY_KEEP_MS


@dataclass
class Stock:
    """One cell."""

    now: int
    ends_at: int
    limits: dict[str, list[Limit]]
    balance_by: dict[str, int] = field(default_factory=dict)
    offers: dict[tuple[str, str, str], Offer] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    newest: dict[tuple[str, str], str] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    done: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    channels: dict[str, Channel] = field(default_factory=dict)
    forgotten: dict[str, Hold] = field(default_factory=dict)
    restoring: bool = False
    hold_ms: int = HOLD_MS
    grace_ms: int = GRACE_MS

    # what counts -------------------------------------------------------------------------

    def counting(self) -> list[Hold]:
        return [hold for hold in self.holds.values() if hold.state in "PC"]

    def limited(self) -> list[Hold]:
        return [hold for hold in self.counting() if not hold.version]

    def units_of(self, campaign: str, buyer: str, sku: str | None = None) -> int:
        """Units that a buyer has, of one SKU or of all."""
        return sum(
            line.units
            for hold in self.limited()
            if (hold.ask.campaign, hold.ask.buyer) == (campaign, buyer)
            for line in hold.ask.lines
            if sku in (None, line.sku)
        )

    def orders_of(self, campaign: str, buyer: str, sku: str | None) -> int:
        return sum(
            sku is None or sku in hold.counted_skus
            for hold in self.limited()
            if (hold.ask.campaign, hold.ask.buyer) == (campaign, buyer)
        )

    def used(self, pool: str, channel: str, taking: list[Draw]) -> int:
        """How much of a cap a channel has used, with what is just being taken."""
        of = [hold for hold in self.counting() if hold.ask.channel == channel]
        drawn = [draw for hold in of if not hold.version for draw in hold.draws]
        told = sum(hold.caps[pool] for hold in of)
        return told + sum(d.units for d in (*drawn, *taking) if d.capped and d.pool == pool)

    # taking ------------------------------------------------------------------------------

    def check_limits(self, ask: Ask) -> None:
        taking: Counter[str] = Counter()
        for n, line in enumerate(ask.lines, 1):
            offer = self.offers.get((ask.campaign, ask.channel, line.sku))
            if offer and offer.limit and line.units:
                had = self.units_of(ask.campaign, ask.buyer, line.sku) + taking[line.sku]
                self.check(ask, n, had, line.units, offer.limit)
                taking[line.sku] += line.units
        for limit in self.limits.get(ask.campaign, []):
            (self.check_orders if limit.counts == "orders" else self.check_units)(ask, limit)

    def check_orders(self, ask: Ask, limit: Limit) -> None:
        skus = dict.fromkeys(line.sku for line in ask.lines if line.units)
        for sku in skus if limit.scope == "sku" else [None]:
            self.check(ask, 0, self.orders_of(ask.campaign, ask.buyer, sku), 1, limit.most)

    def check_units(self, ask: Ask, limit: Limit) -> None:
        taking: Counter[str | None] = Counter()
        for n, line in enumerate(ask.lines, 1):
            sku = line.sku if limit.scope == "sku" else None
            if line.units:
                had = self.units_of(ask.campaign, ask.buyer, sku) + taking[sku]
                self.check(ask, n, had, line.units, limit.most)
                taking[sku] += line.units

    def check(self, ask: Ask, n: int, had: int, units: int, most: int) -> None:
        if not ask.buyer:
            raise Refused("LIMIT_REACHED", n, most, -1)
        if had + units > most:
            raise Refused("LIMIT_REACHED", n, most, had)

    def reach(self, source: Source, channel: str, taking: list[Draw]) -> int:
        pool = self.pools.get(source.pool, Pool(ended=1))
        if pool.ended:
            return 0
        if source.cap < 0:
            return pool.available
        return max(0, min(pool.available, source.cap - self.used(source.pool, channel, taking)))

    def heir(self, pool: str) -> str:
        while self.pools[pool].ended:
            pool = self.pools[pool].successor
        return pool

    def take(self, ask: Ask, account: str) -> tuple[list[Draw], list[int]]:
        """Take every line: draws, dropped."""
        draws: list[Draw] = []
        dropped = []
        for n, line in enumerate(ask.lines, 1):
            offer = self.offers.get((ask.campaign, ask.channel, line.sku))
            if not line.units:
                continue
            if not offer:
                raise Refused("UNKNOWN_SKU", n)
            room = sum(self.reach(source, ask.channel, draws) for source in offer.sources)
            if room >= line.units:
                self.draw(ask, n, offer, account, draws)
            elif line.on_short == "drop":
                dropped.append(n)
            else:
                raise Refused("SOLD_OUT", n, [source.pool for source in offer.sources])
        if len(dropped) == len(ask.lines):
            offer = self.offers[ask.campaign, ask.channel, ask.lines[dropped[0] - 1].sku]
            raise Refused("SOLD_OUT", dropped[0], [source.pool for source in offer.sources])
        return draws, dropped

    def draw(self, ask: Ask, n: int, offer: Offer, account: str, draws: list[Draw]) -> None:
        need = ask.lines[n - 1].units
        for source in offer.sources:
            units = min(need, self.reach(source, ask.channel, draws))
            if units:
                self.shift(source.pool, account, units)
                draws.append(Draw(n, source.pool, units, offer.caps(source.pool)))
                need -= units

    def shift(self, pool: str, account: str, units: int) -> None:
        """From available to held or sold."""
        self.pools[pool].available -= units
        setattr(self.pools[pool], account, getattr(self.pools[pool], account) + units)

    def give_back(self, pool: str, account: str, units: int) -> None:
        """From held or sold to available, of the pool that took its place if it has ended."""
        setattr(self.pools[pool], account, getattr(self.pools[pool], account) - units)
        heir = self.heir(pool)
        if heir != pool:
            repaid = min(self.pools[pool].owed, units)
            self.pools[pool].owed -= repaid
            units -= repaid
            self.pools[pool].granted -= units
            self.pools[heir].granted += units
        self.free(heir, units)

    def free(self, pool: str, units: int) -> None:
        """For sale, unless units are owed here or, to who draws from here first, elsewhere."""
        known = self.pools[pool]
        repaid = min(known.owed, units)
        known.owed -= repaid
        units -= repaid
        for debt in known.debts:
            other = self.pools[debt[0]]
            part = min(units, debt[1], other.owed) if debt[2] == other.round else 0
            known.granted -= part
            other.granted += part
            other.owed -= part
            debt[1] -= part
            units -= part
        known.available += units

    def settle(self, pool: str) -> None:
        """What is free repays what is owed here, and to who draws from here first."""
        known = self.pools[pool]
        debts = [min(one[1], self.pools[one[0]].owed) for one in known.debts
                 if one[2] == self.pools[one[0]].round]  # fmt: skip
        units = min(known.available, known.owed + sum(debts))
        known.available -= units
        self.free(pool, units)

    def opened(self) -> None:
        """What was put back takes nothing before the cell is open."""
        self.restoring = False
        for pool in sorted(self.pools):
            self.settle(pool)

    def begin_to_owe(self, pool: str, others: list[str]) -> None:
        """One unit more; the pools before this one of the offer will help to repay it."""
        known = self.pools[pool]
        known.round += not known.owed
        known.owed += 1
        for other in (self.pools[name] for name in others):
            due = [one[1] for one in other.debts if one[0] == pool and one[2] == known.round]
            other.debts = [one for one in other.debts if one[0] != pool]
            other.debts.append([pool, sum(due) + 1, known.round])

    # scripts of pools ---------------------------------------------------------------------

    def grant(self, pool: str, seq: int, delta: int) -> list[Any]:
        known = self.pools.get(pool, Pool())
        if seq <= known.seq:
            return ["REPEATED"]
        if seq > known.seq + 1:
            return ["OUT_OF_ORDER", known.seq + 1]
        self.pools[pool] = known
        known.seq = seq
        if delta >= 0:
            known.granted += delta
            self.free(pool, delta)
            if (heir := self.heir(pool)) != pool:
                units, known.available = known.available, 0
                known.granted -= units
                self.pools[heir].granted += units
                self.free(heir, units)
            return ["GRANTED", delta]
        taken = min(-delta, known.available)
        known.granted -= taken
        known.available -= taken
        return ["GRANTED", delta] if taken == -delta else ["SHORT", -delta - taken]

    def move(
        self, move_id: str, source: str, target: str, units: int, end: int, keep: int = 0
    ) -> list[Any]:
        if "v/" + move_id in self.done:
            return ["REPEATED"]
        if source not in self.pools or target not in self.pools:
            return ["UNKNOWN_POOL"]
        giver, taker = self.pools[source], self.pools[target]
        if source == target or taker.ended:
            return ["CONFLICT"]
        spare = max(0, giver.available - keep)
        units = spare if units < 0 else units
        if units > spare:
            return ["SHORT", spare]
        giver.available -= units
        giver.granted -= units
        taker.granted += units
        self.free(target, units)
        if end:
            left = [[source, giver.owed, giver.round], *giver.debts]
            taker.debts += [list(one) for one in left if one[1] and one[0] != target]
            self.settle(target)
            giver.ended, giver.successor = 1, target
        self.done["v/" + move_id] = self.now + KEEP_MS
        return ["MOVED", units]

    def take_back(self, return_id: str, parts: list[list[Any]]) -> list[Any]:
        if "r/" + return_id in self.done:
            return ["REPEATED"]
        asked: Counter[str] = Counter()
        for pool, units in parts:
            asked[pool] += units
            if asked[pool] > self.pools[pool].sold:
                return ["CONFLICT", pool]
        for pool, units in parts:
            self.give_back(pool, "sold", units)
        self.done["r/" + return_id] = self.now + KEEP_MS
        return ["RETURNED"]
