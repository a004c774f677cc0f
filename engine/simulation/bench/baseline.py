"""Now against a report that was kept: ratios to the bare handler, because machines differ."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from engine.simulation.bench.machine import Machine, Versions
from engine.simulation.bench.report import ANSWERS, RECORDING, TOTAL, Change, Report, Row

ALLOWED: Final = 0.15
_NEGLIGIBLE: Final = 0.1  # of the bare handler: what costs less is never what an order costs
_SAID: Final = 0.05
_LEGS_MIN: Final = 12  # whose middle tells what all have in common


class Unusable(ValueError):
    """The file is not a report of this bench."""


def read(path: Path) -> Report:
    """Return a report as `--json` wrote it.

    Raises:
        Unusable: with what is wrong.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise Unusable(f"is not what `tidegate bench --json` writes: {error}") from None


def compare(
    then: Mapping[str, Row], now: Mapping[str, Row], *, same_machine: bool = True
) -> list[Change]:
    """Return how CPU per order changed, leg by leg, where both runs have it.

    Worse is only what is certain: the whole interval of now lies beyond what is allowed, also of
    what all have in common (`drift`), on a machine of the same kind; on another one, changes are
    shown and nothing is worse.
    """
    found = [change for name in now for change in _changes(name, then.get(name), now[name])]
    most = (1 + ALLOWED) * drift(found)
    return [
        msgspec.structs.replace(one, worse=same_machine and 1 + one.low > most) for one in found
    ]


def drift(changes: Sequence[Change]) -> float:
    """Return how many times dearer all processes are together, at least 1; 1 of a few alone.

    All are divided by one bare handler, so what they have in common may be the divisor's: on one
    machine all legs were 16 to 49 % dearer, Valkey's and Postgres' as much as ours, with nothing
    changed in either. A commit makes one process dearer, or some, and seldom half of all legs.
    """
    legs = [1 + one.change for one in changes if one.leg not in {RECORDING, TOTAL}]
    return max(1.0, median(legs)) if len(legs) >= _LEGS_MIN else 1.0


def confirmed(report: Report, again: Report) -> Report:
    """Return a report in which is worse only what `again` found worse as well, with its figures.

    Of thirty intervals of one noisy run some leave the truth out; hardly ever the same one twice.
    """
    second = {(one.name, one.leg): one for one in again.changes}
    changes, notes = [], list(report.notes)
    for one in report.changes:
        now = second.get((one.name, one.leg))
        if one.worse and now is not None:
            notes.append(
                f"{one.name} {one.leg}: {one.change:+.0%}, at least {one.low:+.0%}; measured "
                f"again, {again.pairs} pairs: {now.change:+.0%}, at least {now.low:+.0%}"
            )
            changes.append(now)
        else:
            changes.append(one)
    return msgspec.structs.replace(
        report, changes=changes, notes=notes, faults=[*report.faults, *again.faults],
        seconds=report.seconds + again.seconds,
    )  # fmt: skip


def remarks(then: Report, machine: Machine, versions: Versions) -> list[str]:
    """Say what makes the comparison weaker than one on one machine."""
    was = (then.machine.cpu, then.machine.cores, then.versions.python)
    now = (machine.cpu, machine.cores, versions.python)
    if was == now:
        return []
    cpu, cores, python = was
    said = f"the baseline is of {cpu}, {cores} cores, Python {python}"
    return [f"{said}: changes are shown, and none is judged to be worse"]


def common(changes: Sequence[Change]) -> list[str]:
    """Say what all legs have in common, if that changed what is judged."""
    by = drift(changes) - 1
    if by < _SAID:
        return []
    return [f"half of all legs are at least {by:+.0%}: a leg is worse {ALLOWED:.0%} beyond that"]


def _changes(name: str, then: Row | None, now: Row) -> Iterator[Change]:
    if then is None:
        return
    for leg in sorted(now.to_bare.keys() & then.to_bare.keys() - {ANSWERS}):
        was, figure = then.to_bare[leg].median, now.to_bare[leg]
        if max(was, figure.median) < _NEGLIGIBLE or not was:
            continue
        yield Change(
            name=name, leg=leg, then=was, now=figure, change=figure.median / was - 1,
            low=figure.low / was - 1, worse=False,
        )  # fmt: skip
