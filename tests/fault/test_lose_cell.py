"""What a server had is lost under load; the instance comes back with everything that was accepted.

All API processes live: nothing is lost that was answered 202, and nothing is sold twice.
"""

import pytest

from engine import settings as settings_of
from engine.simulation.drill.losing import kill_valkey_and_delete_its_data, play
from engine.simulation.drill.show import show
from engine.simulation.drill.types import Options
from tests.fault.losses import (
    Lose,
    cut_anywhere,
    cut_behind_a_transaction,
    kill_everybody_who_knows,
    postgres_put_back_by,
    replica_behind_by,
)

SHORT = Options(orders_per_second=200, holds=1_000, seconds=5)
LONG = Options(orders_per_second=3_000, holds=20_000, seconds=20)
CELL = [
    kill_valkey_and_delete_its_data,
    cut_anywhere,
    cut_behind_a_transaction,
    replica_behind_by(1.0),
]


@pytest.mark.parametrize("lose", CELL, ids=lambda lose: lose.__name__)
def test_a_cell_that_is_lost_under_load_comes_back(lose: Lose) -> None:
    report = play(settings_of.load(), SHORT, lose)
    assert report.failures == []
    assert report.lost == []
    if lose is kill_valkey_and_delete_its_data:  # of the others Postgres may have had no more
        assert report.rebuilt_orders >= SHORT.holds
    assert report.accepted_after > 0


def test_what_is_lost_with_everybody_who_knew_of_it_is_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The control of all others: the drill finds a loss, and says of which orders."""
    report = play(settings_of.load(), SHORT, kill_everybody_who_knows)
    assert len(set(report.lost)) == report.lost_in_all > 0
    assert report.lost_counted <= report.lost_in_all
    known = report.accepted_before + report.accepted_after - report.lost_in_all
    assert report.recorded >= known
    assert report.not_replayed > 0, "they are taken for new orders now"
    assert f"{report.lost_in_all} accepted orders are lost: {report.lost[0]}" in report.failures[0]
    show(report, as_json=False)
    assert f"  lost: {report.lost[0]}\n" in capsys.readouterr().out


def test_an_older_postgres_is_told_what_the_log_still_has() -> None:
    report = play(settings_of.load(), SHORT, postgres_put_back_by(2.0))
    assert report.failures == []
    assert report.lost == []
    assert report.recorded >= report.accepted_before + report.accepted_after


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
@pytest.mark.parametrize("lose", CELL[1:], ids=lambda lose: lose.__name__)
def test_the_same_under_a_full_load(lose: Lose) -> None:
    assert play(settings_of.load(), LONG, lose).failures == []


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_a_postgres_of_half_a_minute_earlier() -> None:
    options = LONG._replace(seconds=50.0)
    assert play(settings_of.load(), options, postgres_put_back_by(30.0)).failures == []


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_with_a_hundred_thousand_open_holds_and_a_full_load() -> None:
    report = play(settings_of.load(), Options(orders_per_second=3_000, holds=100_000, seconds=30))
    assert report.failures == []
    assert report.rebuilt_pending >= 100_000
