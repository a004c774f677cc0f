"""Bundles in a claim: sold as one line, held as their components; pure.

A bundle's line keeps its number, its units and its money, and draws nothing. Its components stand
behind all lines that were asked for, each marked with the line it belongs to and how many units of
it are in one: so a hold says by itself, for ever, what each bundle of it stands for
(`lua/include/hold.lua`).
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from engine.kernel import codec
from engine.kernel.limits import QUANTITY_MAX

SOLD: Final = "bundle"  # marks a bundle's own line
LINES_MAX: Final = 400  # of one order, components included; as LINES_KEPT_MAX in snapshot.lua

Line: TypeAlias = tuple[str, int, int, str]  # SKU, units, minor units, mark or what to do if short
Components: TypeAlias = Sequence[tuple[str, int]]


class Part(NamedTuple):
    """A component: its own line, whose it is (0: no line's any more), and its units in each."""

    line_no: int
    of: int
    sku: str
    per: int


def expanded(lines: tuple[Line, ...], known: Mapping[str, Components]) -> tuple[Line, ...]:
    """Return lines with the components of those that are bundles behind them.

    Raises:
        ValidationFailed: too many lines or units, or a bundle that may be dropped.
    """
    for line in lines:
        if line[0] in known:
            break
    else:
        return lines  # nearly always, and then at once
    sold, parts = list(lines), []
    for n, line in enumerate(lines, start=1):
        components = known.get(line[0])
        if components:
            _require_whole(n - 1, line, components)
            sold[n - 1] = (*line[:3], SOLD)
            parts += [(sku, line[1] * per, 0, mark(n, per)) for sku, per in components]
    if len(sold) + len(parts) > LINES_MAX:
        codec.refuse("/lines", f"with all components at most {LINES_MAX} lines")
    return (*sold, *parts) if parts else lines


def _require_whole(n: int, line: Line, components: Components) -> None:
    _, units, _, on_short = line
    if on_short != "refuse":
        codec.refuse(f"/lines/{n}/on_short", "a bundle is taken whole or refused: refuse")
    most = units * max(per for _, per in components)
    if most > QUANTITY_MAX:
        codec.refuse(
            f"/lines/{n}/quantity", f"is {most} units of a component: at most {QUANTITY_MAX}"
        )


def mark(of: int, per: int) -> str:
    """Return the mark of a component's line."""
    return f"{of}*{per}"


def have_parts(lines: Sequence[Line]) -> bool:
    """Whether a claim has bundles: the last line is a component then."""
    return "*" in lines[-1][3]


def part_of(mark: str) -> tuple[int, int] | None:
    """Return of which line a component is, and its units in each; None for other lines."""
    of, star, per = mark.partition("*")
    return (int(of), int(per)) if star else None


def parts_of(lines: Sequence[Line]) -> list[Part]:
    """Return the components among a claim's or a hold's lines, in their order."""
    return [
        Part(n, found[0], line[0], found[1])
        for n, line in enumerate(lines, start=1)
        if "*" in line[3] and (found := part_of(line[3])) is not None
    ]


def columns(lines: Sequence[Line]) -> list[tuple[int, int]]:
    """Return `part_of` and `per` of each line, as `order_lines` has them."""
    found = []
    for n, line in enumerate(lines, start=1):
        of, per = part_of(line[3]) or (n if line[3] == SOLD else 0, 0)
        found.append((of or -1 if per else of, per))
    return found


def as_accepted(lines: Sequence[Line], parts: Sequence[Part]) -> tuple[Line, ...]:
    """Return a repeated claim's lines with the components that it was accepted with."""
    of = {part.of for part in parts}
    posted = [
        (sku, units, payable, SOLD if n in of else "refuse" if on_short == SOLD else on_short)
        for n, (sku, units, payable, on_short) in enumerate(lines, start=1)
        if "*" not in on_short
    ]
    behind = [
        (part.sku, posted[part.of - 1][1] * part.per, 0, mark(part.of, part.per)) for part in parts
    ]
    return (*posted, *behind)


def named(lines: Sequence[Line], n: int) -> dict[str, object]:
    """Return how a refusal names a line: a component by its bundle's line, and by its own SKU."""
    found = part_of(lines[n - 1][3])
    if found is None:
        return {"line": n, "sku": lines[n - 1][0]}
    return {"line": found[0], "sku": lines[found[0] - 1][0], "component": lines[n - 1][0]}
