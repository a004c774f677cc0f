"""The command `tidegate route check`: a plan from a file, compiled, and its examples decided.

It needs no server: a plan is checked where it is written.
"""

import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.kernel import codec
from engine.kernel.located import Located, Place
from engine.routing.rules import compiling, examples
from engine.routing.rules.compiling import Compiled
from engine.routing.types.plans import PlacedFault, PlanFault, PlanFields

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2


class Loaded(NamedTuple):
    """A plan of a file."""

    fields: PlanFields
    located: Located
    compiled: Compiled


def run(path: Path, *, as_json: bool) -> int:
    """Check a plan and tell what is wrong with it, by line and column.

    Returns the exit code: 0, 1 when the plan is wrong or an example came out otherwise, 2 when it
    is no text.
    """
    read = load(path, as_json=as_json)
    if isinstance(read, int):
        return read
    fields, located, compiled = read
    outcomes = examples.run(fields, compiled.plan, located)
    failed = [one for one in outcomes if one.detail]
    told = {
        "valid": not failed,
        "plan": fields.plan,
        "stages": len(fields.stages),
        "rules": sum(len(stage.rules) for stage in fields.stages),
        "notes": [_shown(one) for one in compiled.notes],
        "examples": len(outcomes),
        "failed": [
            {"example": one.number, "name": one.name, "detail": one.detail, **one.place._asdict()}
            for one in failed
        ],
    }
    _tell(path, as_json, told)
    return FAILED if failed else OK


def load(path: Path, *, as_json: bool) -> Loaded | int:
    """Read a plan and compile it; where it is none, tell why and return the exit code."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as failure:
        sys.stderr.write(f"{path}: {_reason(failure)}\n")
        return USAGE
    try:
        fields, located = compiling.parse(text)
        return Loaded(fields, located, compiling.compile_plan(fields, located))
    except PlanFault as invalid:
        _tell(path, as_json, {"valid": False, "errors": [_shown(one) for one in invalid.faults]})
        return FAILED


def _reason(failure: OSError | UnicodeDecodeError) -> str:
    if isinstance(failure, UnicodeDecodeError):
        return f"is no text in UTF-8 (byte {failure.start})"
    return failure.strerror or "cannot be read"


def _shown(one: PlacedFault) -> dict[str, Any]:
    return {"pointer": one.pointer, "detail": one.detail, **one.place._asdict()}


def _tell(path: Path, as_json: bool, told: dict[str, Any]) -> None:  # noqa: FBT001 - as given
    if as_json:
        sys.stdout.buffer.write(codec.encode(told) + b"\n")
        return
    for one in told.get("errors", []):
        _line(path, one, "", f"{_label(one)}{one['detail']}")
    for one in told.get("notes", []):
        _line(path, one, "note: ", f"{_label(one)}{one['detail']}")
    for one in told.get("failed", []):
        name = f" ({one['name']})" if one["name"] else ""
        _line(path, one, "", f"example {one['example']}{name}: {one['detail']}")
    if "plan" in told:
        good = told["examples"] - len(told["failed"])
        sys.stdout.write(
            f"{told['plan']}: {told['stages']} stages, {told['rules']} rules,"
            f" {good} of {told['examples']} examples as expected\n"
        )


def _label(one: dict[str, Any]) -> str:
    return f"{one['pointer'].lstrip('/').replace('/', '.')}: " if one["pointer"] else ""


def _line(path: Path, one: dict[str, Any], kind: str, detail: str) -> None:
    place = Place(one["line"], one["column"])
    sys.stderr.write(f"{path}:{place.line}:{place.column}: {kind}{detail}\n")
