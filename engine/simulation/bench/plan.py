"""What one run is asked to do."""

from collections.abc import Sequence
from typing import NamedTuple

from engine.simulation.bench.report import Report
from engine.simulation.bench.scenarios import Scenario


class Plan(NamedTuple):
    """Scenarios with the floor first; `orders` a measurement, before a scenario's own share.

    With `filled` everything is measured twice, the second time with that many other orders there.
    `routing` is measured after all of them.
    """

    scenarios: Sequence[Scenario]
    pairs: int
    orders: int
    quick: bool = False
    baseline: Report | None = None
    filled: int = 0
    routing: bool = False
