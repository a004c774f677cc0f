"""The scenarios of `loadtest/scenarios.toml`, in full or short form, scaled as asked.

In the source tree the file stands in `loadtest/`; in an installed package in `engine/loadtest`.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.kernel.errors import Misconfigured
from engine.simulation.drill.curve import Curve
from engine.simulation.drill.plan import Bounds, Work

REPLAY: Final = "replay"

_PLACES: Final = (Path(__file__).parents[2] / "loadtest", Path(__file__).parents[3] / "loadtest")
_FILE: Final = "scenarios.toml"
# Of a short form, which is often held on a machine that has other things to do.
_PATIENT: Final = {"bounds": {"late_p99_ms": 3_000.0}, "in_flight_max": 1_500}


class Harm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault of engine/simulation/drill/faults.py, and the share of the time it comes at.

    `seconds` is how long one lasts that does not end by itself.
    """

    name: str
    at: float
    seconds: float = 0.0


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One drill. `thresholds` are measures with their bars: `<= 100`, `>= 0.9`, `== 0`."""

    about: str
    seconds: float
    curve: Curve
    thresholds: dict[str, str]
    work: Work = Work()
    fault: Harm | None = None
    in_flight_max: int = 600
    processes: int = 1
    bounds: Bounds = Bounds()


@cache
def folder() -> Path:
    """Return where the scenarios and what Locust runs are.

    Raises:
        Misconfigured: the package was installed without them.
    """
    for place in _PLACES:
        if (place / _FILE).is_file():
            return place
    raise Misconfigured("the scenarios are missing: reinstall tidegate")


def names() -> list[str]:
    """Return every scenario's name, in the order of the file."""
    return list(_file())


def load(name: str, *, short: bool = False) -> Scenario:
    """Return one scenario.

    Raises:
        KeyError: there is none of this name.
        Misconfigured: the file says what we cannot read; the sentence names where.
    """
    told = dict(_file()[name])
    over = told.pop("short", {})
    if short:
        told = _merged({**told, **_PATIENT}, over)
    try:
        return msgspec.convert(told, Scenario, strict=False)
    except msgspec.ValidationError as wrong:
        raise Misconfigured(f"{_FILE}: [{name}]: {wrong}") from None


def scaled(scenario: Scenario, *, rate: float | None, seconds: float | None) -> Scenario:
    """Return the same shape with another highest rate, over another time."""
    times = seconds / scenario.seconds if seconds and scenario.seconds else 1.0
    highest = scenario.curve.highest(scenario.seconds)
    rates = rate / highest if rate and highest else 1.0
    return msgspec.structs.replace(
        scenario,
        seconds=scenario.seconds * times,
        curve=scenario.curve.scaled(rates, times),
    )


@cache
def _file() -> dict[str, Any]:
    with (folder() / _FILE).open("rb") as file:
        return tomllib.load(file)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return one table over another; a curve is a whole, the others are laid over each other."""
    found = dict(under)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(found.get(name), dict) and name != "curve"
        found[name] = _merged(found[name], value) if both else value
    return found
