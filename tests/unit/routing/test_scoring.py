"""Metrics as integers: what is normalised, what is better, and what decides between equals."""

import math

import pytest

from engine.routing.rules import scoring
from engine.routing.rules.deciding import decide
from engine.routing.types.core import Scorer
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


def metric(values, **scorer):
    return scoring.Metric(Scorer("any", **scorer), values, None)


def weighted(*found):
    scores = scoring.of_nodes(found, [0, 1, 2], {}, weighted=True)
    return [scores[no][0] for no in (0, 1, 2)]


@pytest.mark.parametrize(
    ("how", "want"),
    [
        ("minmax", [0, 1_000_000, 90_909]),
        ("rank", [0, 1_000_000, 500_000]),
        ("log", [0, 1_000_000, 509_157]),
    ],
)
def test_a_metric_is_brought_between_0_and_a_million(how, want):
    assert weighted(metric([10, 120, 20], normalise=how)) == want


def test_weights_multiply_and_equal_values_do_not_count():
    found = (metric([1, 2, 3], weight=3), metric([9, 5, 1], weight=1), metric([4, 4, 4], weight=9))
    assert weighted(*found) == [1_000_000, 2_000_000, 3_000_000]


def test_the_logarithm_is_that_of_floats_but_the_same_everywhere():
    for value in (1, 2, 3, 5, 10, 1_000, 999_999, 1 << 40, (1 << 50) + 7):
        assert scoring.log2(value) == pytest.approx(math.log2(value) * (1 << 20), abs=2)


def of(*scorers, weighted=False, prices=(500, 700), days=(2, 1), load=(0, 0)):
    snap = snapshot(
        [node("A", sequence=5), node("B", sequence=3)], {"a": [9, 9]}, load=load,
        metrics={"carrier_on_time": (90, 99)},
    )  # fmt: skip
    lanes = [[Lane(0, price, 0, n)] for price, n in zip(prices, days, strict=True)]
    one = plan(rule("SINGLE_NODE", *scorers, weighted=weighted))
    (decision,) = decide(one, snap, [order([line(1, "a")])], NOW, Carriers(lanes))
    return decision.parts[0].node


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("scorer", "want"),
    [
        (Scorer("total_cost"), 0),
        (Scorer("total_cost", direction="max"), 1),
        (Scorer("freight", direction="max"), 1),
        (Scorer("delivery_eta"), 1),
        (Scorer("fixed_sequence"), 1),
        (Scorer("fixed_sequence", direction="max"), 0),
        (Scorer("carrier_on_time", direction="max"), 1),
        (Scorer("carrier_on_time"), 0),
    ],
)
def test_each_direction_is_its_own(scorer, want, weighted):
    assert of(scorer, weighted=weighted) == want


def test_the_first_metric_decides_and_the_next_where_it_is_equal():
    eta, cost = Scorer("delivery_eta"), Scorer("total_cost")
    assert of(eta, cost) == 1
    assert of(eta, cost, days=(1, 1)) == 0
    assert of(cost, eta) == 0
    assert of(eta, cost, days=(1, 1), prices=(5, 5)) == 0, "the lower number"
    assert of(eta, cost, Scorer("node_load"), days=(1, 1), prices=(5, 5), load=(3, 0)) == 1


def test_weights_outweigh():
    eta, cost = Scorer("delivery_eta", weight=3), Scorer("total_cost", weight=2)
    assert of(eta, cost, weighted=True) == 1
    assert of(eta._replace(weight=1), cost, weighted=True) == 0
