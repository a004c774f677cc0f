"""No condition that is taken runs long, whatever facts it meets."""

import random
import time

import pytest
from cel_expr_python import cel

from engine.kernel.expressions.checking import Checker
from engine.kernel.expressions.judging import InvalidConditions, Judge, compile_conditions
from engine.kernel.expressions.schemas import ORDER_SCHEMA
from engine.kernel.expressions.types import Invalid
from engine.kernel.limits import EXPRESSION_COST_MAX
from tests.unit.kernel.expressions.made import Author, greatest

BAR_S = 0.050
CHECKER = Checker(ORDER_SCHEMA)
GREATEST = ORDER_SCHEMA.facts(greatest())

RUNAWAYS = {
    "loops in loops": "skus.all(a, skus.all(b, skus.all(c, a + b + c != '')))",
    "two are too many": "skus.all(a, skus.exists(b, a == b))",
    "lists are joined in a loop": "skus.all(a, (" + "skus + " * 15 + "skus).size() > 0)",
    "a list of joined lists": "(" + "skus + " * 15 + "skus).map(a, a).size() > 0",
    "a list of lists": "tags.map(a, skus.map(b, a + b)).size() > 0",
    "loops over literals": "[1, 2, 3, 4].exists(a, " * 9 + "a > 5" + ")" * 9,
    "patterns in a loop": "skus.all(a, a.matches('(.|..|...)+$'))",
    "texts that grow": "skus.all(a, " + "(a + a + a + a).contains(a + a) && " * 12 + "true)",
}


def seconds(judge):
    """CPU of one judgement, the least of three."""
    took = []
    for _ in range(3):
        started = time.process_time()
        judge.by_library(GREATEST)
        judge(GREATEST)
        took.append(time.process_time() - started)
    return min(took)


@pytest.mark.parametrize("text", RUNAWAYS.values(), ids=RUNAWAYS)
def test_a_runaway_is_refused_when_it_is_written(text):
    started = time.process_time()
    with pytest.raises(Invalid, match="steps with the longest lists") as refused:
        CHECKER.check(text)
    assert time.process_time() - started < BAR_S
    assert len(refused.value.mistakes) == 1


def test_the_librarys_own_budget_would_not_do():
    """The control: it counts iterations and not what they cost."""
    strings = cel.Type.List(cel.Type.STRING)
    program = cel.NewEnv(variables={"skus": strings}).compile(
        "(" + "skus + " * 9 + "skus).map(a, a).size() > 0"
    )
    data = {"skus": list(GREATEST[ORDER_SCHEMA.index["skus"]])}
    started = time.process_time()
    assert program.eval(data=data).value() is True
    assert time.process_time() - started > BAR_S


@pytest.mark.parametrize(
    "text",
    [
        "skus.exists(a, a in tags)",
        "tags.all(a, tags.exists(b, a.startsWith(b)))",
        "tags.map(a, a + '/').size() > 3",
        "region.matches('^(44|31)[0-9]*$') || tags.exists(t, t.matches('[A-Z]+'))",
    ],
)
def test_what_operators_write_is_within_the_budget(text):
    assert seconds(Judge([CHECKER.check(text)], ORDER_SCHEMA)) < BAR_S


def taken(many, seed):
    """Check random conditions; return the dearest of those that were taken and how many fell."""
    author, found, refused = Author(random.Random(seed)), [], 0
    while len(found) < many:
        try:
            found.append(CHECKER.check(author.condition(4)))
        except Invalid:
            refused += 1
    return sorted(found, key=lambda one: -one.cost), refused


def test_random_conditions_that_were_taken_stay_below_the_bar():
    conditions, refused = taken(400, seed=1)
    assert refused
    assert conditions[0].cost > EXPRESSION_COST_MAX / 20
    for one in conditions[:50]:
        assert seconds(Judge([one], ORDER_SCHEMA)) < BAR_S, one.text


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_random_conditions_that_were_taken_stay_below_the_bar_at_length():
    for one in taken(20_000, seed=2)[0][:4_000]:
        assert seconds(Judge([one], ORDER_SCHEMA)) < BAR_S, one.text


def test_what_the_library_evaluates_is_bounded_for_all_conditions_together():
    dear = "tags.map(a, a + '/').size() > 3 && tags.all(a, tags.exists_one(b, a == b))"
    assert CHECKER.check(dear).cost > EXPRESSION_COST_MAX / 2
    with pytest.raises(InvalidConditions, match="the conditions up to here may take") as refused:
        compile_conditions([dear] * 20, ORDER_SCHEMA)
    assert refused.value.mistakes[0][0] > 4
    compile_conditions(["tags.exists(a, a in skus)"] * 256, ORDER_SCHEMA)


def test_a_budget_that_is_used_up_is_a_fault_and_not_true():
    """Facts beyond the schema's bounds: no builder makes them, and still nothing runs away."""
    judge = compile_conditions(["!tags.exists_one(a, a == 'x')", "total > 1"], ORDER_SCHEMA)
    facts = list(ORDER_SCHEMA.facts({"total": 2}))
    facts[ORDER_SCHEMA.index["tags"]] = ("y",) * 20_000
    took = []
    for _ in range(3):
        started = time.process_time()
        found = judge(tuple(facts))
        took.append(time.process_time() - started)
    assert min(took) < BAR_S, "the budget stops it in time"
    assert found & 3 == 2
    assert judge.faults(found) == [0]
