"""Decide orders: a pure function of (plan, snapshot, orders, instant).

The stage is the first whose condition holds; its rules are tried in order, and what one leaves
goes on to the next as its `on_unfilled` says. Orders of a batch are decided by stage, then by the
stage's `order_by`, and each sees what those before it took (rules/taking.py); the snapshot is not
changed. **A sum never differs from what was asked**: for every line, what parts have and what is
left is what was asked for, and this is checked for every decision.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from engine.carriers.types.services import Parcel
from engine.routing.rules import candidates, dividing, needs, parcels, scoring
from engine.routing.rules.carriage import bands, minute
from engine.routing.rules.needs import Asked, Wanted
from engine.routing.rules.parcels import NO_CARRIER, Desk, Placed
from engine.routing.rules.taking import Taken
from engine.routing.types.core import (
    PASSING,
    SHIP_WITH,
    Carriage,
    CompiledPlan,
    Decision,
    Moment,
    Order,
    Part,
    Reach,
    Snapshot,
    SourcingRule,
    Stage,
    Trace,
    Tried,
    Unfilled,
)
from engine.routing.types.queue import WAIT_FOR_STOCK

Atom = tuple[int, int]
_NEVER: Final = 1 << 62
_MEMO_MAX: Final = 200_000
_HOUR_MS: Final = 3_600_000
_AGAIN_MS: Final = 600_000  # after which that is decided again which no stock that comes would end
_FIELDS: Final[dict[str, Callable[[Order], Any]]] = {
    "promise_by": lambda order: order.deliver_by or _NEVER,
    "deliver_by": lambda order: order.deliver_by or _NEVER,
    "ship_by": lambda order: order.ship_by or _NEVER,
    "paid_at": lambda order: order.paid_at,
    "priority": lambda order: order.priority,
    "hops": lambda order: order.hops,
    "value": lambda order: sum(line.value for line in order.lines),
    "units": lambda order: sum(line.units for line in order.lines),
    "order_id": lambda order: order.order_id,
}
ORDER_BY: Final = frozenset(_FIELDS)


def decide(
    plan: CompiledPlan, snap: Snapshot, orders: Sequence[Order], now_ms: int, carriage: Carriage
) -> list[Decision]:
    """Return a decision for each order, in the order in which they were decided."""
    batch = _Batch(plan, snap, now_ms, carriage)
    turns, waiting = _turns(plan, orders, now_ms)
    return [batch.decide(*turn) for turn in turns] + waiting


def _turns(
    plan: CompiledPlan, orders: Sequence[Order], now_ms: int
) -> tuple[list[tuple[Order, int, int]], list[Decision]]:
    """Return (order, conditions, stage) as they are to be decided, and those over a stage's most.

    The stage is -1 where none takes the order.
    """
    by_stage: list[list[tuple[Order, int]]] = [[] for _ in range(len(plan.stages) + 1)]
    for order in orders:
        holds = plan.judge(order.facts)
        for no, stage in enumerate(plan.stages):
            if not stage.bit or holds & stage.bit:
                by_stage[no].append((order, holds))
                break
        else:
            by_stage[-1].append((order, holds))
    turns = [(order, holds, -1) for order, holds in by_stage.pop()]
    waiting: list[Decision] = []
    for no, (stage, asked) in enumerate(zip(plan.stages, by_stage, strict=True)):
        for field, descending in reversed(stage.order_by):
            value = _FIELDS[field]
            asked.sort(key=lambda one, v=value: v(one[0]), reverse=descending)  # type: ignore[misc]
        most = stage.max_orders or len(asked)
        turns += [(order, holds, no) for order, holds in asked[:most]]
        over = [_parked(order, "NEW", "max_orders", stage.seq) for order, _ in asked[most:]]
        waiting += [one._replace(until=now_ms) for one in over]  # with the next batch
    return turns, waiting


def _parked(order: Order, queue: str, reason: str, stage: int = 0) -> Decision:
    rest = tuple([(index, line.units) for index, line in enumerate(order.lines)])
    trace = Trace((), (), (), bounded=False, carriers=())
    return Decision(order.order_id, "parked", (), rest, queue, reason, 0, stage, 0, trace)


class _Ask:
    """One order while it is decided."""

    __slots__ = (
        "asked", "bounded", "demand", "memo", "never", "order", "parts", "placed_by", "reach",
        "scores", "tried", "until", "wanted", "whole", "why",
    )  # fmt: skip

    def __init__(
        self, order: Order, demand: tuple[Atom, ...], whole: Parcel,
        reach: tuple[Reach, dict[Hashable, Any]],
    ) -> None:  # fmt: skip
        self.order, self.whole = order, whole
        self.reach, self.memo = reach
        self.asked = self.demand = demand
        self.parts: list[Part] = []
        self.tried: list[Tried] = []
        # of the present demand, by margin and by tags that go apart
        self.wanted: dict[tuple[int, frozenset[str]], Wanted] = {}
        self.never = False  # whether something goes together that can never
        self.scores: tuple[tuple[int, tuple[int, ...]], ...] = ()
        self.bounded = False
        self.placed_by = 0
        self.until = 0
        self.why = "no_rule"


class _Batch:
    """What is the same for all orders of one call, and what they took so far."""

    def __init__(self, plan: CompiledPlan, snap: Snapshot, now_ms: int, carriage: Carriage) -> None:
        self._plan, self._snap, self._now, self._carriage = plan, snap, now_ms, carriage
        self._taken = Taken(snap)
        self._memo = _memo(plan, snap, now_ms, carriage)

    def decide(self, order: Order, holds: int, number: int) -> Decision:
        """Decide one order, and take what its parts use."""
        if order.hops > self._plan.max_hops:
            return _parked(order, "MANUAL", "too_many_hops")
        if number < 0 or not order.lines:
            return _parked(order, "MANUAL", "no_stage" if order.lines else "no_lines")
        stage = self._plan.stages[number]
        if order.mode == "pickup" and not _one_store(order):
            return _parked(order, "MANUAL", "no_store", stage.seq)
        ask = self._ask(order)
        end = Unfilled()
        for no, rule in enumerate(stage.rules):
            if rule.bit and not holds & rule.bit:
                continue
            self._try(ask, stage, (number, no), rule)
            if not ask.demand:
                break
            end = rule.on_unfilled
            if end.do != "NEXT_RULE":
                break
        return self._decision(ask, stage, end)

    def _ask(self, order: Order) -> _Ask:
        demand = tuple([(index, line.units) for index, line in enumerate(order.lines)])
        whole = parcels.every(order)
        kind = (order.region, order.mode, self._carriage.kind(order, whole))
        reach = self._memo.get(kind)
        if reach is None:
            told = self._carriage.reach(order, whole, Moment(self._snap, self._now, self._memo))
            reach = self._memo[kind] = (told, {})
        return _Ask(order, demand, whole, reach)

    def _try(self, ask: _Ask, stage: Stage, at: tuple[int, int], rule: SourcingRule) -> None:
        """Try one rule on what is still asked for."""
        desk = self._desk(ask, at, rule)
        wanted = ask.wanted.get((desk.margin, desk.tags))
        if wanted is None:
            whole = ask.demand is ask.asked
            asked = Asked(
                ask.order, self._snap, self._taken, self._now, whole, desk.margin, desk.tags
            )
            wanted = ask.wanted[desk.margin, desk.tags] = needs.wanted(asked, ask.demand)
        desk.repeated = wanted.repeated
        cand, verdicts = self._candidates(ask, at, rule)
        if wanted.tied:
            ask.never = wanted.never
            useless = wanted.useless(cand, partial=rule.split.allow_partial_line)
            verdicts = (*verdicts, (SHIP_WITH, cand & ~useless))
        placed = Placed((), why="no_candidate")
        if cand:
            order = ask.order
            found = scoring.metrics(rule, order, ask.reach, self._snap, self._taken, ask.memo)
            placed = dividing.place(desk, wanted, cand, found, ask.demand)
        ask.tried.append(
            Tried(stage.seq, rule.seq, verdicts, placed.cover, placed.scores, placed.why)
        )
        ask.bounded |= placed.bounded
        if placed.why:
            ask.why, ask.until = placed.why, placed.until
        if placed.parts:
            self._take(ask, placed, rule)

    def _desk(self, ask: _Ask, at: tuple[int, int], rule: SourcingRule) -> Desk:
        taken = self._taken
        moment = Moment(self._snap, self._now, self._memo, taken.services, taken.sent)
        desk = Desk(ask.order, rule, ask.reach, self._carriage, moment, self._taken)
        fixed = self._memo.get(at)
        if fixed is None:
            soft = any(not one.hard for one in rule.constraints)
            tags = parcels.separated(rule.constraints)
            fixed = self._memo[at] = (parcels.margin(rule), tags, soft)
        desk.margin, desk.tags, desk.soft = fixed
        desk.designated = bool(ask.whole.service)
        desk.before = len(ask.parts)
        if ask.demand is ask.asked:
            desk.know(ask.demand, ask.whole)
        return desk

    def _candidates(
        self, ask: _Ask, at: tuple[int, int], rule: SourcingRule
    ) -> tuple[int, tuple[Atom, ...]]:
        """Return the nodes that this rule may use, and what each step left."""
        order = ask.order
        key: Hashable = at if order.lat is None else (at, order.lat, order.lon)
        kept = ask.memo.get(key)
        if kept is None:
            standing = candidates.standing(rule, order, self._snap)
            kept = ask.memo[key] = candidates.reached(rule, order, ask.reach, standing)
        left, verdicts = kept
        for number, mask in candidates.moving(rule, order, ask.reach, self._snap, self._taken):
            left &= mask
            verdicts = (*verdicts, (number, left))
        return left, verdicts

    def _take(self, ask: _Ask, placed: Placed, rule: SourcingRule) -> None:
        skus = [line.sku for line in ask.order.lines]
        if len(placed.parts) == 1 and placed.parts[0].atoms == ask.demand:
            self._taken.take(self._snap, placed.parts[0], skus)
            ask.parts += placed.parts
            ask.demand = ()
            ask.scores, ask.placed_by = placed.scores, rule.seq
            return
        gone: list[tuple[int, int, int]] = []
        for part in placed.parts:
            self._taken.take(self._snap, part, skus)
            gone += [(part.node, index, units) for index, units in part.atoms]
        ask.parts += placed.parts
        ask.demand = tuple(dividing.without(ask.demand, gone))
        ask.wanted.clear()
        ask.scores, ask.placed_by = placed.scores, rule.seq

    def _decision(self, ask: _Ask, stage: Stage, end: Unfilled) -> Decision:
        order = ask.order
        if ask.demand or len(ask.parts) != 1 or ask.parts[0].atoms != ask.asked:
            _check(order, ask.parts, ask.demand)
        runner_up, margin = _second(ask.scores)
        trace = Trace(tuple(ask.tried), runner_up, margin, ask.bounded, ask.reach.why)
        queue, reason, until = "", "", 0
        rule = ask.placed_by
        if ask.demand:
            queue, reason, until = self._ended(ask, end)
            rule = rule or (ask.tried[-1].rule if ask.tried else 0)
        return Decision(
            order.order_id, "routed" if ask.parts else "parked", tuple(ask.parts),
            ask.demand, queue, reason, until, stage.seq, rule, trace,
            self._cancel_at(end) if ask.demand else 0,
        )  # fmt: skip

    def _cancel_at(self, end: Unfilled) -> int:
        if end.do == "AUTO_CANCEL":
            return self._now + end.hours * _HOUR_MS
        return -1 if end.do == "CLEAR_AUTO_CANCEL" else 0

    def _ended(self, ask: _Ask, end: Unfilled) -> tuple[str, str, int]:
        """Return queue, reason and end of what is left."""
        if by_hand := self._by_hand(ask):
            return "MANUAL", by_hand, 0
        hours = 0 if end.do == "AUTO_CANCEL" else end.hours
        until = ask.until or (self._now + hours * _HOUR_MS if hours else 0)
        if end.queue in WAIT_FOR_STOCK and (why := self._passing(ask)):
            return end.queue, why, min(until or _NEVER, self._now + _AGAIN_MS)
        if end.do == "BACKORDER":
            return "BACKORDER", end.reason or "supply", until
        if end.do in {"AUTO_CANCEL", "CLEAR_AUTO_CANCEL"}:
            return end.queue, end.reason or end.do.lower(), until
        queue = "MANUAL" if end.do == "MANUAL_REVIEW" else end.queue
        return queue, end.reason or ask.why, until

    def _by_hand(self, ask: _Ask) -> str:
        """Return why a person has to look at what is left, "" if nobody has to."""
        if ask.order.mode == "instant":
            return "no_instant"
        if ask.never:
            return parcels.SHIP_WITH
        if any(ask.order.lines[index].node for index, _ in ask.demand):
            return "designated_node"
        return "group_mismatch" if self._elsewhere(ask) else ""

    def _passing(self, ask: _Ask) -> str:
        """Return what keeps the nodes that have it from sending it, "" if that does not pass.

        Of the rules that were tried the last one counts whose nodes fell to something that does.
        """
        has = self._has(ask)
        for one in reversed(ask.tried):
            for mask in has:
                fell = next((number for number, left in one.verdicts if not left & mask), -1)
                if fell in PASSING:
                    return PASSING[fell]
        return NO_CARRIER if has and ask.why == NO_CARRIER else ""

    def _has(self, ask: _Ask) -> list[int]:
        """Return the nodes that have some of each line that is left, none if one is lacking.

        Of what was never counted every node has enough.
        """
        found = []
        for index, units in ask.demand:
            line = ask.order.lines[index]
            stock = self._taken.stock(self._snap, line.sku)
            group = self._snap.groups.get(line.group, 0)
            if stock is not None:
                group &= stock.mask
                if sum([stock.units[no] for no in candidates.bits(group)]) < units:
                    return []
            found.append(group)
        return found

    def _elsewhere(self, ask: _Ask) -> bool:
        """Tell whether what is left lies in another group of nodes, and none of it in its own.

        Sent from there it would be sold twice, so that a person has to move it.
        """
        for index, units in ask.demand:
            line = ask.order.lines[index]
            stock = self._taken.stock(self._snap, line.sku)
            group = self._snap.groups.get(line.group, 0)
            if stock is not None and not stock.mask & group and stock.mask:
                return max(stock.units) >= units
        return False


def _memo(
    plan: CompiledPlan, snap: Snapshot, now_ms: int, carriage: Carriage
) -> dict[Hashable, Any]:
    """Return what was worked out before of the same nodes, cards, plan, load and minute."""
    now = (
        snap.nodes, snap.services, snap.cards, snap.off, snap.metrics, snap.groups, snap.regions,
        carriage,
    )  # fmt: skip
    moment = (minute(now_ms), bands(snap))
    kept = plan.memo.get("of")
    if (
        kept is None
        or kept[1] != moment
        or len(plan.memo["found"]) > _MEMO_MAX
        or any(a is not b for a, b in zip(kept[0], now, strict=True))
    ):
        plan.memo["of"] = (now, moment)
        plan.memo["found"] = {}
    found: dict[Hashable, Any] = plan.memo["found"]
    return found


def _one_store(order: Order) -> bool:
    return len({line.node for line in order.lines} - {""}) == 1 and all(
        line.node for line in order.lines
    )


def _second(
    scores: tuple[tuple[int, tuple[int, ...]], ...],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if len(scores) < 2:  # noqa: PLR2004
        return (), ()
    (_, best), (nodes, second) = scores[:2]
    return tuple(candidates.bits(nodes)), tuple([b - a for a, b in zip(best, second, strict=True)])


def _check(order: Order, parts: Sequence[Part], rest: Sequence[Atom]) -> None:
    """Hold that no unit is placed twice, and none forgotten."""
    left = [line.units for line in order.lines]
    for part in parts:
        for index, units in part.atoms:
            assert units > 0, "a part without units"
            left[index] -= units
    for index, units in rest:
        assert units > 0, "more was placed than was asked"
        left[index] -= units
    assert not any(left), f"{order.order_id}: what was decided is not what was asked"
