"""What the scripts promise, as plain code: one claim at a time, no working copy, no storage.

What a buyer has had and how far a cap is used are not counted here but added up from the holds.
"""

from collections import Counter
from copy import deepcopy
from itertools import islice
from typing import Any

from tests.lua.model_parts import (
    GRACE_MS,
    HOLD_MS,
    Ask,
    Channel,
    Draw,
    Hold,
    Limit,
    Line,
    Offer,
    Refused,
    Source,
    Stage,
)
from tests.lua.model_pay import SETTLED_WORD
from tests.lua.model_stock import KEEP_MS
from tests.lua.model_sync import Snap, Syncing

__all__ = [
    "GRACE_MS",
    "HOLD_MS",
    "Ask",
    "Channel",
    "Hold",
    "Limit",
    "Line",
    "Model",
    "Offer",
    "Snap",
    "Source",
    "Stage",
]


class Model(Syncing):
    """All scripts; those of pools, of payments and of snapshots are inherited."""

    # scripts -----------------------------------------------------------------------------

    def reserve(self, ask: Ask) -> list[Any]:
        if seen := self.holds.get(ask.order_id):
            answer = ["REPEATED", seen.state, seen.pay_by, seen.total, seen.dropped]
            same = seen.ask.fingerprint == ask.fingerprint
            return answer + seen.told if same else ["CONFLICT"]
        if self.channels[ask.channel].authority != "gate":
            return ["WRONG_CALL"]
        return self.split(ask) if ask.split_from else self.first_reserve(ask)

    def first_reserve(self, ask: Ask) -> list[Any]:
        for n, line in enumerate(ask.lines, 1):
            if line.sku in self.paused:
                return ["PAUSED", "sku", n]
        if ask.campaign and self.now >= self.ends_at:
            return ["ENDED", self.ends_at]
        before = deepcopy((self.pools, self.holds, self.newest, self.done))
        try:
            return self.accept(ask)
        except Refused as refusal:
            self.pools, self.holds, self.newest, self.done = before
            word, *detail = refusal.args
            if word != "SOLD_OUT":
                return [word, *detail]
            line, pools = detail
            return [word, line, int(not any(self.pools[p].available for p in pools)), pools]

    def restore(self, ask: Ask, pay_by: int, since: int) -> list[Any]:
        """As it was promised, at an opening: nothing is asked but whether the units are there."""
        if seen := self.holds.get(ask.order_id):
            return ["REPEATED", seen.state, seen.pay_by, seen.total, seen.dropped]
        before = deepcopy((self.pools, self.holds, self.newest, self.done))
        try:
            return self.accept(ask, (pay_by, since))[:5]
        except Refused as refusal:
            self.pools, self.holds, self.newest, self.done = before
            return ["SHORT", refusal.args[1]]

    def accept(self, ask: Ask, promised: tuple[int, int] | None = None) -> list[Any]:
        pay_by, since = promised or (0 if ask.settle else self.now + HOLD_MS, self.now)
        replaced = self.newest.get((ask.campaign, ask.buyer)) if ask.replace and ask.buyer else None
        if replaced and (not promised or self.holds[replaced].since < since):
            self.end(self.holds[replaced], "R")
        if not promised:
            self.check_limits(ask)
        draws, dropped = self.take(ask, "sold" if ask.settle else "held")
        skus = {line.sku for line in ask.lines}
        kept = deepcopy(ask)
        for n in dropped:
            kept.lines[n - 1].units = kept.lines[n - 1].payable = 0
        hold = Hold(
            kept, "C" if ask.settle else "P", sum(line.payable for line in kept.lines), pay_by,
            pay_by + GRACE_MS if pay_by else 0, draws, dropped, skus, due=pay_by, since=since,
        )  # fmt: skip
        self.sell_on_deposit(hold)
        self.keep(hold)
        answer = ["RESERVED", hold.state, pay_by, hold.total, dropped]
        return answer + hold.told

    def keep(self, hold: Hold) -> None:
        ask = hold.ask
        self.holds[ask.order_id] = hold
        if ask.settle:
            self.done["o/" + ask.order_id] = self.now + KEEP_MS
        elif ask.buyer:
            other = self.holds.get(self.newest.get((ask.campaign, ask.buyer), ""))
            if not other or other.since <= hold.since:
                self.newest[ask.campaign, ask.buyer] = ask.order_id
        self.accepted += 1

    def sell_on_deposit(self, hold: Hold) -> None:
        ask, found = hold.ask, {}
        for n, line in enumerate(ask.lines, 1):
            offer = self.offers.get((ask.campaign, ask.channel, line.sku))
            if offer and offer.deposit and line.units:
                found[n] = offer.deposit
        hold.sell_on_deposit(self.balance_by.get(ask.campaign, 0), found)

    def split(self, ask: Ask) -> list[Any]:
        """Units of a pending hold become another order's, with what they count."""
        source = self.holds.get(ask.split_from)
        refusal = self.not_split(ask, source)
        if refusal or not source:
            return refusal or ["UNKNOWN_ORDER"]
        draws: list[Draw] = []
        for n, line in enumerate(ask.lines, 1):
            need = line.units
            for m, other in enumerate(source.ask.lines, 1):
                units = min(need, other.units) if other.sku == line.sku else 0
                source.total -= other.cut(units)
                self.pass_draws(source, m, units, n, draws)
                need -= units
        hold = Hold(
            deepcopy(ask), "P", sum(line.payable for line in ask.lines), source.pay_by,
            source.until, draws, [], {line.sku for line in ask.lines}, warned=source.warned,
            due=source.until if source.warned else source.pay_by, since=self.now,
        )  # fmt: skip
        hold.split_stages(source)
        self.keep(hold)
        if not any(line.units for line in source.ask.lines):
            source.total = 0
            self.finish(source, "R")
        answer = ["RESERVED", "P", hold.pay_by, hold.total, []]
        return answer + hold.told

    @staticmethod
    def not_split(ask: Ask, source: Hold | None) -> list[Any] | None:
        if not source:
            return ["UNKNOWN_ORDER"]
        if source.state != "P":
            return [SETTLED_WORD[source.state]]
        of = source.ask
        whose = (of.channel, of.campaign, of.buyer) == (ask.channel, ask.campaign, ask.buyer)
        if not whose or source.paid:
            return ["SHORT", 0]
        left: Counter[str] = Counter()
        for line in of.lines:
            left[line.sku] += line.units
        for n, line in enumerate(ask.lines, 1):
            left[line.sku] -= line.units
            if left[line.sku] < 0:
                return ["SHORT", n]
        return None

    @staticmethod
    def pass_draws(source: Hold, m: int, units: int, n: int, draws: list[Draw]) -> None:
        """The last drawn first, as everywhere."""
        for draw in reversed(source.draws):
            part = min(units, draw.units) if draw.line == m else 0
            if part:
                draws.append(Draw(n, draw.pool, part, draw.capped))
                draw.units -= part
                units -= part
        source.draws = [draw for draw in source.draws if draw.units]

    def end(self, hold: Hold, state: str) -> None:
        """All that is held goes back."""
        for draw in hold.draws:
            self.give_back(draw.pool, "held", draw.units)
        hold.draws = []
        hold.caps.clear()
        self.finish(hold, state)

    def release(  # noqa: C901, PLR0911, PLR0912 - one return a verdict
        self, order_id: str, cancel_id: str, lines: list[list[int]], *, duplicate: bool,
        refunded: bool = False,
    ) -> list[Any]:  # fmt: skip
        hold = self.holds.get(order_id)
        if not hold:
            return ["UNKNOWN_ORDER"]
        if cancel_id in hold.cancels:
            return ["REPEATED", hold.state, hold.total]
        if refunded and hold.state == "E":
            hold.cancels.append(cancel_id)
            self.finish(hold, "R")
            return ["RELEASED", "R", hold.total]
        if hold.state != "P" and not (duplicate and hold.state == "C"):
            return [SETTLED_WORD[hold.state]]
        left = Counter({n: line.units for n, line in enumerate(hold.ask.lines, 1)})
        wanted = Counter() if lines else left
        for n, units in lines:
            wanted[n] += units
        too_many = [n for n in sorted(wanted) if wanted[n] > left[n]]
        if too_many:
            return ["CONFLICT", too_many[0]]
        if lines and hold.paid:
            return ["CONFLICT", 0]
        account = "sold" if hold.state == "C" else "held"
        for n, units in wanted.items():
            self.release_line(hold, n, units, account)
        hold.cancels.append(cancel_id)
        if not any(line.units for line in hold.ask.lines):
            hold.total = 0
            hold.caps.clear()
            self.finish(hold, "R")
        return ["RELEASED", hold.state, hold.total]

    def release_line(self, hold: Hold, n: int, units: int, account: str) -> None:
        hold.total -= hold.ask.lines[n - 1].cut(units)
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
            hold.moved(length)

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
            if hold and hold.state != "P":
                self.forgotten[name[2:]] = self.holds.pop(name[2:])
        return [len(names)]
