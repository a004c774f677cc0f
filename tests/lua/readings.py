"""One hold three ways: as it is stored, as the model has it, and as the log tells it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.lua import builders
from tests.lua.builders import SEP
from tests.lua.model import Hold, Limit, Stage

LIMITS = {
    "d11": [Limit("campaign", 8, "units"), Limit("sku", 3, "orders")],
    "pre": [Limit("campaign", 4, "orders"), Limit("sku", 7, "units")],
}


def seen(packed: list[Any]) -> list[Any]:
    """A stored hold, as far as the model has it."""
    b = builders
    return [
        packed[b.STATE], packed[b.ATTEMPT], packed[b.TOTAL], packed[b.PAY_BY], packed[b.UNTIL],
        [one[:3] for one in packed[b.LINES]], packed[b.DRAWS],
        {payment_id: (outcome, paid) for payment_id, outcome, paid in packed[b.PAYMENTS]},
        packed[b.CANCELS], bool(packed[b.WARNED]),
        (packed[b.STAGES:b.PAID] or [[]])[0] or [], (packed[b.PAID:] or [0])[0] or 0,
        (packed[b.SEEN:] or ["", 0, [], [], []])[:5],
    ]  # fmt: skip


def told(hold: Hold) -> list[Any]:
    cancels = [one for one in hold.cancels if one != "returned"]
    return [
        hold.state, hold.attempt, hold.total, hold.pay_by, hold.until,
        [[one.sku, one.units, one.payable] for one in hold.ask.lines],
        [[draw.line, draw.pool, draw.units] for draw in hold.draws], hold.payments,
        cancels, hold.warned, [packed_stage(one) for one in hold.stages], hold.paid,
        [hold.version, hold.progress, hold.names, hold.shorts, hold.unmapped],
    ]  # fmt: skip


def counted(hold: Hold) -> Iterator[tuple[str, int]]:
    """The fields of `counters` that one hold stands behind, each with its own units."""
    ask = hold.ask
    total: Counter[str] = Counter()
    for draw in hold.draws:
        if draw.capped and not hold.version:
            total[SEP.join(("c", draw.pool, ask.channel))] += draw.units
    total.update({SEP.join(("c", pool, ask.channel)): n for pool, n in hold.caps.items()})
    gate = not hold.version
    for line in ask.lines if gate else ():
        if line.sku == "A":
            total[SEP.join(("b", "main", ask.campaign, "A", ask.buyer))] += line.units
    for limit in LIMITS.get(ask.campaign, []) if gate else ():
        field = ("l", "main", ask.campaign, limit.scope, "buyer_id", limit.counts, ask.buyer)
        skus = hold.counted_skus if limit.counts == "orders" else {one.sku for one in ask.lines}
        for sku in skus:
            units = sum(one.units for one in ask.lines if one.sku == sku)
            name = SEP.join((*field, sku) if limit.scope == "sku" else field)
            total[name] += units if limit.counts == "units" else 1
        if (limit.scope, limit.counts) == ("campaign", "orders"):
            total[SEP.join(field)] = 1
    yield from total.items()


def packed_stage(stage: Stage) -> list[Any]:
    prices = [[n, price] for n, price in stage.prices.items()]
    return [stage.name, stage.pay_by, stage.until, prices]


class LogReader:
    """What a reader of the log takes an order for, as the recorder folds it."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def of(self, order_id: str) -> list[Any]:
        fields = ("state", "pay_by", "until", "paid", "draws", "stages")
        return [self.found[order_id][name] for name in fields]

    def read(self, events: list[list[Any]]) -> None:
        for kind, order_id, _, _, *rest in events:
            if reader := getattr(self, f"on_{kind}", None):
                reader(order_id, rest)

    def on_R(self, order_id: str, rest: list[Any]) -> None:  # noqa: N802 - the event's letter
        _, state, pay_by, until, draws = rest[:5]
        self.found[order_id] = {
            "state": state, "pay_by": pay_by, "until": until, "draws": draws, "paid": 0,
            "stages": (rest[22:] or [[]])[0] or [],
        }  # fmt: skip
        if replaced := rest[20]:
            assert self.found[replaced]["paid"] == 0
            self.found[replaced] |= {"state": "R", "draws": [], "stages": []}

    def on_X(self, order_id: str, rest: list[Any]) -> None:  # noqa: N802
        made, state, pay_by, until, _, _, draws = rest[:7]
        assert made or order_id in self.found
        self.found[order_id] = {
            "state": state, "pay_by": pay_by, "until": until, "draws": draws, "paid": 0,
            "stages": [],
        }  # fmt: skip

    def on_A(self, order_id: str, rest: list[Any]) -> None:  # noqa: N802
        paid, pay_by, until, stages = rest
        self.found[order_id]["paid"] += paid[1]
        self.found[order_id] |= {"pay_by": pay_by, "until": until, "stages": stages}

    def on_H(self, order_id: str, rest: list[Any]) -> None:  # noqa: N802
        paid, _, draws, _, state, *later = rest
        self.found[order_id] |= {"state": state, "draws": draws}
        if state == "P":
            self.on_A(order_id, [paid, *later])
        else:
            self.on_C(order_id, rest)

    def on_C(self, order_id: str, _rest: list[Any]) -> None:  # noqa: N802
        self.found[order_id] |= {"state": "C", "paid": 0, "stages": []}

    def on_L(self, order_id: str, rest: list[Any]) -> None:  # noqa: N802
        state, _, draws, paid = rest[5:]
        told = self.found[order_id]["state"] == "E"  # by `expire`
        assert paid == (0 if told else self.found[order_id]["paid"])
        self.found[order_id] |= {"state": state, "draws": draws}
        if state == "R":
            self.found[order_id]["stages"] = []

    def on_E(self, order_id: str, rest: list[Any]) -> None:  # noqa: N802
        assert rest == [self.found[order_id]["paid"]]
        self.found[order_id] |= {"state": "E", "draws": [], "stages": []}

    def on_D(self, order_id: str, rest: list[Any]) -> None:  # noqa: N802
        pay_by, until, *stages = rest
        self.found[order_id] |= {"pay_by": pay_by, "until": until}
        if stages:
            self.found[order_id]["stages"] = stages[0]
