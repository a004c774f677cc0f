"""What is wrong with a plan is told at once, by line and column."""

import json
import re
import textwrap
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import yaml

from engine.kernel.expressions.schemas import NODE_SCHEMA, ORDER_SCHEMA
from engine.routing.rules.compiling import (
    CONSTRAINTS,
    FIELDS,
    METRICS,
    compile_plan,
    measured,
    parse,
)
from engine.routing.rules.deciding import ORDER_BY
from engine.routing.types.core import Assignment, Do, Node
from engine.routing.types.plans import Operator, PlanFault, SplitFields

PLANS = Path(__file__).parents[3] / "plans"

GOOD = """\
plan: double-eleven
max_hops: 2
stages:
  - seq: 20
    rules:
      - {seq: 1, scorers: [{metric: distance}, {metric: sales_velocity, direction: max}]}
  - seq: 10
    match: campaign == 'd11' &&
      total > 10000
    order_by: [{ship_by: asc}, {priority: desc}]
    max_orders: 100
    rules:
      - seq: 2
        name: anywhere
        when: |
          !remote
            && !('PRESELL' in tags)
        filters: [{field: distance_km, op: between, value: [0, 500]}]
        score_mode: WEIGHTED
        scorers: [{metric: total_cost, weight: 3, normalise: rank}]
        constraints: [{kind: max_cost, params: {amount: 3000}, hard: false, penalty: 500}]
        split: {max_parcels: 2, keep_together: [GIFT]}
        on_unfilled: {do: PARK, queue: MANUAL, reason: too_dear}
      - seq: 1
        node_when: kind == 'DC' && 'COLD' in tags
        filters: [{field: node_group, op: in, value: [east, south]}, {field: calendar_open}]
"""


def compiled(text):
    return compile_plan(*parse(textwrap.dedent(text)))


def faults(text):
    with pytest.raises(PlanFault) as refused:
        compiled(text)
    return [(one.pointer, *one.place, one.detail) for one in refused.value.faults]


def test_a_plan_decides_as_it_was_written():
    plan = compiled(GOOD).plan
    assert (plan.plan, plan.max_hops) == ("double-eleven", 2)
    first, last = plan.stages
    assert [first.seq, last.seq] == [10, 20]
    assert [rule.seq for rule in first.rules] == [1, 2]
    assert first.order_by == (("ship_by", False), ("priority", True))
    assert first.max_orders == 100
    assert last.bit == 0
    there, anywhere = first.rules
    assert there.bit == 0
    assert there.node_when(Node("n", 0, "DC", tags=frozenset({"COLD"})))
    assert not there.node_when(Node("n", 0, "DC"))
    assert not there.node_when(Node("n", 0, "STORE", tags=frozenset({"COLD"})))
    assert [tuple(one) for one in there.filters] == [
        ("node_group", "in", ["east", "south"]),
        ("calendar_open", "eq", True),
    ]
    assert anywhere.weighted
    assert anywhere.scorers[0] == ("total_cost", 3, "rank", "min")
    assert anywhere.constraints[0] == ("max_cost", {"amount": 3000}, False, 500)
    assert (anywhere.split.max_parcels, anywhere.split.keep_together) == (2, ("GIFT",))
    assert anywhere.on_unfilled == ("PARK", "MANUAL", "too_dear", 0)
    held = plan.judge(ORDER_SCHEMA.facts({"campaign": "d11", "total": 10_001}))
    assert held & first.bit
    assert held & anywhere.bit
    held = plan.judge(ORDER_SCHEMA.facts({"campaign": "d11", "total": 10_000, "remote": True}))
    assert not held & (first.bit | anywhere.bit)
    assert measured(plan) == {"sales_velocity"}


def test_json_is_the_same_plan():
    again = compile_plan(*parse(json.dumps(yaml.safe_load(GOOD)))).plan
    first = compiled(GOOD).plan
    assert [stage.seq for stage in again.stages] == [stage.seq for stage in first.stages]
    assert again.stages[0].rules[1].split == first.stages[0].rules[1].split


def test_every_fault_of_a_plan_is_told_at_once_with_its_place():
    assert faults(
        """\
        plan: main
        stages:
          - seq: 10
            match: chanel == 'a' &&
              total > 'x'
            order_by: [{ship_by: asc}, {total: desc}]
            rules:
              - seq: 1
                when: |
                  remote &&
                    totl > 2
                node_when: total > 1
                filters:
                  - {field: node_typ, value: DC}
                  - {field: node_type, op: lt, value: DC}
                  - {field: region, op: in, value: [440305]}
                  - {field: distance_km, op: between, value: [5, 1]}
                  - {field: distance_km, op: le, value: "300"}
                  - {field: calendar_open, value: "yes"}
                  - {field: same_region, value: 3}
                scorers: [{metric: distanc}]
                constraints:
                  - {kind: max_price}
                  - {kind: max_cost, params: {amout: 3}}
              - seq: 1
          - seq: 10
            rules: [{seq: 1}]
        """
    ) == [
        ("/stages/0/match", 4, 12, "there is no field or function chanel: is it channel?"),
        ("/stages/0/match", 5, 13, "> is not for (int, string)"),
        ("/stages/0/order_by/1", 6, 32, _said("is one field and asc or desc; fields: deliver_by")),
        ("/stages/0/rules/0/when", 11, 13, _said("no field or function totl: is it total?")),
        ("/stages/0/rules/0/node_when", 12, 20, _said("no field or function total; fields are no")),
        ("/stages/0/rules/0/filters/0/field", 14, 14, _said("is no field of a node; fields: ")),
        ("/stages/0/rules/0/filters/1/op", 15, 32, _said("node_type is asked by eq, in, is_null")),
        ("/stages/0/rules/0/filters/2/value", 16, 37, _said("a list of texts, in quotes if")),
        ("/stages/0/rules/0/filters/3/value", 17, 47, _said("must be [least, greatest]")),
        ("/stages/0/rules/0/filters/4/value", 18, 42, _said("must be a whole number")),
        ("/stages/0/rules/0/filters/5/value", 19, 36, _said("must be true or false")),
        ("/stages/0/rules/0/filters/6/value", 20, 34, _said("2 (a province), 4 (a city) or 6")),
        ("/stages/0/rules/0/scorers/0/metric", 21, 20, _said("is no metric; metrics are broken_")),
        ("/stages/0/rules/0/constraints/0/kind", 23, 14, _said("no kind of constraint; kinds are")),
        ("/stages/0/rules/0/constraints/1/params/amount", 24, 30, _said("max_cost needs amount")),
        ("/stages/0/rules/0/constraints/1/params/amout", 24, 39, "is not a field here"),
        ("/stages/0/rules/1/seq", 25, 9, "1 is given twice"),
        ("/stages/1/seq", 26, 5, "10 is given twice"),
    ]  # fmt: skip


