"""Examples that stand in a plan are decided, and told where they come out otherwise."""

import textwrap

from engine.kernel.expressions.schemas import ORDER_SCHEMA
from engine.routing.rules import examples
from engine.routing.rules.compiling import compile_plan, parse

PLAN = """\
plan: main
stages:
  - seq: 10
    match: "'COLD' in tags"
    rules:
      - seq: 1
        node_when: "'COLD' in tags"
        scorers: [{metric: total_cost}]
        on_unfilled: {do: PARK, queue: UNFILLABLE, reason: no_cold_node}
  - seq: 20
    rules:
      - seq: 1
        assignment: SINGLE_NODE
        filters: [{field: distance_km, op: le, value: 300}]
        scorers: [{metric: distance}]
      - seq: 2
        assignment: MIN_SPLIT
        scorers: [{metric: parcels}, {metric: sales_velocity}]
        split: {max_parcels: 2}
        on_unfilled: {do: PARK, queue: BACKORDER, reason: soon}
world:
  nodes:
    EAST: {region: "310000", tags: [COLD]}
    SOUTH: {region: "440305"}
    STORE: {region: "310000", kind: STORE, sequence: 9}
  stock:
    A: {EAST: 5, SOUTH: 5}
    B: {SOUTH: 5}
    C: {STORE: 1}
  distances: [["310000", "440305", 1200]]
examples:
"""


def outcomes(text):
    fields, located = parse(PLAN + textwrap.indent(textwrap.dedent(text), "  "))
    return examples.run(fields, compile_plan(fields, located).plan, located)


def details(text):
    return [one.detail for one in outcomes(text)]


def test_examples_that_come_out_as_expected_say_nothing():
    assert (
        details(
            """\
        - name: the nearest one
          order: {region: "310000", lines: {A: 2}}
          expect: {parts: {EAST: {"1": 2}}, stage: 20, rule: 1, by: [standard]}
        - name: two parcels
          order: {region: "310000", lines: {A: 1, B: 1, C: 1}, facts: {campaign: d11}}
          stock: {A: {EAST: 1}, B: {EAST: 1}, C: {STORE: 1}}
          expect: {parts: {EAST: {"1": 1, "2": 1}, STORE: {"3": 1}}, rule: 2}
        - name: only cold nodes for cold goods
          order: {region: "440305", lines: [{sku: A, units: 3, tags: [COLD]}]}
          expect: {parts: {EAST: {"1": 3}}, stage: 10, rest: {}}
        - name: there is no cold node that has it
          order: {region: "440305", lines: [{sku: B, tags: [COLD]}]}
          expect: {parts: {}, queue: UNFILLABLE, reason: no_cold_node, rest: {"1": 1}}
        - name: not three parcels
          order: {region: "310000", lines: {A: 1, B: 1, C: 1}}
          stock: {A: {EAST: 1}, B: {SOUTH: 1}, C: {STORE: 1}}
          expect: {queue: BACKORDER}
        - name: a closed node is none
          order: {region: "310000", lines: {A: 2}}
          closed: [EAST]
          expect: {parts: {SOUTH: {"1": 2}}, rule: 2}
        - name: the dear lane is not taken
          order: {region: "310000", lines: [{sku: A, tags: [COLD]}]}
          nodes:
            N1: {tags: [COLD]}
            N2: {tags: [COLD]}
          stock: {A: {N1: 1, N2: 1}}
          lanes: {N1: [{first: 900}], N2: [{first: 800}]}
          expect: {parts: {N2: {"1": 1}}}
        - name: a day's capacity is used up
          order: {region: "310000", lines: {A: 2}}
          capacity: [[node, EAST, orders, 7, 7]]
          expect: {parts: {SOUTH: {"1": 2}}}
        """
        )
        == [""] * 8
    )


def test_an_example_that_comes_out_otherwise_says_how_and_where():
    (one,) = outcomes(
        """\
        - name: wrong
          order: {region: "310000", lines: {A: 2}}
          expect: {parts: {SOUTH: {"1": 2}}, rule: 1, queue: MANUAL}
        """
    )
    assert (one.number, one.name, tuple(one.place)) == (1, "wrong", (32, 5))
    assert one.detail == (
        'parts: expected {"SOUTH":{"1":2}}, decided {"EAST":{"1":2}}; '
        'queue: expected "MANUAL", decided ""; rule 1 placed'
    )


def test_names_that_are_none_of_its_nodes_are_told():
    assert details(
        """\
        - order: {lines: {A: 1}}
          expect: {parts: {WEST: {"1": 1}}}
        - order: {lines: {A: 1}}
          stock: {A: {EST: 1}}
          expect: {}
        - order: {lines: {A: 1}}
          lanes: {EAST: [{service: SF}]}
          expect: {}
        - order: {lines: {A: 1}, facts: {campain: d11}}
          expect: {}
        - order: {lines: {A: 1}, facts: {campaign: 11}}
          expect: {}
        """
    ) == [
        "expect/parts: WEST is no node of this example",
        "stock: EST is no node of this example",
        "lanes: SF is no service of this example",
        f"campain is not a field: {', '.join(ORDER_SCHEMA.index)}",
        "campaign must be string, at most 128",
    ]
