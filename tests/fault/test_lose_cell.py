"""The drill itself: a cell is lost under load and comes back, with everything that was accepted."""

import pytest

from engine import settings as settings_of
from engine.simulation.drill.losing import play
from engine.simulation.drill.types import Options


def test_a_cell_that_is_lost_under_load_comes_back():
    report = play(settings_of.load(), Options(orders_per_second=200, holds=1_000, seconds=5))
    assert report.failures == []
    assert report.lost == []
    assert report.rebuilt_orders >= 1_000
    assert report.accepted_after > 0


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_with_a_hundred_thousand_open_holds_and_a_full_load():
    report = play(settings_of.load(), Options(orders_per_second=3_000, holds=100_000, seconds=30))
    assert report.failures == []
    assert report.rebuilt_pending >= 100_000