def _said(part):
    """Equal to any text that has a part."""

    class Said(str):
        __slots__ = ()

        def __eq__(self, other):
            return part in other

        __hash__ = str.__hash__

    return Said(part)


@pytest.mark.parametrize(
    ("text", "pointer", "line", "column", "told"),
    [
        ("plan: a\nstages: []", "/stages", 2, 1, "length >= 1"),
        ("plan: a", "/stages", 1, 1, "is required"),
        ("plan: a\nstages:\n- rules: [{seq: 1}]", "/stages/0/seq", 3, 3, "is required"),
        ("plan: 7\nstages: []", "/plan", 1, 1, "str"),
        ("plan: a\nstages: []\nmax_hop: 3", "/stages", 2, 1, "length"),
        ("plan: a\nmax_hop: 3\nstages: [{seq: 1, rules: [{seq: 1}]}]", "/max_hop", 2, 1, "field"),
        ("plan: a\nmax_hops: 11\nstages: [{seq: 1, rules: [{seq: 1}]}]", "/max_hops", 2, 1, "10"),
        (
            "plan: a\nstages:\n - seq: 1\n   rules:\n   - seq: 1\n     assignment: ANY",
            "/stages/0/rules/0/assignment", 6, 6, "enum",
        ),
        ("- 1", "", 1, 1, "object"),
        ("", "", 1, 1, "object"),
        ("plan: [", "", 1, 8, "expected"),
    ],
)  # fmt: skip
def test_a_plan_of_another_shape_is_refused_where_it_differs(text, pointer, line, column, told):
    ((found, *place, detail),) = faults(text)
    assert (found, *place) == (pointer, line, column)
    assert told in detail


def test_a_plan_may_name_metrics_of_its_own():
    text = """\
        plan: main
        metrics: [vip_rank]
        stages:
          - seq: 1
            rules:
              - seq: 1
                filters: [{field: vip_rank, op: gt, value: 3}]
                scorers: [{metric: vip_rank, direction: max}, {metric: distance}]
        """
    assert measured(compiled(text).plan) == {"vip_rank"}
    assert [one[0] for one in faults(text.replace("metrics: [vip_rank]", "metrics: []"))] == [
        "/stages/0/rules/0/filters/0/field",
        "/stages/0/rules/0/scorers/0/metric",
    ]


def test_what_is_ours_is_no_metric_of_a_plan_and_no_stage_waits_for_a_batch():
    text = """\
        plan: main
        metrics: [vip_rank, node_load]
        stages:
          - seq: 1
            mode: MICRO_BATCH
            rules: [{seq: 1}]
        """
    assert [(at, line) for at, line, *_ in faults(text)] == [
        ("/metrics/1", 2), ("/stages/0/mode", 5),
    ]  # fmt: skip
    assert compiled(text.replace("MICRO_BATCH", "STREAM").replace("node_load", "own"))


def test_what_is_only_odd_is_a_note():
    notes = compiled(
        """\
        plan: main
        stages:
          - seq: 1
            rules:
              - {seq: 1, on_unfilled: {do: PARK}}
              - {seq: 2, when: total / 3 > 100}
          - seq: 2
            rules: [{seq: 1}]
        """
    ).notes
    assert [(one.pointer, *one.place, one.detail) for one in notes] == [
        ("/stages/0/rules/1", 6, 9, "is never reached: the rule before it ends"),
        ("/stages/0/rules/1/when", 6, 18, "takes longer, by the library, because of _/_"),
        ("/stages/1", 7, 5, "is never reached: the stage before it takes every order"),
    ]


def test_a_plan_has_a_greatest_number_of_rules():
    rule = "    - {{seq: {}, when: remote}}\n"
    stages = "".join(
        f"  - seq: {n}\n    rules:\n" + "".join(rule.format(m) for m in range(86)) for n in range(3)
    )
    assert faults(f"plan: a\nstages:\n{stages}")[0][3] == "has 258 rules, of at most 256"


def test_every_word_of_a_plan_is_told_where_operators_look():
    told = set(re.findall(r"`([a-zA-Z_0-9]+)`", (PLANS / "README.md").read_text(encoding="utf-8")))
    words = FIELDS | METRICS | set(CONSTRAINTS) | ORDER_BY
    words |= set(ORDER_SCHEMA.index) | set(NODE_SCHEMA.index)
    words |= {*get_args(Do), *get_args(Assignment), *get_args(Operator)}
    words |= {one.name for one in msgspec.structs.fields(SplitFields)}
    assert words <= told, sorted(words - told)
    assert "a_word_of_no_plan" not in told
