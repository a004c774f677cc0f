"""Why a decision is as it is, in words, and as bytes."""

import msgspec
import pytest

from engine.routing.rules import tracing
from engine.routing.rules.deciding import decide
from engine.routing.types.core import NodeFilter, Scorer
from tests.unit.routing.test_properties import World
from tests.unit.routing.world import (
    NOW,
    Carriers,
    Lane,
    line,
    node,
    order,
    plan,
    rule,
    snapshot,
)

NAMES = ("A", "B", "C", "D")


def decided(asked, *rules, closed=0):
    nodes = [node(name, pick_cost=10 * no) for no, name in enumerate(NAMES)]
    snap = snapshot(nodes, {"a": [0, 5, 5, 5], "b": [5, 0, 0, 0]})
    one = plan(*rules)
    lanes = [[Lane(0, 500, 0, 1)]] * 3 + [[]]
    (decision,) = decide(one, snap, [asked], NOW, Carriers(lanes, closed=closed))
    return tracing.story(one, NAMES, decision)


COST = Scorer("total_cost")


def test_each_filter_says_whom_it_dropped():
    one = rule("SINGLE_NODE", COST, filters=(NodeFilter("node", "not_in", ["C"]),))
    (attempt,) = decided(order([line(1, "a")]), one, closed=1).tried
    assert [step[:2] for step in attempt.steps if step.dropped] == [
        ("node not_in C", ("C",)), ("calendar", ("A",)), ("carrier", ("D",)),
    ]  # fmt: skip
    assert attempt.steps[-1].left == 1
    assert attempt.cover == ("B",)


def test_the_runner_up_and_by_how_much():
    told = decided(order([line(1, "a")]), rule("SINGLE_NODE", COST))
    assert told.tried[0].scores == (
        (("B",), (("total_cost", 510),)), (("C",), (("total_cost", 520),)),
    )  # fmt: skip
    assert told.runner_up == ("C",)
    assert told.margin == (("total_cost", 10),)
    assert told.carriers == (("D", "no_service"),)


def test_whom_lines_that_go_together_leave_out():
    lines = [line(1, "a", together="x"), line(2, "b", together="x")]
    told = decided(order(lines), rule("MIN_SPLIT", COST))
    assert told.tried[0].steps[-1] == ("ship_with", ("A", "B", "C"), 0)
    assert told.tried[0].why == "ship_with"
    told = decided(order([*lines, line(3, "a")]), rule("MIN_SPLIT", COST))
    assert told.tried[0].steps[-1] == ("ship_with", ("A",), 2)  # B and C have the line beside them
    assert told.tried[0].why == "ship_with"


def test_of_a_split_the_second_best_set():
    told = decided(order([line(1, "a"), line(2, "b")]), rule("MIN_SPLIT", COST))
    assert told.tried[0].scores[0].nodes == ("A", "B")
    assert told.runner_up == ("A", "C")
    assert told.margin == (("total_cost", 10),)


def test_a_rule_that_placed_nothing_says_why():
    first = rule("SINGLE_NODE", COST, name="whole")
    told = decided(order([line(1, "a"), line(2, "b")]), first, rule("MIN_SPLIT", COST, seq=2))
    assert [(one.name, one.why) for one in told.tried] == [
        ("whole", "no_single_node"), ("rule", ""),
    ]  # fmt: skip


def test_a_trace_is_the_same_after_its_bytes():
    for seed in range(100):
        for decision in World(seed).decide():
            kept = tracing.unpacked(tracing.packed(decision, 7, 12))
            assert kept == (7, decision.parts, decision.rest, decision.trace)


def test_more_nodes_than_an_integer_has_bits():
    nodes = [node(f"n{no}") for no in range(90)]
    snap = snapshot(nodes, {"a": [1] * 90})
    one = plan(rule("SINGLE_NODE", COST))
    carriers = Carriers([[Lane(0, 500 - no)] for no in range(90)])
    (decision,) = decide(one, snap, [order([line(1, "a")])], NOW, carriers)
    assert decision.parts[0].node == 89
    assert tracing.unpacked(tracing.packed(decision, 7, len(nodes))).trace == decision.trace
    with pytest.raises(OverflowError):
        tracing.packed(decision, 7, 64)


def test_bytes_of_the_form_before_are_read():
    for decision in World(3).decide():
        former = msgspec.msgpack.encode([decision.parts, decision.rest, decision.trace])
        assert tracing.unpacked(former) == (0, decision.parts, decision.rest, decision.trace)


def test_bytes_of_another_form_are_refused():
    with pytest.raises(msgspec.DecodeError, match="form 03"):
        tracing.unpacked(b"\x03\x94")


def test_what_a_plan_asked_that_nobody_knows_any_more_has_numbers():
    one = rule("SINGLE_NODE", COST, filters=(NodeFilter("node", "not_in", ["C"]),))
    nodes = [node(name, pick_cost=10 * no) for no, name in enumerate(NAMES)]
    snap = snapshot(nodes, {"a": [0, 5, 5, 5]})
    lanes = [[Lane(0, 500, 0, 1)]] * 4
    asked = order([line(1, "a")])
    (decision,) = decide(plan(one), snap, [asked], NOW, Carriers(lanes))
    told = tracing.told({}, NAMES, decision.trace, (1, 1))
    (attempt,) = told.tried
    assert [step.filter for step in attempt.steps if step.dropped] == ["filter 1"]
    assert told.margin == (("score 1", 20),)
