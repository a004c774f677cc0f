"""Elastic quotas against the static split on twenty sales by seed, played in simulated time.

A third of all that marketplaces are asked for they refuse, the rest they confirm after up to eight
seconds, in which they go on selling.
"""

from collections import defaultdict
from random import Random

import pytest

from engine.campaigns.types import Elastic
from engine.elastic.rules import floor_of
from engine.simulation.elastic.play import play
from tests.unit.elastic.sales import SEEDS, sale

POLICIES = {
    "plain": Elastic(),
    "bounded": Elastic(floor=0.1, ceiling=3.0, step=0.1, cool_down_seconds=3, horizon_seconds=60),
    "small steps": Elastic(floor=10, step=5, cool_down_seconds=2, horizon_seconds=30),
}


def drains(seed):
    rng = Random(seed)
    return lambda _lending: None if rng.random() < 1 / 3 else rng.uniform(0.5, 8)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("seed", SEEDS)
def test_more_is_sold_wherever_demand_differed_and_never_less(seed, name):
    made = sale(seed)
    static = play(made.past, None)
    elastic = play(made.past, POLICIES[name], drains(seed))
    asked = sum(wish.units for wish in made.past.wishes)
    for outcome in (static, elastic):
        assert outcome.sold.total() + outcome.refused.total() == asked
    if made.differs:
        assert elastic.sold.total() > static.sold.total()
    else:
        assert elastic.sold.total() >= static.sold.total()
    audit(made.past, POLICIES[name], elastic)


def test_the_seeds_have_both_kinds_of_every_curve():
    made = [sale(seed) for seed in SEEDS]
    assert sum(one.differs for one in made) == 12
    assert sum(bool(one.past.marketplaces) for one in made if one.differs) >= 5
    # a control: what differs leaves units over under the static split, and refuses somebody
    for one in made:
        if one.differs:
            static = play(one.past, None)
            left = sum(sum(by.values()) for by in one.past.quotas.values()) - static.sold.total()
            assert left > 0
            assert static.refused.total() > 0


def test_a_split_that_lends_recklessly_would_be_found_out():
    """The audit's own control: one more unit moved than was there to lend."""
    made = sale(2)
    elastic = play(made.past, POLICIES["bounded"], drains(2))
    at = next(n for n, step in enumerate(elastic.steps) if step.kind == "moved")
    elastic.steps[at] = elastic.steps[at]._replace(units=10_000)
    with pytest.raises(AssertionError):
        audit(made.past, POLICIES["bounded"], elastic)


def test_a_marketplace_that_always_refuses_lends_nothing():
    made = next(one for seed in SEEDS if (one := sale(seed)).differs and one.past.marketplaces)
    played = play(made.past, Elastic(), lambda _lending: None)
    assert not [step for step in played.of("moved") if step.shop in made.past.marketplaces]


def test_what_is_only_observed_changes_nothing():
    made = sale(2)
    played = play(made.past, Elastic(observe_only=True))
    assert played.steps == play(made.past, None).steps


def test_the_same_input_is_played_the_same():
    made = sale(7)
    assert play(made.past, Elastic(), drains(1)) == play(made.past, Elastic(), drains(1))


def audit(past, policy, outcome):
    """Add the steps up anew: floors, conservation, what marketplaces lent once it was done."""
    free = {(sku, shop): n for sku, by in past.quotas.items() for shop, n in by.items()}
    asked = defaultdict(int)
    for step in outcome.steps:
        here = (step.sku, step.shop)
        if step.kind == "sold":
            free[here] -= step.units
        elif step.kind == "asked":
            assert step.shop in past.marketplaces
            assert asked[here] == 0, "one drain at a time"
            asked[here] = step.units
        elif step.kind == "declined":
            asked[here] = 0
        elif step.kind == "moved":
            if step.shop in past.marketplaces:
                assert 0 < step.units <= asked[here], "lent without having been confirmed"
                asked[here] = 0
            free[here] -= step.units
            free[step.sku, step.other] += step.units
            assert free[here] >= floor_of(policy, step.shop, past.quotas[step.sku][step.shop])
            assert step.reason
        assert free.get(here, 0) >= 0
