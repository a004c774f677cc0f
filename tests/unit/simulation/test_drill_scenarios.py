"""The scenarios of the file: each can be read, judged and held."""

from pathlib import Path

import pytest

from engine import settings as settings_of
from engine.infra.servers.errors import Missing
from engine.kernel.errors import Misconfigured
from engine.simulation.drill import faults, judge, places, power, run, scenarios
from engine.simulation.drill.places import Refused
from engine.simulation.drill.run import USAGE, Options

NAMED = {
    "spike", "steady", "soak", "hot-sku", "retry-storm", "sold-out", "omni-channel",
    "marketplace-lag", "worker-crash", "cell-crash", "lose-cell", "replay",
}  # fmt: skip
HARMS = {"kill-worker", "kill-valkey", "cut-links", "lose-cell", faults.CUT_POWER}


def test_all_that_are_promised_are_there() -> None:
    assert set(scenarios.names()) >= NAMED


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("name", scenarios.names())
def test_each_can_be_held_and_judged(name: str, *, short: bool) -> None:
    scenario = scenarios.load(name, short=short)
    judge.check(scenario.thresholds)
    assert scenario.thresholds
    if scenario.fault:
        assert scenario.fault.name in HARMS
        assert 0 < scenario.fault.at < 1
    if short:
        assert scenario.seconds <= 6


def test_a_scenario_is_scaled_in_rate_and_time() -> None:
    spike = scenarios.load("spike")
    scaled = scenarios.scaled(spike, rate=300.0, seconds=30.0)
    assert scaled.seconds == 30.0
    assert scaled.curve.highest(30.0) == pytest.approx(300.0, rel=0.02)
    assert scaled.curve.opens_at_s == spike.curve.opens_at_s / 2


def test_a_field_that_is_none_is_refused_with_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"odd": {"about": "x", "seconds": 1, "curve": {"peek": 1}, "thresholds": {}}}
    monkeypatch.setattr(scenarios, "_file", lambda: told)
    with pytest.raises(Misconfigured, match=r"\[odd\].*peek"):
        scenarios.load("odd")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options("spyke"), "'spyke' is no scenario: there are steady, spike"),
        (Options("spike", orders=Path("x.csv")), "--orders"),
        (Options("replay"), "--orders"),
        (Options("cell-crash", target="http://127.0.0.1:1"), "without --target"),
        (Options("spike", target="127.0.0.1:8080"), "give the base URL"),
        (Options("spike", target="http://shop.example.com"), "not in TIDEGATE_DRILL_HOSTS"),
    ],
)
def test_what_may_not_be_is_refused_before_anything_starts(
    options: Options, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = options._replace(runs=tmp_path)
    assert run.run(settings_of.load({}), options, as_json=False) == USAGE
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_only_this_machine_and_the_hosts_that_are_allowed() -> None:
    urls = {
        "TIDEGATE_DATABASE_URL": "postgresql://h/d", "TIDEGATE_VALKEY_URL": "redis://h",
        "TIDEGATE_ADMIN_KEY": "k" * 16,
    }  # fmt: skip
    ours = settings_of.load(urls)
    for target in ("http://127.0.0.1:81", "http://[::1]:81", "http://localhost:81"):
        assert places.attached(ours, target).address == target
    for target in ("http://10.1.2.3", "http://127.0.0.1.example.com", "http://0.0.0.0"):
        with pytest.raises(Refused, match="TIDEGATE_DRILL_HOSTS"):
            places.attached(ours, target)
    allowed = settings_of.load(urls | {"TIDEGATE_DRILL_HOSTS": "10.1.2.3, stage.example.com"})
    assert places.attached(allowed, "http://10.1.2.3").address == "http://10.1.2.3"
    assert places.attached(allowed, "https://stage.example.com/").key == "k" * 16
    with pytest.raises(Missing, match="TIDEGATE_ADMIN_KEY"):
        places.attached(settings_of.load(urls | {"TIDEGATE_ADMIN_KEY": ""}), "http://127.0.0.1")


def test_without_strace_power_is_not_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(power.shutil, "which", lambda _: None)
    with pytest.raises(Missing, match="strace"):
        run.prepared(Options("power-loss", runs=tmp_path))
