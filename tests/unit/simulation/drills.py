"""Drills as they could have been: made from a seed, with the noise that machines have."""

import random
from itertools import pairwise
from math import exp

import msgspec
from hdrh.histogram import HdrHistogram

from engine.simulation.drill.summary import (
    SCHEMA,
    Fault,
    Generator,
    Invariant,
    Latency,
    Series,
    Summary,
    Threshold,
    Totals,
)

POINTS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 1.0)
NORMAL = (-2.3, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64, 2.33, 2.58, 3.09, 3.29, 3.7)


class World(msgspec.Struct, kw_only=True):
    """What a drill is made of; `slower` and `dearer` are what got worse in it."""

    seed: int = 1
    scenario: str = "spike"
    seconds: int = 60
    peak: int = 4_000
    base_ms: float = 3.0
    run_noise: float = 0.05
    slower: float = 1.0
    tail_slower: float = 1.0
    dearer: float = 1.0
    fault: tuple[str, int, int] | None = None
    accepts: bool = True
    aborted_at: int | None = None


def planned(world: World, at: int) -> int:
    """A countdown, a step, a decay and a tail."""
    part = at / world.seconds
    if part < 0.2:
        return world.peak // 10
    return int(world.peak * (0.25 + 0.75 * exp(-4 * (part - 0.2))))


def summary(world: World | None = None, **fields) -> Summary:
    """A summary with histograms that agree with its series."""
    made, pairs = raw(world or World(**fields))
    histogram = HdrHistogram(1, 60_000_000, 3)
    for ms, count in pairs:
        histogram.record_value(max(int(ms * 1_000), 1), count)
    text = histogram.encode().decode()
    return msgspec.structs.replace(made, histograms={"accepted": text, "service": text})


def raw(world: World) -> tuple[Summary, list[tuple[float, int]]]:
    """A summary without histograms, and the pairs of (ms, count) they would be made of."""
    dice = random.Random(world.seed)
    mood = exp(dice.gauss(0, world.run_noise))
    cost = exp(dice.gauss(0, world.run_noise)) * world.dearer
    series = Series(*([] for _ in range(12)), {"api-0": [], "valkey": [], "worker-0": []})
    pairs: list[tuple[float, int]] = []
    drift = 0.0
    for at in range(world.seconds):
        drift = 0.7 * drift + dice.gauss(0, 0.08)
        due = planned(world, at)
        down = world.fault is not None and world.fault[1] <= at < world.fault[2]
        off = world.aborted_at is not None and at >= world.aborted_at
        sent = 0 if off else int(due * (1 - abs(dice.gauss(0, 0.004))))
        accepted = 0 if down or not world.accepts else int(sent * 0.9)
        level = world.base_ms * mood * world.slower * exp(drift) * (1 + 2 * due / (world.peak or 1))
        pause = 3.0 if dice.random() < 0.04 else 1.0
        values = [
            level * exp(0.5 * normal) * (pause * world.tail_slower if part >= 0.99 else 1.0)
            for part, normal in zip(POINTS, NORMAL, strict=True)
        ]
        series.second.append(at)
        series.planned.append(due)
        series.sent.append(sent)
        series.dropped.append(due - sent)
        series.accepted.append(accepted)
        series.failed.append(sent if down else 0)
        series.refused.append(0 if down else sent - accepted)
        for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
            getattr(series, name).append(values[POINTS.index(part)] if accepted else None)
        series.lag_s.append(None if down else 0.06 + 0.02 * dice.random() + due / 1e5)
        for name, micros in (("api-0", 69), ("valkey", 18), ("worker-0", 30)):
            used = 0.02 + accepted * micros * 1e-6 * cost * exp(dice.gauss(0, 0.05))
            series.cpu[name].append(round(used, 3))
        if accepted:
            pairs += [
                ((low + high) / 2, max(int(accepted * (after - before)), 0))
                for (before, after), (low, high) in zip(
                    pairwise(POINTS), pairwise(values), strict=True
                )
            ]
    return _told(world, series), [(ms, count) for ms, count in pairs if count]


def _at_most(name, bar, found, unit):
    return Threshold(name, "max", bar, found, unit, met=found is not None and found <= bar)


def _told(world: World, series: Series) -> Summary:
    accepted, sent = sum(series.accepted), sum(series.sent)
    at = sorted(value for value in series.p99 if value is not None)
    p99 = at[int(len(at) * 0.9)] if at else None
    middle = sorted(value for value in series.p50 if value is not None)
    latency = Latency(accepted, *((middle[len(middle) // 2], p99 / 2, p99, p99 * 2, p99 * 4)
                                  if p99 else (0, 0, 0, 0, 0)))  # fmt: skip
    failed = sum(series.failed)
    due = sum(series.planned)
    down = world.fault and world.fault[2] - world.fault[1]
    thresholds = [
        _at_most("accepted p99", 50, p99, "ms"),
        Threshold("accepted of sent", "min", 0.8, accepted / max(sent, 1), "",
                  met=accepted > 0.8 * sent),
        _at_most("failed", 0.001, failed / max(sent, 1), ""),
        Threshold("units oversold", "equal", 0, 0, "units", met=True),
        _at_most("dropped", 0.01, sum(series.dropped) / max(due, 1), ""),
        _at_most("oldest unrecorded order", 5, 0.12, "s"),
        _at_most("recovered within", 10, down or 0, "s"),
    ]  # fmt: skip
    failures = [
        f"{one.name}: {'not measured' if one.found is None else f'{one.found:.4g} {one.unit}'},"
        f" the bar is {one.bar:g}"
        for one in thresholds
        if not one.met
    ]
    aborted = world.aborted_at is not None
    if aborted:
        failures.insert(0, "The generator was the bottleneck: 0.97 of 1 core, late by 812 ms.")
    return Summary(
        schema=SCHEMA, run_id=f"20261111-0000{world.seed:02d}-{world.scenario}",
        scenario=world.scenario, started_at="2026-11-11T00:00:00Z", seconds=float(world.seconds),
        target="http://127.0.0.1:8080", passed=not failures, failures=failures,
        thresholds=thresholds,
        invariants=[
            Invariant("nothing oversold", told="12 pools: granted + owed = held + sold + available",
                      met=True),
            Invariant("no order lost", told=f"{accepted:,} answered 202, {accepted:,} recorded",
                      met=True),
            Invariant("no order twice", told=f"{accepted:,} ids, 0 of them twice", met=True),
        ],
        certificate=f"Certificate holds at 1762790400000-0: {accepted:,} orders, nothing oversold,"
        " lost or doubled.",
        totals=Totals(
            planned=sum(series.planned), sent=sent, dropped=sum(series.dropped), accepted=accepted,
            repeated=12, refused={"sold_out": sum(series.refused)}, failed={"closed": failed}
            if failed else {}, unknown=3 if failed else 0, retried=41, paid=accepted // 2,
        ),
        latency={"accepted": latency, "service": latency},
        rate_target_max=max(series.planned, default=0), rate_sent_max=max(series.sent, default=0),
        accepted_per_s=accepted / (world.seconds or 1),
        faults=[Fault(world.fault[0], world.fault[1] + 0.2, world.fault[2] + 0.1)]
        if world.fault else [],
        generator=Generator("locust 2.47.1", 1, 0.61, 0.97 if aborted else 0.81,
                            812.0 if aborted else 4.2, aborted),
        machine={"cpu": "AMD EPYC 7763", "cores": "2", "system": "Linux 6.1", "python": "3.11.7",
                 "valkey": "valkey 9.1.2", "postgres": "18.6", "commit": "25a9f84"},
        series=series, histograms={},
    )  # fmt: skip
