"""What the scripts promise, as plain code: one claim at a time, no working copy, no storage.

What a buyer has had and how far a cap is used are not counted here but added up from the holds.
"""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from engine.kernel import limits

HOLD_MS, GRACE_MS = 1_000, 100
KEEP_MS = limits.IDEMPOTENCY_KEEP_MS
SETTLED_WORD = {"C": "ALREADY_CONFIRMED", "R": "ALREADY_RELEASED", "E": "EXPIRED"}


class Refused(Exception):
    """A claim's verdict other than RESERVED, as the script answers it."""


@dataclass
class Pool:
    granted: int = 0
    owed: int = 0
    available: int = 0
    held: int = 0
    sold: int = 0
    seq: int = 0
    successor: str = ""
    ended: int = 0

    def free(self, units: int) -> None:
        repaid = min(self.owed, units)
        self.owed -= repaid
        self.available += units - repaid


@dataclass
class Source:
    pool: str
    cap: int = -1


@dataclass
class Offer:
    sources: list[Source]
    limit: int = 0

    def caps(self, pool: str) -> bool:
        return any(one.pool == pool and one.cap >= 0 for one in self.sources)


@dataclass
class Line:
    sku: str
    units: int
    payable: int
    on_short: str = ""


@dataclass
class Draw:
    line: int
    pool: str
    units: int
    capped: bool


@dataclass
class Ask:
    """A claim, and a hold until it ends: what is left of it."""

    order_id: str
    fingerprint: str
    channel: str
    campaign: str
    buyer: str
    settle: str
    replace: int
    lines: list[Line]


@dataclass
class Hold:
    ask: Ask
    state: str
    total: int
    pay_by: int
    until: int
    draws: list[Draw]
    dropped: list[int]
    counted_skus: set[str]
    due: int = 0
    attempt: int = 1
    warned: bool = False
    payments: dict[str, str] = field(default_factory=dict)
    cancels: list[str] = field(default_factory=list)


