"""The nouns of the plain model: what a claim asks for, and what a hold remembers of it."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

HOLD_MS, GRACE_MS = 1_000, 100


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
    debts: list[list[Any]] = field(default_factory=list)
    round: int = 0


@dataclass
class Channel:
    authority: str = "gate"
    counts_at: str = "placed"
    expires_by: str = "channel"


@dataclass
class Source:
    pool: str
    cap: int = -1


@dataclass
class Offer:
    sources: list[Source]
    limit: int = 0
    deposit: int = 0

    def caps(self, pool: str) -> bool:
        return any(one.pool == pool and one.cap >= 0 for one in self.sources)


@dataclass
class Limit:
    """At most `most` units or orders of one buyer, of a whole campaign or of each SKU."""

    scope: str
    most: int
    counts: str


@dataclass
class Line:
    sku: str
    units: int
    payable: int
    on_short: str = ""

    def cut(self, units: int) -> int:
        """Take units away; returns the money that leaves with them."""
        share = self.payable * units // self.units if units else 0
        self.units, self.payable = self.units - units, self.payable - share
        return share


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
    split_from: str = ""


@dataclass
class Stage:
    """One payment that is due; without prices it asks for all that is not paid yet."""

    name: str
    pay_by: int
    until: int
    prices: dict[int, int]


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
    payments: dict[str, tuple[str, int]] = field(default_factory=dict)
    cancels: list[str] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    paid: int = 0
    since: int = 0
    # of an order that a marketplace sold
    version: str = ""
    progress: int = 0
    names: list[str] = field(default_factory=list)
    shorts: list[list[Any]] = field(default_factory=list)
    unmapped: list[int] = field(default_factory=list)
    caps: Counter[str] = field(default_factory=Counter)

    @property
    def unpaid(self) -> int:
        return self.total - self.paid

    @property
    def due_now(self) -> int:
        """A deposit, if there is something to pay as one."""
        if not self.stages or not self.stages[0].prices:
            return self.unpaid
        prices = self.stages[0].prices
        deposit = sum(self.ask.lines[n - 1].units * prices[n] for n in prices)
        return min(self.unpaid, deposit) if deposit else self.unpaid

    @property
    def told(self) -> list[list[list[object]]]:
        """What a reply says of the stages, at its end."""
        if not self.stages or self.state != "P":
            return []
        amounts = [self.due_now, self.unpaid - self.due_now]
        asked = zip(self.stages, amounts, strict=False)
        return [[[one.name, amount, one.pay_by] for one, amount in asked if amount]]

    def sell_on_deposit(self, balance_by: int, deposits: dict[int, int]) -> None:
        """Ask for `deposits` a unit of these lines first, unless that would be all of it."""
        if not deposits or not self.pay_by or balance_by <= self.pay_by:
            return
        grace = self.until - self.pay_by
        self.pay_first(deposits, Stage("balance", balance_by, balance_by + grace, {}))

    def split_stages(self, source: "Hold") -> None:
        """What was agreed for the source, unless that is all of it now."""
        first, *later = source.stages or [Stage("", 0, 0, {})]
        agreed = {source.ask.lines[n - 1].sku: price for n, price in first.prices.items()}
        lines = enumerate(self.ask.lines, 1)
        deposits = {n: agreed[line.sku] for n, line in lines if line.sku in agreed}
        if deposits:
            self.pay_first(deposits, replace(later[0]))

    def pay_first(self, deposits: dict[int, int], balance: Stage) -> None:
        self.stages = [Stage("deposit", self.pay_by, self.until, deposits), balance]
        if self.due_now == self.total:
            self.stages = []

    def moved(self, length: int) -> None:
        """Of the stages' deadlines the first is the hold's; none that follows ends before it."""
        for n, stage in enumerate(self.stages):
            if n == 0:
                stage.pay_by, stage.until = self.pay_by, self.until
            elif stage.until < self.until:
                stage.pay_by, stage.until = stage.pay_by + length, stage.until + length

    def deposited(self, amount: int) -> None:
        self.paid += amount
        _, following = self.stages
        self.stages = [following]
        self.pay_by, self.until, self.warned = following.pay_by, following.until, False
        self.due = self.pay_by
