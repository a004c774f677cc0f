"""What one rule cut is asked for by the next as what is left of it, never as what was asked."""

import pytest

from engine.routing.rules.deciding import decide
from engine.routing.types.core import NodeFilter, Split
from tests.unit.routing.world import NOW, Carriers, Lane, line, node, order, plan, rule, snapshot

HERE = NodeFilter("node", "eq", "a")
CUT = Split(allow_partial_line=True)


def decided(stock, asked, *rules):
    world = snapshot([node("a"), node("b")], stock)
    of = Carriers([[Lane()], [Lane()]])
    (one,) = decide(plan(*rules), world, [order(asked)], NOW, of)
    return one


@pytest.mark.parametrize("how", ["SINGLE_NODE", "MIN_SPLIT", "ANY_SPLIT", "GROUPED"])
def test_a_line_that_was_cut_goes_on_with_what_is_left(how):
    first = rule("MIN_SPLIT", seq=1, filters=(HERE,), split=CUT)
    one = decided({"s": [1, 1]}, [line(1, "s", 2)], first, rule(how, seq=2, split=CUT))
    assert [(part.node, part.atoms) for part in one.parts] == [(0, ((0, 1),)), (1, ((0, 1),))]
    assert not one.rest


def test_no_more_is_placed_than_is_left():
    first = rule("MIN_SPLIT", seq=1, filters=(HERE,), split=CUT)
    one = decided({"s": [1, 30]}, [line(1, "s", 2)], first, rule("ANY_SPLIT", seq=2, split=CUT))
    assert [(part.node, part.atoms) for part in one.parts] == [(0, ((0, 1),)), (1, ((0, 1),))]


def test_of_several_lines_each_goes_on_with_its_own():
    first = rule("MIN_SPLIT", seq=1, filters=(HERE,), split=CUT)
    asked = [line(1, "s", 3), line(2, "t", 5)]
    stock = {"s": [1, 2], "t": [4, 1]}
    one = decided(stock, asked, first, rule("MIN_SPLIT", seq=2))
    assert {part.node: part.atoms for part in one.parts} == {
        0: ((0, 1), (1, 4)), 1: ((0, 2), (1, 1)),
    }  # fmt: skip
    assert not one.rest