@dataclass
class Model:
    """One cell. `external` names the channels whose orders are sold already."""

    now: int
    ends_at: int
    units_limit: int
    orders_limit: int
    offers: dict[tuple[str, str, str], Offer] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    newest: dict[tuple[str, str], str] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    done: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    external: str = "tmall"

    # what counts -------------------------------------------------------------------------

    def counting(self) -> list[Hold]:
        return [hold for hold in self.holds.values() if hold.state in "PC"]

    def limited(self) -> list[Hold]:
        return [hold for hold in self.counting() if hold.ask.channel != self.external]

    def units_of(self, campaign: str, buyer: str, sku: str | None = None) -> int:
        """Units that a buyer has, of one SKU or of all."""
        return sum(
            line.units
            for hold in self.limited()
            if (hold.ask.campaign, hold.ask.buyer) == (campaign, buyer)
            for line in hold.ask.lines
            if sku in (None, line.sku)
        )

    def orders_of(self, campaign: str, buyer: str, sku: str) -> int:
        return sum(
            sku in hold.counted_skus
            for hold in self.limited()
            if (hold.ask.campaign, hold.ask.buyer) == (campaign, buyer)
        )

    def used(self, pool: str, channel: str, taking: list[Draw]) -> int:
        """How much of a cap a channel has used, with what is just being taken."""
        drawn = [d for h in self.counting() if h.ask.channel == channel for d in h.draws]
        return sum(d.units for d in (*drawn, *taking) if d.capped and d.pool == pool)

    # taking ------------------------------------------------------------------------------

    def check_limits(self, ask: Ask) -> None:
        taking: Counter[str] = Counter()
        for n, line in enumerate(ask.lines, 1):
            offer = self.offers.get((ask.campaign, ask.channel, line.sku))
            if offer and offer.limit and line.units:
                had = self.units_of(ask.campaign, ask.buyer, line.sku) + taking[line.sku]
                self.check(ask, n, had, line.units, offer.limit)
                taking[line.sku] += line.units
        if not ask.campaign:
            return
        had = self.units_of(ask.campaign, ask.buyer)
        for n, line in enumerate(ask.lines, 1):
            if line.units:
                self.check(ask, n, had, line.units, self.units_limit)
                had += line.units
        for sku in dict.fromkeys(line.sku for line in ask.lines if line.units):
            had = self.orders_of(ask.campaign, ask.buyer, sku)
            self.check(ask, 0, had, 1, self.orders_limit)

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

    def take(self, ask: Ask, account: str) -> tuple[list[Draw], list[int], list[Any], list[int]]:
        """Take every line: draws, dropped, short, unmapped."""
        draws: list[Draw] = []
        dropped, short, unmapped = [], [], []
        for n, line in enumerate(ask.lines, 1):
            offer = self.offers.get((ask.campaign, ask.channel, line.sku))
            if not line.units:
                continue
            if not offer:
                if ask.channel != self.external:
                    raise Refused("UNKNOWN_SKU", n)
                unmapped.append(n)
                continue
            room = sum(self.reach(source, ask.channel, draws) for source in offer.sources)
            if room >= line.units or ask.channel == self.external:
                missing = self.draw(ask, n, offer, account, draws)
                short += [[n, missing]] if missing else []
            elif line.on_short == "drop":
                dropped.append(n)
            else:
                raise Refused("SOLD_OUT", n, [source.pool for source in offer.sources])
        if len(dropped) == len(ask.lines):
            offer = self.offers[ask.campaign, ask.channel, ask.lines[dropped[0] - 1].sku]
            raise Refused("SOLD_OUT", dropped[0], [source.pool for source in offer.sources])
        return draws, dropped, short, unmapped

    def draw(self, ask: Ask, n: int, offer: Offer, account: str, draws: list[Draw]) -> int:
        need = ask.lines[n - 1].units
        for source in offer.sources:
            units = min(need, self.reach(source, ask.channel, draws))
            if units:
                self.shift(source.pool, account, units)
                draws.append(Draw(n, source.pool, units, offer.caps(source.pool)))
                need -= units
        first = self.heir(offer.sources[0].pool)
        if need:
            found = min(need, self.pools[first].available) if first != offer.sources[0].pool else 0
            self.shift(first, account, found)
            self.pools[first].owed += need - found
            setattr(self.pools[first], account, getattr(self.pools[first], account) + need - found)
            draws.append(Draw(n, first, need, offer.caps(first)))
            return need - found
        return 0

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
        self.pools[heir].free(units)

    def finish(self, hold: Hold, state: str) -> None:
        hold.state, hold.due = state, 0
        self.done["o/" + hold.ask.order_id] = self.now + KEEP_MS
        whose = (hold.ask.campaign, hold.ask.buyer)
        if self.newest.get(whose) == hold.ask.order_id:
            del self.newest[whose]

    # scripts -----------------------------------------------------------------------------

    def reserve(self, ask: Ask) -> list[Any]:  # noqa: PLR0911 - one return a verdict
        seen = self.holds.get(ask.order_id)
        if seen:
            if seen.ask.fingerprint != ask.fingerprint:
                return ["CONFLICT"]
            return ["REPEATED", seen.state, seen.pay_by, seen.total, seen.dropped]
        gate = ask.channel != self.external
        for n, line in enumerate(ask.lines, 1):
            if gate and line.sku in self.paused:
                return ["PAUSED", "sku", n]
        if gate and ask.campaign and self.now >= self.ends_at:
            return ["ENDED", self.ends_at]
        before = deepcopy((self.pools, self.holds, self.newest, self.done))
        try:
            return self.accept(ask, gate=gate)
        except Refused as refusal:
            self.pools, self.holds, self.newest, self.done = before
            word, *detail = refusal.args
            if word != "SOLD_OUT":
                return [word, *detail]
            line, pools = detail
            return [word, line, int(not any(self.pools[p].available for p in pools)), pools]

    def accept(self, ask: Ask, *, gate: bool) -> list[Any]:
        replaced = self.newest.get((ask.campaign, ask.buyer)) if ask.replace and ask.buyer else None
        if replaced:
            self.end(self.holds[replaced], "R")
        if gate:
            self.check_limits(ask)
        draws, dropped, short, unmapped = self.take(ask, "sold" if ask.settle else "held")
        skus = {line.sku for line in ask.lines}
        kept = deepcopy(ask)
        for n in dropped:
            kept.lines[n - 1].units = kept.lines[n - 1].payable = 0
        pending = not ask.settle and gate
        pay_by = self.now + HOLD_MS if pending else 0
        hold = Hold(
            kept, "C" if ask.settle else "P", sum(line.payable for line in kept.lines), pay_by,
            pay_by + GRACE_MS if pending else 0, draws, dropped, skus, due=pay_by,
        )  # fmt: skip
        self.holds[ask.order_id] = hold
        if ask.settle:
            self.done["o/" + ask.order_id] = self.now + KEEP_MS
        elif gate and ask.buyer:
            self.newest[ask.campaign, ask.buyer] = ask.order_id
        self.accepted += 1
        return ["RESERVED", hold.state, pay_by, hold.total, dropped, short, [], unmapped]

    def end(self, hold: Hold, state: str) -> None:
        """All that is held goes back."""
        for draw in hold.draws:
            self.give_back(draw.pool, "held", draw.units)
        hold.draws = []
        self.finish(hold, state)

    def book(  # noqa: PLR0911 - one return a verdict
        self, order_id: str, payment_id: str, amount: int
    ) -> list[Any] | None:
        hold = self.holds.get(order_id)
        if not hold:
            return ["UNKNOWN_ORDER"]
        if payment_id in hold.payments:
            return ["REPEATED", hold.payments[payment_id]]
        if hold.state in "CR":
            reason = "second_payment" if hold.state == "C" else "cancelled"
            hold.payments[payment_id] = reason
            return [SETTLED_WORD[hold.state]]
        if amount != hold.total:
            return ["CONFLICT", hold.total, "CNY"]
        if hold.state == "E":
            return None
        for draw in hold.draws:
            self.pools[draw.pool].held -= draw.units
            self.pools[draw.pool].sold += draw.units
        hold.payments[payment_id] = "applied"
        self.finish(hold, "C")
        return ["CONFIRMED"]

    def confirm(self, order_id: str, payment_id: str, amount: int) -> list[Any]:
        return self.book(order_id, payment_id, amount) or ["EXPIRED"]

    def rehold(self, order_id: str, payment_id: str, amount: int) -> list[Any]:
        booked = self.book(order_id, payment_id, amount)
        if booked:
            return booked
        hold = self.holds[order_id]
        before = deepcopy(self.pools)
        try:
            draws = self.take_again(hold.ask)
        except Refused as refusal:
            self.pools = before
            reason = "limit" if refusal.args[0] == "LIMIT_REACHED" else "no_stock"
            hold.payments[payment_id] = reason
            return ["REFUND_DUE", reason]
        hold.draws, hold.attempt = draws, hold.attempt + 1
        hold.counted_skus = {line.sku for line in hold.ask.lines if line.units}
        hold.payments[payment_id] = "applied"
        self.finish(hold, "C")
        return ["CONFIRMED"]

    def take_again(self, ask: Ask) -> list[Draw]:
        self.check_limits(ask)
        draws, dropped, _, _ = self.take(ask, "sold")
        if dropped:
            raise Refused("SOLD_OUT")
        return draws

    def release(
        self, order_id: str, cancel_id: str, lines: list[list[int]], *, duplicate: bool
    ) -> list[Any]:
        hold = self.holds.get(order_id)
        if not hold:
            return ["UNKNOWN_ORDER"]
        if cancel_id in hold.cancels:
            return ["REPEATED", hold.state, hold.total]
        if hold.state != "P" and not (duplicate and hold.state == "C"):
            return [SETTLED_WORD[hold.state]]
        left = Counter({n: line.units for n, line in enumerate(hold.ask.lines, 1)})
        wanted = Counter() if lines else left
        for n, units in lines:
            wanted[n] += units
        too_many = [n for n in sorted(wanted) if wanted[n] > left[n]]
        if too_many:
            return ["CONFLICT", too_many[0]]
        account = "sold" if hold.state == "C" else "held"
        for n, units in wanted.items():
            self.release_line(hold, n, units, account)
        hold.cancels.append(cancel_id)
        if not any(line.units for line in hold.ask.lines):
            self.finish(hold, "R")
        return ["RELEASED", hold.state, hold.total]

    def release_line(self, hold: Hold, n: int, units: int, account: str) -> None:
        line = hold.ask.lines[n - 1]
        if units:
            share = line.payable * units // line.units
            line.units, line.payable = line.units - units, line.payable - share
            hold.total -= share
        for draw in reversed(hold.draws):
            part = min(units, draw.units) if draw.line == n else 0
            if part:
                self.give_back(draw.pool, account, part)
                draw.units -= part
                units -= part
        hold.draws = [draw for draw in hold.draws if draw.units]

    def expire(self, most: int) -> list[int]:
        waiting = sorted((h.due, i) for i, h in self.holds.items() if h.state == "P" and h.due)
        due = [order_id for at, order_id in waiting if at <= self.now][:most]
        later = [at for at, _ in waiting if at > self.now]
        for order_id in due:
            hold = self.holds[order_id]
            if self.now < hold.until:
                hold.warned, hold.due = True, hold.until
            else:
                self.end(hold, "E")
        return [len(due), later[0] if later else 0]

    def extend(self, closed_at: int, opened_at: int) -> None:
        length = opened_at - closed_at
        for hold in self.holds.values():
            if hold.state != "P" or not hold.due or hold.due >= opened_at or not length:
                continue
            if hold.until < closed_at:
                hold.due = opened_at
                continue
            hold.until += length
            if not hold.warned and hold.pay_by >= closed_at:
                hold.pay_by += length
                hold.due = hold.pay_by
            else:
                hold.warned, hold.due = True, hold.until

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
            known.free(delta)
            return ["GRANTED", delta]
        taken = min(-delta, known.available)
        known.granted -= taken
        known.available -= taken
        return ["GRANTED", delta] if taken == -delta else ["SHORT", -delta - taken]

    def move(self, move_id: str, source: str, target: str, units: int, end: int) -> list[Any]:
        if "v/" + move_id in self.done:
            return ["REPEATED"]
        if source not in self.pools or target not in self.pools:
            return ["UNKNOWN_POOL"]
        giver, taker = self.pools[source], self.pools[target]
        if source == target or taker.ended:
            return ["CONFLICT"]
        units = giver.available if units < 0 else units
        if units > giver.available:
            return ["SHORT", giver.available]
        giver.available -= units
        giver.granted -= units
        taker.granted += units
        taker.free(units)
        if end:
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

    def pause(self, sku: str, on: int) -> list[Any]:
        if (sku in self.paused) == bool(on):
            return ["REPEATED"]
        (self.paused.add if on else self.paused.remove)(sku)
        return ["PAUSED" if on else "RESUMED"]

    def prune(self, most: int) -> list[int]:
        over = sorted((at, name) for name, at in self.done.items() if at <= self.now)
        names = [name for _, name in islice(over, most)]
        for name in names:
            hold = self.holds.get(name[2:]) if name.startswith("o/") else None
            if hold and hold.ask.campaign and self.ends_at + KEEP_MS > self.now:
                self.done[name] = self.ends_at + KEEP_MS
                continue
            del self.done[name]
            if hold:
                del self.holds[name[2:]]
        return [len(names)]
