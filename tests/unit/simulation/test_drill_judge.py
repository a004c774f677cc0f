"""What a drill is failed for."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from engine.kernel.errors import Misconfigured
from engine.simulation.drill import gathering, judge, proving, tally, told
from engine.simulation.drill.judge import Measured
from engine.simulation.drill.observe import Observer
from engine.simulation.drill.summary import Fault, Latency, Series, Totals
from engine.simulation.drill.tally import Tally
from engine.simulation.drill.told import Told

TOTALS = Totals(
    planned=100, sent=100, dropped=0, accepted=60, repeated=0, refused={"sold_out": 40}, failed={},
    unknown=0, retried=0, paid=30,
)  # fmt: skip
NONE = Latency(0, 0.0, 0.0, 0.0, 0.0, 0.0)


def series(**lists: Any) -> Series:
    empty: dict[str, Any] = {field.name: [] for field in msgspec.structs.fields(Series)}
    return Series(**{**empty, "cpu": {}, **lists})


def measured(**fields: Any) -> Measured:
    found = {
        "totals": TOTALS, "series": series(), "faults": [], "snapshots": {}, "drained_s": 0.5,
        "latency": {"accepted": Latency(60, 5.0, 8.0, 20.0, 30.0, 31.0), "refused": NONE},
    }  # fmt: skip
    return Measured(**{**found, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "bar", "met"),
    [
        ("accepted_p99_ms", "<= 20", True),
        ("accepted_p99_ms", "<= 19.9", False),
        ("refused_share", ">= 0.4", True),
        ("refused_share", ">= 0.41", False),
        ("dropped", "== 0", True),
        ("paid_share", "== 0.5", True),
        ("accepted", "== 61", False),
        ("drained_s", "<= 0.5", True),
    ],
)
def test_a_bar_and_what_was_found(name: str, bar: str, *, met: bool) -> None:
    (found,) = judge.thresholds({name: bar}, measured())
    assert found.met == met
    assert found.found is not None


@pytest.mark.parametrize("name", ["refused_p99_ms", "back_s", "lag_max_s", "p99_drift"])
def test_what_was_not_measured_was_not_met(name: str) -> None:
    (found,) = judge.thresholds({name: "<= 1000000"}, measured())
    assert (found.met, found.found) == (False, None)
    assert "not measured" in judge.sentence(found)


@pytest.mark.parametrize(
    ("bars", "says"),
    [
        ({"p98": "<= 1"}, "p98: it is none of accepted"),
        ({"dropped": "0"}, "'0' is no bar"),
        ({"dropped": "<= much"}, "'<= much' is no bar"),
    ],
)
def test_a_bar_that_cannot_be_judged_is_refused(bars: dict[str, str], says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        judge.check(bars)


def test_a_fault_that_did_not_end_has_no_length() -> None:
    over, lasts = Fault("kill-valkey", 2.0, 3.5), Fault("kill-worker", 2.0, None)
    assert judge.MEASURES["back_s"].of(measured(faults=[over])) == 1.5
    assert judge.MEASURES["back_s"].of(measured(faults=[over, lasts])) is None


def test_slower_by_and_by_is_a_drift() -> None:
    slow = series(p99=[10.0, None, 10.0, 10.0, 20.0, 20.0, 30.0, 30.0, 31.0, 29.0])
    assert judge.MEASURES["p99_drift"].of(measured(series=slow)) == 3.0


@pytest.mark.parametrize(
    ("second", "code", "met"),
    [
        (2, "closed", True),
        (4, "outcome_unknown", True),
        (2, "500", False),
        (0, "closed", False),
        (9, "closed", False),
        (9, "overloaded", True),
    ],
)
def test_a_5xx_is_explained_by_shedding_or_by_a_fault(second: int, code: str, *, met: bool) -> None:
    found = judge.unexplained({second: Counter({code: 3})}, [Fault("kill-valkey", 2.1, 3.0)])
    assert found.met == met
    assert met or f"3 x {code} in second {second}" in found.told


def test_what_was_shed_is_a_share_of_its_own_and_no_failure() -> None:
    totals = msgspec.structs.replace(TOTALS, failed={"overloaded": 20, "500": 3})
    some = measured(totals=totals)
    assert judge.MEASURES["shed_share"].of(some) == 0.2
    assert judge.MEASURES["failed"].of(some) == 3


def row(order_id: str, version: str = "", paid: str = "unpaid") -> dict[str, str]:
    return {"order_id": order_id, "version": version, "payment_state": paid}


def test_an_order_that_is_lost_doubled_or_was_refused_is_named() -> None:
    seen = Told(taken={1: "A", 2: "B"}, refused={3: "sold_out"})
    good = {("drill", "m-1"): row("A"), ("drill", "m-2"): row("B")}
    assert proving.recorded(seen, good, "m").met
    assert proving.never_recorded(seen, good, "m").met
    lost = proving.recorded(seen, {("drill", "m-1"): row("A")}, "m")
    assert (lost.met, "m-2 is lost" in lost.told) == (False, True)
    other = proving.recorded(seen, good | {("drill", "m-2"): row("X")}, "m")
    assert "m-2 is X, told was B" in other.told
    doubled = proving.recorded(seen, good | {("drill", "m-9"): row("A")}, "m")
    assert "1 orders share their id" in doubled.told
    refused = proving.never_recorded(seen, good | {("drill", "m-3"): row("C")}, "m")
    assert "m-3 was refused (sold_out) and is recorded" in refused.told


def test_a_marketplace_order_must_stand_at_its_newest() -> None:
    seen = Told(synced={5: "A"})
    assert proving.newest(seen, {("shop", "m-m5"): row("A", "2", "paid")}, "m").met
    old = proving.newest(seen, {("shop", "m-m5"): row("A", "1")}, "m")
    assert "m-m5 stands at version 1, unpaid" in old.told
    assert not proving.newest(seen, {}, "m").met


def test_what_generators_wrote_is_read_again(tmp_path: Any) -> None:
    path = tmp_path / "told-0.tsv"
    path.write_text(
        "1\ttaken\tA\n2\trefused\tsold_out\n3\trefused\t500\n4\tunknown\t\n1\tpaid\tA\n"
        "5\tsynced\tB\n6\tdiffers\twhy\n"
    )
    found = told.read([path])
    assert found == Told({1: "A"}, {2: "sold_out"}, {5: "B"}, {"A"}, 2, ["6: why"])


def test_two_generators_are_one_drill() -> None:
    first, second = Tally(), Tally()
    for n in range(1_000):
        one = (first, second)[n % 2]
        one.due(n / 500, 0.001, dropped=n == 0)
        if n:
            one.accepted(n / 500, n / 500 + n / 1_000, 0.002)
    second.failed(1.5, "closed")
    second.refused(0.1, 0.2, 0.1, "sold_out")
    seen = [first.close(), second.close()]
    totals = gathering.totals(seen)
    assert (totals.planned, totals.sent, totals.dropped, totals.accepted) == (1_000, 999, 1, 999)
    assert (totals.failed, totals.refused) == ({"closed": 1}, {"sold_out": 1})
    latency, texts = gathering.latencies(seen)
    assert latency["accepted"].count == 999
    assert latency["accepted"].p50 == pytest.approx(500, rel=0.002)
    assert latency["accepted"].p99 == pytest.approx(990, rel=0.002)
    assert tally.added([texts["accepted"]]).get_total_count() == 999
    observed = Observer(None, list, None, None)  # type: ignore[arg-type]
    observed.lag_s, observed.cpu = [0.5], {"api": [0.7]}
    whole = gathering.series(seen, observed)
    assert whole.planned[:2] == [500, 500]
    assert whole.p50[0] == pytest.approx(250, rel=0.02)
    assert whole.p50[1] == pytest.approx(750, rel=0.02)
    assert whole.lag_s[:2] == [0.5, None]
    assert {len(whole.second), len(whole.lag_s), len(whole.cpu["api"]), len(whole.p99)} == {
        len(whole.planned)
    }
    assert gathering.failures_by_second(seen) == {1: Counter(closed=1)}
    assert gathering.generator("x", seen).late_p99_ms == pytest.approx(1.0, rel=0.01)
