"""Plans and worlds from documents, as the tables of cases write them.

Conditions are read as Python, which the small part of CEL that the tables use is once `&&`, `||`
and `!` are replaced.
"""

import re

from engine.routing.types.core import (
    CompiledPlan,
    Constraint,
    NodeFilter,
    Scorer,
    Service,
    SourcingRule,
    Split,
    Stage,
    Unfilled,
)
from tests.unit.routing.world import NOW, Carriers, Lane, line, node, order, snapshot

FACTS = (
    "channel", "campaign", "order_kind", "tier", "priority", "total", "units", "lines", "grams",
    "cm3", "region", "province", "tags", "buyer_tier", "cod", "insured", "fulfil_mode", "hour",
    "weekday", "has_note", "remote", "skus", "categories", "brands", "owner", "hops",
)  # fmt: skip
DEFAULTS = {
    "channel": "shop", "campaign": "", "order_kind": "JYCK", "tier": "", "priority": 0,
    "buyer_tier": "", "cod": 0, "insured": 0, "fulfil_mode": "ship", "hour": 12, "weekday": 1,
    "has_note": False, "remote": False, "categories": [], "brands": [], "owner": "", "hops": 0,
}  # fmt: skip


def condition(text):
    python = text.replace("&&", " and ").replace("||", " or ")
    python = re.sub(r"!(?!=)", " not ", python)
    return compile(python, "condition", "eval")


def compiled(document):
    """A CompiledPlan of a plan document."""
    conditions = []

    def bit(text):
        if not text:
            return 0
        conditions.append(condition(text))
        return 1 << len(conditions) - 1

    stages = []
    for stage in document["stages"]:
        found = bit(stage.get("match"))
        rules = tuple(a_rule(one, bit) for one in stage["rules"])
        by = tuple(
            (f, way == "desc") for one in stage.get("order_by", ()) for f, way in one.items()
        )
        stages.append(Stage(stage["seq"], found, by, stage.get("max_orders", 0), rules))

    def judge(facts):
        names = dict(zip(FACTS, facts, strict=True))
        return sum(1 << n for n, code in enumerate(conditions) if eval(code, {}, names))  # noqa: S307

    return CompiledPlan(document["plan"], 1, judge, tuple(stages), document.get("max_hops", 3), {})


def a_rule(one, bit):
    where = one.get("node_when")
    split = dict(one.get("split", {}))
    split["keep_together"] = tuple(split.get("keep_together", ()))
    return SourcingRule(
        one["seq"], one.get("name", ""), bit(one.get("when")), one["assignment"],
        tuple(NodeFilter(**each) for each in one.get("filters", ())),
        where and node_condition(condition(where)),
        one.get("score_mode", "LEXICOGRAPHIC") == "WEIGHTED",
        tuple(Scorer(**each) for each in one.get("scorers", ())),
        tuple(Constraint(**each) for each in one.get("constraints", ())),
        Split(**split), Unfilled(**one.get("on_unfilled", {})),
    )  # fmt: skip


def node_condition(code):
    def holds(one):
        names = {
            "node": one.node, "kind": one.kind, "group": one.group, "region": one.region,
            "tags": one.tags, "sequence": one.sequence,
        }  # fmt: skip
        return bool(eval(code, {}, names))  # noqa: S307

    return holds


class World:
    """Nodes, stock, carriers of a case; what is not said is one service, a day, 5 yuan."""

    def __init__(self, told):
        self.names = list(told["nodes"])
        nodes = []
        for name in self.names:
            fields = dict(told["nodes"][name] or {})
            for field in ("tags", "modes"):
                if field in fields:
                    fields[field] = frozenset(fields[field])
            nodes.append(node(name, **fields))
        services = tuple(
            Service(
                name, **{k: frozenset(v) if k == "tags_not" else v for k, v in (f or {}).items()}
            )
            for name, f in told.get("services", {"S0": {}}).items()
        )
        numbers = {one.service: no for no, one in enumerate(services)}
        lanes = []
        for name in self.names:
            found = (told.get("lanes") or {}).get(name, [{}])
            found = found if isinstance(found, list) else [found]
            lanes.append(
                [
                    Lane(**{**one, "service": numbers[one.get("service", services[0].service)]})
                    for one in found
                ]
            )
        self.carriers = Carriers(
            lanes, closed=self.mask(told.get("closed", ())), late=self.mask(told.get("late", ()))
        )
        capacity = {
            (scope, name, 0, dimension): (used, limit)
            for scope, name, dimension, used, limit in told.get("capacity", ())
        }
        stock = {
            sku: [(by or {}).get(name, 0) for name in self.names]
            for sku, by in told.get("stock", {}).items()
        }
        self.snap = snapshot(
            nodes, stock, capacity=capacity, services=services,
            off={tuple(one) for one in told.get("switched_off", ())},
            load=tuple((told.get("load") or {}).get(name, 0) for name in self.names),
            metrics={
                metric: tuple(by.get(name, 0) for name in self.names)
                for metric, by in (told.get("metrics") or {}).items()
            },
        )  # fmt: skip
        for sku, by in (told.get("usable") or {}).items():
            self.snap.stock[sku].usable = [by.get(name, 0) for name in self.names]

    def mask(self, names):
        return sum(1 << self.names.index(name) for name in names)


def an_order(told, number=1):
    """An order of a document: lines are `{sku: units}`, or a list with all that is to be said."""
    told = dict(told)
    lines = told.pop("lines")
    if isinstance(lines, dict):
        lines = [{"sku": sku, "units": units} for sku, units in lines.items()]
    found = []
    for no, one in enumerate(lines, 1):
        fields = {"value": 1_000 * one.get("units", 1), "grams": 500 * one.get("units", 1)} | one
        fields["tags"] = frozenset(fields.get("tags", ()))
        fields["together"] = fields.pop("ship_with", "")
        found.append(line(fields.pop("line_no", no), fields.pop("sku"), **fields))
    facts = DEFAULTS | told.pop("facts", {})
    facts |= {
        "total": sum(one.value for one in found), "units": sum(one.units for one in found),
        "lines": len(found), "grams": sum(one.grams for one in found), "cm3": 0,
        "region": told.get("region", "310000"), "province": told.get("region", "310000")[:2],
        "tags": sorted({tag for one in found for tag in one.tags}),
        "skus": [one.sku for one in found], "hops": told.get("hops", 0),
    }  # fmt: skip
    for name in ("allow", "deny"):
        if name in told:
            told[name] = frozenset(told[name])
    for name in ("paid_at", "ship_by", "deliver_by"):  # minutes from now
        if name in told:
            told[name] = NOW + told[name] * 60_000
    told["excluded"] = tuple(
        (line_no, name, NOW + minutes * 60_000)
        for line_no, name, minutes in told.pop("excluded", ())
    )
    return order(
        found, told.pop("order_id", f"o{number}"),
        facts=tuple(facts[name] for name in FACTS), **told,
    )  # fmt: skip
