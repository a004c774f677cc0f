"""The search for the fewest parcels against a solver of integer programs, on larger orders.

Cost is that of a parcel from a node, whatever it weighs, so that both minimise the same: parcels,
then money. Where the search was exact the optimum is the same; where it ended at its bound, all
such orders together cost at most 2 % more than they had to.
"""

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.routing.test_exact import World
from tests.unit.routing.world import Lane

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("highspy") is None,
    reason="highspy is not installed: pip install 'tidegate[solver]' runs the solver's tests",
)


def instance(seed):
    rnd = random.Random(seed)
    nodes, lines = rnd.randint(12, 30), rnd.randint(8, 30)
    world = World(seed, nodes=nodes, lines=lines, there=rnd.choice((0.25, 0.35, 0.5, 0.7)))
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
    exact = bounded = ours = least = 0
    for got, best, sure in compared(seeds):
        if sure:
            assert got == best
            exact += 1
        else:
            assert got[0] >= best[0]
            bounded += 1
            ours += got[1]
            least += best[1]
    print(f"{exact} exact, {bounded} bounded: {ours} against {least}")  # noqa: T201  # the figures, for `pytest -s`
    assert exact >= len(seeds) // 4
    assert ours <= least * 1.02


def test_the_search_finds_what_a_solver_finds():
    check(range(20))


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_the_search_finds_what_a_solver_finds_long():
    check(range(1_000, 1_200))
