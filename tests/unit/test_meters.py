"""Counters, histograms and gauges, and how those of several processes become one."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.infra.meters.exposition import of_this_process, text
from engine.infra.meters.families import Document, Family, decode, encode
from engine.infra.meters.kinds import Counts, Gauge, Histogram, Level
from engine.infra.meters.merging import Totals

BOUNDS = (1, 5, 10)


def read(families):
    """What a scraper reads, by name and labels."""
    found = {}
    for metric in text_string_to_metric_families(text(families).decode()):
        for one in metric.samples:
            found[one.name, *sorted(one.labels.values())] = one.value
    return found


@pytest.mark.parametrize("whole", [False, True])
def test_a_histogram_puts_a_value_that_equals_a_bound_below_it(whole):
    spread = Histogram("tidegate_size", "Size", bounds=BOUNDS)
    values = [11.0, 10.0, 6.0, 5.0, 1.0]
    if whole:
        spread.of().add_falling(values)
    else:
        for value in values:
            spread.of().add(value)
    assert read([spread.family()]) == {
        ("tidegate_size_bucket", "1.0"): 1, ("tidegate_size_bucket", "5.0"): 2,
        ("tidegate_size_bucket", "10.0"): 4, ("tidegate_size_bucket", "+Inf"): 5,
        ("tidegate_size_count",): 5, ("tidegate_size_sum",): 33,
    }  # fmt: skip


def test_values_of_one_bucket_are_counted_together():
    spread = Histogram("tidegate_size", "Size", "kind", bounds=BOUNDS)
    spread.of("a").add_falling([4.0, 3.0, 2.0])
    spread.of("a").add(7, n=2)
    assert spread.family().rows == [(("a",), [0, 3, 2, 0, 23.0])]


def test_a_level_is_missing_until_it_is_set():
    level = Level("tidegate_level", "L")
    assert level.family().rows == []
    level.value = 7
    assert read([level.family()]) == {("tidegate_level",): 7}


def told(life, orders, waiting, *waits):
    """What one process tells: a counter by lane, a gauge, a histogram of its own."""
    counts, gauge = Counts("tidegate_n", "N", "lane"), Gauge("tidegate_w", "W", "verb")
    counts.add("gate", orders)
    gauge.reads(lambda: {("reserve",): waiting})
    spread = Histogram("tidegate_pool", "P", bounds=BOUNDS, scope="process")
    for one in waits:
        spread.of().add(one)
    families = [counts.family(), gauge.family(), spread.family()]
    return decode(encode(Document(life, families)))  # as it comes over the socket


def test_counters_are_added_up_and_gauges_told_of_each_process():
    totals = Totals()
    totals.hear("api-0", told("a", 3, 7, 2.0))
    totals.hear("api-1", told("b", 4, 9))
    fact = Family("tidegate_fact", "gauge", "F", (), "fact", [((), [5.0])])
    found = read(totals.families(["api-0", "api-1"], [fact]))
    assert found["tidegate_n_total", "gate"] == 7
    assert found["tidegate_w", "api-0", "reserve"] == 7
    assert found["tidegate_w", "api-1", "reserve"] == 9
    assert found["tidegate_pool_count", "api-0"] == 1
    assert found["tidegate_pool_count", "api-1"] == 0
    assert found["tidegate_fact",] == 5


def test_sums_never_fall_when_a_process_dies_and_begins_anew():
    totals = Totals()
    for life, orders, sum_ in (("a", 3, 3), ("a", 5, 5), ("b", 1, 6), ("b", 4, 9), ("c", 1, 10)):
        totals.hear("api-0", told(life, orders, 0, *[2.0] * orders))
        found = read(totals.families(["api-0"]))
        assert found["tidegate_n_total", "gate"] == sum_
        assert found["tidegate_pool_count", "api-0"] == sum_
        assert found["tidegate_pool_sum", "api-0"] == 2 * sum_


def test_of_who_does_not_answer_counters_stay_and_gauges_go():
    totals = Totals()
    totals.hear("api-0", told("a", 3, 7))
    for alive in ([], ["api-1"]):
        found = read(totals.families(alive))
        assert found["tidegate_n_total", "gate"] == 3
        assert ("tidegate_w", "api-0", "reserve") not in found
    totals.hear("api-0", told("b", 1, 1))
    assert read(totals.families([]))["tidegate_n_total", "gate"] == 4


def test_of_two_versions_that_mean_different_things_one_is_shown():
    totals = Totals()
    for slot, labels in (("api-0", "lane"), ("api-1", "shop")):
        other = Counts("tidegate_n", "N", labels)
        other.add("x")
        totals.hear(slot, Document(slot, [other.family()]))
    assert read(totals.families(["api-0", "api-1"])) == {("tidegate_n_total", "x"): 1}


def test_what_the_library_counts_of_a_process_is_told_of_each():
    totals = Totals()
    for slot in ("api-0", "worker-0"):
        totals.hear(slot, Document(slot, of_this_process()))
    found = read(totals.families(["api-0", "worker-0"]))
    for name in ("process_cpu_seconds_total", "process_open_fds", "process_resident_memory_bytes"):
        assert found[name, "api-0"] > 0
        assert found[name, "worker-0"] > 0
    assert ("python_gc_collections_total", "0", "api-0") in found
