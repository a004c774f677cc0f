"""A build that is broken on purpose fails its drill with 99, and is told why; a good one passes."""

import shutil
from pathlib import Path

import pytest

from tests.drill import broken
from tests.drill.broken import Break

PASSED, BREACHED = 0, 99

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: it tells what was synced"
)


def judged(scenario: str, tmp_path: Path, undo: Break) -> list[str]:
    """Hold a scenario with the good build, then with a broken one; return why that failed."""
    runs = tmp_path / "runs"
    runs.mkdir()
    code, summary, said = broken.drill(scenario, runs)
    assert (code, summary.failures) == (PASSED, []), said
    build = broken.copy(tmp_path / "build")
    undo(build)
    code, summary, said = broken.drill(scenario, runs, build)
    assert code == BREACHED, said
    assert not summary.passed
    for failure in summary.failures:
        assert f"not met: {failure}\n" in said
    return summary.failures


def test_without_the_guard_units_are_sold_twice(tmp_path: Path) -> None:
    told = "\n".join(judged("sold-out", tmp_path, broken.guard_removed))
    assert "units are oversold by us" in told
    assert "were for sale" in told, "by the drill's own books, too"
    assert "certificate: BROKEN" in told


@needs_strace
@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_with_a_sync_a_second_a_power_loss_takes_accepted_orders(tmp_path: Path) -> None:
    told = "\n".join(judged("power-loss", tmp_path, broken.everysec))
    assert "accepted orders are recorded once" in told
    assert "is lost" in told


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_with_retries_on_new_orders_are_answered_as_known(tmp_path: Path) -> None:
    """The first call was executed, and the second is told REPEATED: nobody knows any more."""
    told = "\n".join(judged("retry-storm", tmp_path, broken.retries_on))
    assert "repeats are answered alike" in told
    assert "known at attempt 1" in told
