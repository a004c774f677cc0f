"""`tidegate drill compare`: summaries from disk, and what got worse from one side to the other."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.kernel import codec
from engine.simulation.drill.comparing import Comparison, Row, Run, compare, different
from engine.simulation.drill.histograms import spread
from engine.simulation.drill.summary import SCHEMA, Summary

NAME: Final = "summary.json"
USAGE: Final = 2
BREACHED: Final = 99
_HUNDRED: Final = 100
_TIMES_MAX: Final = 9.99


class Unusable(ValueError):
    """What was named is no run of a drill."""


def run(a: str, b: str, *, force: bool, as_json: bool) -> int:
    """Compare two sides, each one run or several with commas between them; return the exit code."""
    try:
        sides = [[read(Path(name)) for name in side.split(",")] for side in (a, b)]
    except Unusable as refusal:
        sys.stderr.write(f"{refusal}\n")
        return USAGE
    reasons = different(*([one.summary for one in side] for side in sides))
    if reasons and not force:
        told = "; ".join(reasons)
        sys.stderr.write(f"These runs cannot be compared: {told}. --force does it none the less.\n")
        return USAGE
    found = compare(*sides)
    if reasons:
        found = msgspec.structs.replace(found, notes=[*reasons, *found.notes])
    show(found, as_json=as_json)
    return BREACHED if found.worse else 0


def read(path: Path) -> Run:
    """Return a run from its folder, or from its summary.

    Raises:
        Unusable: with what is wrong.
    """
    file = path / NAME if path.is_dir() else path
    try:
        summary = msgspec.json.decode(file.read_bytes(), type=Summary)
    except OSError as error:
        raise Unusable(f"{file} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise Unusable(f"{file} is not what `tidegate drill run` writes: {error}") from None
    if summary.schema != SCHEMA:
        raise Unusable(f"{file} is of schema {summary.schema}, this version reads {SCHEMA}")
    if not summary.series.second:
        raise Unusable(f"{file} has no second in it")
    return Run(summary, spread("accepted", summary))


def show(found: Comparison, *, as_json: bool) -> None:
    """Write the comparison to stdout."""
    if as_json:
        told = msgspec.structs.asdict(found) | {"worse": found.worse}
        sys.stdout.write(codec.encode(told).decode() + "\n")
        return
    sys.stdout.write("\n".join(lines(found)) + "\n")


def lines(found: Comparison) -> Iterator[str]:
    """Return the comparison for people."""
    yield f"{found.scenario}: A is {', '.join(found.a)}; B is {', '.join(found.b)}"
    yield from _table([
        ("", "A", "B", "change", "noise", ""),
        *(_cells(one) for one in found.rows),
    ])  # fmt: skip
    yield from found.broken
    yield from (f"note: {note}" for note in found.notes)
    yield f"WORSE: {'; '.join(found.worse)}" if found.worse else "Nothing got worse."


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells, verdict in rows:
        told = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=False))
        yield f"{name:<{widths[0]}}  {told}  {verdict}".rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    unit = f" {row.unit}"
    values = [_figure(value) + (unit if value is not None else "") for value in (row.a, row.b)]
    return (row.metric, *values, _change(row, row.change, "+"), _change(row, row.noise, ""),
            row.verdict)  # fmt: skip


def _change(row: Row, value: float | None, sign: str) -> str:
    if value is None:
        return "-"
    if row.absolute:
        return f"{value:{sign}.3g} {'points' if row.unit == '%' else row.unit}"
    return ">999%" if value > _TIMES_MAX else f"{value:{sign}.1%}"


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= _HUNDRED else f"{value:.3g}"
