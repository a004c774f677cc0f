"""Snapshots in the plain model: unit by unit, without a difference of sums."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tests.lua.model_parts import Ask, Draw, Hold, Line, Offer
from tests.lua.model_pay import Paying
from tests.lua.model_stock import KEEP_MS

ACCOUNT = {"P": "held", "C": "sold"}
FINAL = 3


@dataclass
class Snap:
    """One snapshot; `recalled` says that Postgres gave its hold with it, if the cell forgot it."""

    order_id: str
    fingerprint: str
    version: str
    state: str
    progress: int
    channel: str
    campaign: str
    buyer: str
    placed_at: int
    lines: list[Line]
    names: list[str]
    recalled: bool = False


def place(version: str) -> tuple[int, int, bytes]:
    """Versions in their order."""
    number = version.isdecimal()
    return (0, int(version), b"") if number else (1, 0, version.encode())


class Syncing(Paying):
    """The hold of an order that a marketplace sold is what its last snapshot says."""

    def sync(self, snap: Snap) -> list[Any]:
        channel = self.channels.get(snap.channel)
        if not channel:
            return ["UNKNOWN_CHANNEL"]
        if channel.authority == "gate":
            return ["WRONG_CALL"]
        hold = self.holds.get(snap.order_id)
        if not hold and snap.recalled and snap.order_id in self.forgotten:
            hold = deepcopy(self.forgotten[snap.order_id])
            hold.caps.clear()
        if hold and hold.version:
            new, old = place(snap.version), place(hold.version)
            if new == old and snap.fingerprint == hold.ask.fingerprint:
                return self.told("UNCHANGED", hold)
            if new < old or (new == old and snap.progress < hold.progress):
                return self.told("STALE", hold)
        return self.told("UPDATED", self.adopt(snap, hold)) if hold else self.create(snap)

    def create(self, snap: Snap) -> list[Any]:
        self.accepted += 1
        ask = Ask(snap.order_id, "", snap.channel, snap.campaign, snap.buyer, "", 0, [])
        new = Hold(ask, snap.state, 0, 0, 0, [], [], set(), since=self.now)
        return self.told("CREATED", self.adopt(snap, new))

    def told(self, word: str, hold: Hold) -> list[Any]:
        lines = hold.ask.lines
        owed = [(n, min(units, self.pools[pool].owed)) for pool, units, n in hold.shorts]
        shorts = [[n, units, lines[n - 1].sku] for n, units in owed if units]
        return [word, hold.state, hold.version, shorts, hold.unmapped, []]

    def adopt(self, snap: Snap, hold: Hold) -> Hold:
        before = deepcopy(hold)
        self.become(snap, hold)
        self.holds[snap.order_id] = hold
        stacks: dict[str, list[str]] = {}
        for draw in before.draws:
            sku = before.ask.lines[draw.line - 1].sku
            stacks.setdefault(sku, []).extend([draw.pool] * draw.units)
        account = ACCOUNT.get(hold.state) or ACCOUNT.get(before.state, "held")
        self.change_account(stacks, ACCOUNT.get(before.state, account), account)
        owed: Counter[str] = Counter()
        for line in hold.ask.lines:
            stacks.setdefault(line.sku, [])
        for sku, stack in stacks.items():
            wanted = sum(line.units for line in hold.ask.lines if line.sku == sku)
            while len(stack) > wanted:
                self.pop(hold, stack.pop(), account)
            offer = self.offers.get((snap.campaign, snap.channel, sku))
            if offer and sku:
                self.push(hold, offer, stack, wanted - len(stack), account, owed)
        self.share_out(hold, stacks)
        self.note_shorts(hold, before, owed)
        return hold

    def become(self, snap: Snap, hold: Hold) -> None:
        """All that needs no stock."""
        channel = self.channels[snap.channel]
        self.forget_newest(hold)
        if not hold.version:
            hold.caps = Counter({d.pool: 0 for d in hold.draws if d.capped})
            for draw in hold.draws:
                hold.caps[draw.pool] += draw.units if draw.capped else 0
        out: Counter[str] = Counter()
        for draw in hold.draws:
            out[draw.pool] += draw.units
        hold.caps = Counter({pool: min(n, out[pool]) for pool, n in hold.caps.items()})
        hold.state = "E" if (snap.state, hold.state) == ("P", "E") else snap.state
        hold.version, hold.progress = snap.version, snap.progress
        self.renumber(snap, hold)
        hold.ask.fingerprint = snap.fingerprint
        hold.ask.campaign, hold.ask.buyer = snap.campaign, snap.buyer
        hold.total = sum(line.payable for line in snap.lines)
        hold.stages, hold.paid, hold.dropped = [], 0, []
        counts = channel.authority == "external" and hold.state in ACCOUNT
        if hold.state == "P" and channel.counts_at == "paid":
            counts = False
        hold.unmapped = []
        for n, line in enumerate(hold.ask.lines, 1):
            if counts and not line.sku and line.units:
                hold.unmapped.append(n)
            line.units = line.units if counts and line.sku else 0
        self.set_deadline(snap, hold)

    def set_deadline(self, snap: Snap, hold: Hold) -> None:
        if hold.state != "P" or self.channels[snap.channel].expires_by != "us":
            hold.pay_by = hold.until = 0
        elif not hold.pay_by:
            hold.pay_by = snap.placed_at + self.hold_ms
            hold.until = hold.pay_by + self.grace_ms
        hold.due = hold.until if hold.warned else hold.pay_by
        over = hold.progress >= FINAL or hold.state == "E"
        self.done.pop("o/" + snap.order_id, None)
        if over:
            self.done["o/" + snap.order_id] = self.now + KEEP_MS

    @staticmethod
    def renumber(snap: Snap, hold: Hold) -> None:
        """Each line finds the first of its name that no other line of the snapshot has found."""
        old = hold.ask.lines
        names = [*hold.names, *[""] * (len(old) - len(hold.names))]
        lines = [Line(line.sku, 0, 0) for line in old]
        free = list(range(len(old)))
        for line, name in zip(snap.lines, snap.names, strict=True):
            found = [n for n in free if names[n] == name]
            if found:
                free.remove(found[0])
                lines[found[0]] = deepcopy(line)
            else:
                lines.append(deepcopy(line))
                names.append(name)
        hold.ask.lines, hold.names = lines, names

    def change_account(self, stacks: dict[str, list[str]], before: str, after: str) -> None:
        for pool in (pool for stack in stacks.values() for pool in stack):
            known = self.pools[pool]
            setattr(known, before, getattr(known, before) - 1)
            setattr(known, after, getattr(known, after) + 1)

    def pop(self, hold: Hold, pool: str, account: str) -> None:
        self.give_back(pool, account, 1)
        if hold.caps[pool]:
            hold.caps[pool] -= 1

    def push(
        self, hold: Hold, offer: Offer, stack: list[str], units: int, account: str,
        owed: Counter[str],
    ) -> None:  # fmt: skip
        for _ in range(units):
            reached = [
                one.pool for one in offer.sources if self.reach(one, hold.ask.channel, []) > 0
            ]
            heirs = list(dict.fromkeys(self.heir(one.pool) for one in offer.sources))
            beyond = [pool for pool in heirs if self.pools[pool].available]
            if self.restoring:  # claims were promised what is free
                reached, beyond = [], []
            pool = next(iter([*reached, *beyond]), heirs[-1])
            if reached or beyond:
                self.shift(pool, account, 1)
            else:
                self.begin_to_owe(pool, heirs[:-1])
                setattr(self.pools[pool], account, getattr(self.pools[pool], account) + 1)
                owed[pool] += 1
            stack.append(pool)
            if offer.caps(pool):
                hold.caps[pool] += 1

    @staticmethod
    def share_out(hold: Hold, stacks: dict[str, list[str]]) -> None:
        hold.draws = []
        lacking = []
        for n, line in enumerate(hold.ask.lines, 1):
            stack = stacks[line.sku]
            got, stacks[line.sku] = stack[: line.units], stack[line.units :]
            for pool in got:
                if hold.draws and (hold.draws[-1].line, hold.draws[-1].pool) == (n, pool):
                    hold.draws[-1].units += 1
                else:
                    hold.draws.append(Draw(n, pool, 1, capped=False))
            if len(got) < line.units:
                lacking.append(n)
                line.units = len(got)
        hold.unmapped = lacking + hold.unmapped

    @staticmethod
    def note_shorts(hold: Hold, before: Hold, owed: Counter[str]) -> None:
        had: Counter[str] = Counter()
        has: Counter[str] = Counter()
        for draws, total in ((before.draws, had), (hold.draws, has)):
            for draw in draws:
                total[draw.pool] += draw.units
        last = {draw.pool: draw.line for draw in hold.draws}
        known: dict[str, int] = {}
        for pool, units, _ in before.shorts:
            back = max(0, had[pool] - has[pool])
            known[pool] = max(0, min(has[pool], units - back))
        for pool, units in owed.items():
            known[pool] = known.get(pool, 0) + units
        hold.shorts = [[pool, units, last[pool]] for pool, units in known.items() if units]
