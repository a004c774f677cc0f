"""The verdict of a demo: one thing that does not hold and it is not proved."""

import pytest

from engine.assurance.types import Certificate
from engine.simulation import summary
from engine.simulation.marketplace.beyond import Remedied
from engine.simulation.marketplace.recorded import Markets
from engine.simulation.naive import Oversold
from engine.simulation.proof import Recorded
from engine.simulation.seen import Seen
from engine.simulation.types import Demand, Line, Order

ORDER = Order("T1", "b1", 0.0, (Line("TEA", 1, 100),))
DEMAND = Demand(title="t", currency="CNY", orders=[ORDER], stock={"TEA": 1}, names={"TEA": "Tea"})


def certificate(faults):
    return Certificate(
        checkpoint_id="c", log_id="1-0", position="1-0", accepted=1, recorded_there=1, recorded=1,
        orders=1, duplicates=0, pools=[], oversold_by_us=0, sold_beyond_stock=0, dead_letters=0,
        faults=faults,
    )  # fmt: skip


def judged(*, oversold=3, certified=(), recorded=(), seen=(), unknown=(), markets=None):
    told = Seen(faults=list(seen), unknown=set(unknown))
    told.counts["orders"] = 1
    naive = Oversold(4, 1, oversold, "TEA", 4, 1, 1, 0.1)
    found = Recorded(faults=list(recorded), markets=markets or Markets())
    return summary.summarise(DEMAND, told, found, naive, certificate(list(certified)), 1.0)


def test_all_holds():
    assert judged().proved


@pytest.mark.parametrize(
    "fault",
    [
        {"oversold": 0},
        {"certified": ["accepted 2, recorded 1"]},
        {"recorded": ["order T1 was accepted and is not recorded"]},
        {"seen": ["T1 was accepted as new twice"]},
        {"unknown": ["T1"]},
        {"markets": Markets(faults=["tmall: order 7 is not recorded"])},
    ],
)
def test_one_fault_is_enough(fault):
    found = judged(**fault)
    assert not found.proved
    assert len(found.faults) == 1


def test_a_sale_cut_short_is_told():
    assert judged().notes == []
    slow = summary.summarise(
        Demand(
            title="t", currency="CNY", orders=[ORDER, ORDER], stock={}, names={}, lasts_s_max=30.0
        ),
        Seen(), Recorded(), Oversold(0, 0, 1, "", 0, 0, 1, 0.1), certificate([]), 1.0,
    )  # fmt: skip
    assert slow.notes == [
        "0 of 2 orders were sent in the 30 s that this sale lasts: the machine is slow or busy"
    ]


def test_what_marketplaces_sold_beyond_stock_is_told_last_with_its_remedy(capsys):
    """It is no fault: they may, and all of it is on record."""
    markets = Markets(
        counts={"tmall": {"orders": 7, "created": 7, "stale": 2, "snapshots": 9}},
        beyond=[Remedied("tmall", "TEA", 12, 3, "move 12 free units from mall")],
    )
    found = judged(markets=markets)
    assert found.proved
    summary.show(found, certificate([]), as_json=False)
    told = capsys.readouterr().out
    assert "7 / 0 / 0 / 2" in told
    assert told.index("certificate: holds") < told.index("move 12 free units from mall")
    summary.show(found, certificate([]), as_json=True)
    assert '"remedy": "move 12 free units from mall"' in capsys.readouterr().out
