"""The search for the fewest parcels against a solver of integer programs, on larger orders.

Cost is that of a parcel from a node, whatever it weighs, so that both minimise the same: parcels,
then money. Where the search was exact the optimum is the same; where it ended at its bound, each
order is in as few parcels, and costs at most 2 % more than it had to.
"""

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from engine.routing.rules import splitting
from tests.unit.routing.test_exact import World
from tests.unit.routing.world import Lane

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("highspy") is None,
    reason="highspy is not installed: pip install 'tidegate[solver]' runs the solver's tests",
)


def instance(seed):
    """One order; each fourth is a hard one, of many lines in many nodes that have few of them."""
    rnd = random.Random(seed)
    hard = seed % 4 == 0
    nodes = rnd.randint(40, 70) if hard else rnd.randint(12, 30)
    lines = rnd.randint(25, 50) if hard else rnd.randint(8, 30)
    there = rnd.choice((0.12, 0.16, 0.2) if hard else (0.25, 0.35, 0.5, 0.7))
    world = World(seed, nodes=nodes, lines=lines, there=there)
    world.lanes = [[Lane(0, rnd.randrange(400, 1_500), 0, 1)] for _ in range(nodes)]
    world.scorers, world.least, world.most = (("total_cost", "min"),), 0, 16
    return world


def compared(seeds):
    """(parcels, money) of ours and the solver's, by instance, and whether ours was exact."""
    worlds = [instance(seed) for seed in seeds]
    asked = []
    for world in worlds:
        costs = [
            lane[0].first + node.pick_cost
            for lane, node in zip(world.lanes, world.nodes, strict=True)
        ]
        having = [
            [no for no in range(len(world.nodes)) if world.has(no, one)] for one in world.lines
        ]
        asked.append({"costs": costs, "lines": [nodes for nodes in having if nodes]})
    told = subprocess.run(
        [sys.executable, Path(__file__).with_name("mip.py")],
        input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    for world, one, best in zip(worlds, asked, json.loads(told.stdout), strict=True):
        decision = world.decide()
        money = sum(one["costs"][part.node] for part in decision.parts)
        yield (len(decision.parts), money), tuple(best), not decision.trace.bounded


def check(seeds):
    """Hold each instance against the solver; return how many searches were exact, and were not."""
    exact, gaps = 0, []
    for got, best, sure in compared(seeds):
        assert got[0] == best[0]
        if sure:
            assert got == best
            exact += 1
        else:
            gaps.append(got[1] / best[1] - 1)
    print(f"{exact} exact, {len(gaps)} bounded, the worst {max(gaps, default=0):.2%} dearer")  # noqa: T201  # the figures, for `pytest -s`
    assert max(gaps, default=0) <= 0.02
    return exact, len(gaps)


def test_the_search_finds_what_a_solver_finds():
    exact, _ = check(range(20))
    assert exact >= 15


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_the_search_finds_what_a_solver_finds_long():
    exact, bounded = check(range(1_000, 1_200))
    assert exact >= 150
    assert bounded, "no instance is beyond the search: none shows what it does there"


def test_control_a_search_of_a_few_steps_is_told_from_one_that_finds_it(monkeypatch):
    monkeypatch.setattr(splitting.Steps.__init__, "__defaults__", (1,))
    with pytest.raises(AssertionError):
        check(range(20))
