"""Kill loops under load: what was acknowledged is recorded once, and selling soon goes on."""

from collections import Counter

import pytest

from tests.fault.loop import VICTIMS, run

ROUNDS = 2  # of each; the long form has thirty
MORE = 3
WAYS = ("Granted", "Synced", "Released", "Expired")  # in which what is owed was repaid
STOP_S = 6.0  # longer than the ownership of the log and the patience with a cell


def test_after_every_kill_nothing_is_lost_and_selling_goes_on():
    report = run(VICTIMS * ROUNDS, seed=20_261_111, stop_s=STOP_S)
    print(report.table())  # noqa: T201 - shown when it fails
    assert not report.wrong
    assert not report.late()
    assert report.orders > 100
    assert report.payments > 20
    assert report.snapshots > 100
    assert report.counts["certificates"] == len(report.rounds)
    assert report.counts["comparisons"] > len(report.rounds)
    ways = Counter(report.counts)
    for seed in range(MORE):  # by which way units came back is luck: go on until all were seen
        if all(ways[way] for way in WAYS):
            break
        more = run(VICTIMS, seed=seed, stop_s=STOP_S)
        assert not more.wrong
        ways += Counter(more.counts)
    assert min(ways[way] for way in WAYS) > 0


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
@pytest.mark.parametrize("victim", VICTIMS)
def test_thirty_kills_of_each(victim):
    report = run([victim] * 30, seed=1, stop_s=20.0)
    print(report.table())  # noqa: T201 - its figures
    assert not report.wrong
    assert not report.late()
