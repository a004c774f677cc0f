"""What a run comes to: rows, bars, noise; pure arithmetic over samples."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.simulation.bench.figures import Figure, figure, ratios
from engine.simulation.bench.machine import Machine, Versions
from engine.simulation.bench.scenarios import Scenario, Target
from engine.simulation.bench.size import Size
from engine.simulation.bench.types import CELL, GENERATOR, INGEST, POSTGRES, RECORDER, Sample

RECORDING: Final = "recording"  # recorder and Postgres together
TOTAL: Final = "total"  # every process but the generator
ANSWERS: Final = "answers"  # of `to_bare`: answers a second, not CPU

_LEGS: Final = (INGEST, CELL, RECORDER, POSTGRES)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario: medians over its samples, and over pairs its ratios to the bare handler.

    Figures are None and empty where `available` is false; `note` says why.
    """

    name: str
    title: str
    available: bool = True
    note: str = ""
    orders: int = 0
    orders_per_s: Figure | None = None
    answers_per_s: Figure | None = None
    p50_ms: Figure | None = None
    p99_ms: Figure | None = None
    cpu_us: dict[str, Figure] = {}
    to_bare: dict[str, Figure] = {}
    statuses: dict[str, int] = {}


class RoutingRow(msgspec.Struct, frozen=True, kw_only=True):
    """Orders that one router or several routed and bound; us of CPU an order.

    `lines` names the mix of them, `lines_each` is how many an order has in the mean. Of `cpu_us`
    `router` is all that its process takes, with `decide` and `bind`; `postgres` is its server.
    """

    nodes: int
    lines: str
    lines_each: float
    processes: int
    orders: int
    parcels: int
    rebinds: int
    orders_per_s: float
    cpu_us: dict[str, float]


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """How alike the measurements of one and the same handler were: see `spread` and `reach` there.

    `foreign` is the median share of the machine that others had while we measured.
    """

    bare_answers_per_s: Figure
    bare_cpu_us: Figure | None
    foreign: float | None


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the budget; `hit` None: not measured, `note` says why."""

    leg: str
    figure: Figure | None
    bar: float | None
    goal: float | None
    more_is_better: bool
    unit: str
    hit: bool | None
    note: str = ""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A ratio of now against the baseline's: 0.1 is 10 % more; `low` is what is certain."""

    name: str
    leg: str
    then: float
    now: Figure
    change: float
    low: float
    worse: bool


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """CPU an order of one load and leg: in units of the bare handler beside it, and their ratio.

    `against` is the load of the empty instance that it is held against.
    """

    name: str
    against: str
    leg: str
    empty: Figure
    filled: Figure
    ratio: Figure


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of the orders an instance was filled with.

    The cell grew by `cell_bytes` meanwhile, and each of its keys by what `keys` say.
    """

    kind: str
    asked: int
    accepted: int
    seconds: float
    orders_per_s: float
    behind_max: int
    open_holds: int
    cell_bytes: int
    keys: dict[str, int]


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the loads once the instance was full of other orders.

    The instance at the `start`, `before` its campaigns were made, still `empty` but for the loads
    themselves, `full`, and `after` these were measured again: those are the `rows`.
    """

    campaigns: int
    skus: int
    orders: int
    made_s: float
    filled_s: float
    parts: list[Part]
    start: Size
    before: Size
    empty: Size
    full: Size
    after: Size
    rows: list[Row]
    growth: list[Growth]
    bytes_per_open_hold: float | None
    cell_bytes_per_order: float
    disk_bytes_per_order: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one run found."""

    machine: Machine
    versions: Versions
    durability: str
    api_processes: int
    quick: bool
    pairs: int
    orders: int
    rows: list[Row]
    bars: list[Bar]
    noise: Noise | None
    certificate: dict[str, Any] | None
    changes: list[Change]
    notes: list[str]
    faults: list[str]
    seconds: float
    filled: Filled | None = None
    routing: list[RoutingRow] = []


def row(scenario: Scenario, samples: Sequence[Sample], floors: Sequence[Sample], note: str) -> Row:
    """Put the samples of one scenario together; `floors` are the bare halves of the pairs."""
    legs = [legs_of(one) for one in samples]
    return Row(
        name=scenario.name,
        title=scenario.title,
        note="; ".join(filter(None, [note, surprise(scenario, samples)])),
        orders=sum(one.orders for one in samples),
        orders_per_s=figure([one.orders_per_s for one in samples]),
        answers_per_s=figure([one.answers_per_s for one in samples]),
        p50_ms=figure([one.p50_ms for one in samples]),
        p99_ms=figure([one.p99_ms for one in samples]),
        cpu_us={leg: figure([one[leg] for one in legs]) for leg in legs[0]},
        to_bare={leg: figure(one) for leg, one in to_bare(scenario, samples, floors).items()},
        statuses=_statuses(samples),
    )


def absent(scenario: Scenario, why: str) -> Row:
    """Return the row of a scenario that could not be run."""
    return Row(name=scenario.name, title=scenario.title, available=False, note=why)


def legs_of(sample: Sample) -> dict[str, float]:
    """Return CPU by process, and what several of them come to where each is known."""
    cost = dict(sample.cpu_us)
    if RECORDER in cost and POSTGRES in cost:
        cost[RECORDING] = cost[RECORDER] + cost[POSTGRES]
    if all(leg in cost for leg in _LEGS):
        cost[TOTAL] = sum(cost[leg] for leg in _LEGS)
    return cost


def to_bare(
    scenario: Scenario, samples: Sequence[Sample], floors: Sequence[Sample]
) -> dict[str, list[float]]:
    """Return the ratios to the bare handler, pair by pair, by leg; none without pairs."""
    if not floors:
        return {}
    legs = [legs_of(one) for one in samples]
    found: dict[str, list[float]] = {}
    if scenario.per_request == 1:  # an answer about a hundred orders is no answer about one
        bare = [one.answers_per_s for one in floors]
        found[ANSWERS] = ratios([one.answers_per_s for one in samples], bare)
    floor = [one.cpu_us.get(INGEST, 0.0) for one in floors]
    for leg in legs[0].keys() - {GENERATOR}:
        found[leg] = ratios([one[leg] for one in legs], floor)
    return {leg: values for leg, values in sorted(found.items()) if values}


def _statuses(samples: Sequence[Sample]) -> dict[str, int]:
    total = Counter[str]()
    for one in samples:
        total.update(one.statuses)
    return dict(sorted(total.items()))


def surprise(scenario: Scenario, samples: Sequence[Sample]) -> str:
    """Name the answers that this load should not have met, and a generator that was late."""
    said = []
    statuses = _statuses(samples)
    odd = {status: n for status, n in statuses.items() if int(status) not in scenario.expects}
    if odd:
        told = (f"{n:,} without an answer" if s == "0" else f"{n:,} x {s}" for s, n in odd.items())
        said.append(f"unexpected: {', '.join(told)}")
    refused = sum(one.asked - one.orders for one in samples)
    if refused and not odd:
        said.append(f"{refused:,} orders were not accepted")
    if scenario.of_rate:
        late = figure([one.late_p99_ms for one in samples]).median
        said.append(f"requests went out up to {late:.1f} ms late (p99), which counts")
    return "; ".join(said)


def noise(floors: Sequence[Sample], samples: Sequence[Sample]) -> Noise | None:
    """Say how noisy a run was; None without a floor."""
    if not floors:
        return None
    costs = [one.cpu_us[INGEST] for one in floors if INGEST in one.cpu_us]
    foreign = [one.foreign for one in samples if one.foreign is not None]
    return Noise(
        bare_answers_per_s=figure([one.answers_per_s for one in floors]),
        bare_cpu_us=figure(costs) if costs else None,
        foreign=figure(foreign).median if foreign else None,
    )


def lost(accepted: int, unanswered: int, recorded: int) -> list[str]:
    """Return what breaks the promise: accepted and not recorded, or recorded and not accepted.

    What got no answer may have been recorded or not.
    """
    if accepted <= recorded <= accepted + unanswered:
        return []
    return [f"{accepted:,} orders were accepted and {recorded:,} are recorded"]


def is_engine(scenario: Scenario) -> bool:
    """Whether a scenario leaves orders in the engine."""
    return scenario.target in {Target.ENGINE, Target.CELL}
