"""How a rule divides an order: by its assignment, by what goes together, by what may be cut."""

from collections.abc import Sequence
from typing import Final

from engine.routing.rules import placing, splitting
from engine.routing.rules.candidates import bits
from engine.routing.rules.needs import Wanted
from engine.routing.rules.parcels import SHIP_WITH, Desk, Placed
from engine.routing.rules.scoring import Metric
from engine.routing.types.core import Line, Order, Part

Atom = tuple[int, int]
Piece = tuple[int, int, int]  # node, index of the line, units
_MINUTE_MS: Final = 60_000
_GOES: Final = -1


def place(
    desk: Desk, wanted: Wanted, cand: int, found: Sequence[Metric], demand: tuple[Atom, ...]
) -> Placed:
    """Place what is needed as the rule's assignment says.

    What is picked up, or brought within the hour, comes from one node whatever the rule says.
    """
    rule = desk.rule
    how = rule.assignment if desk.order.mode == "ship" else "SINGLE_NODE"
    if how == "SINGLE_NODE":
        return placing.single(desk, wanted, cand, found, demand)
    if how == "GROUPED":
        return _grouped(desk, wanted, cand, found)
    if rule.split.keep_together:
        wanted = placing.together(wanted, _keys(desk.order, wanted, rule.split.keep_together))
    if how == "MIN_SPLIT":
        placed = placing.single(desk, wanted, cand, found, demand)
        if placed.parts:
            return placed
    return _divided(desk, wanted, cand, found)


def _divided(desk: Desk, wanted: Wanted, cand: int, found: Sequence[Metric]) -> Placed:
    """Place on several nodes what nodes have whole, then what none has whole."""
    lacking, whole, why = Wanted(), wanted, "no_stock"
    pieces: list[Piece] = []
    rest: list[Atom] = []
    short = [n for n, mask in enumerate(wanted.masks) if not mask & cand]
    if short:
        lacking = wanted.only(short)
        whole = wanted.only([n for n, mask in enumerate(wanted.masks) if mask & cand])
        pieces = _pieces(desk, lacking, cand, 0)
        rest = without(lacking.atoms(), pieces)
        why = SHIP_WITH if lacking.torn(cand) else why
    if rest and (until := _held(desk)) != _GOES:
        return Placed((), why="all_or_hold", until=until)
    placed = Placed((), why="" if pieces else why)
    if whole.masks:
        placed = placing.Division(desk, whole, rest, cand, found).placed()
    if placed.why:
        return placed
    if pieces:  # again, because parcels go from some nodes anyway
        used = sum({1 << part.node for part in placed.parts})
        placed = _with_pieces(desk, placed, _pieces(desk, lacking, cand, used), rest)
    return placed._replace(why=placed.why or (why if rest else ""))


def _pieces(desk: Desk, short: Wanted, cand: int, used: int) -> list[Piece]:
    """Return pieces of needs that no node has whole, as far as they may be cut.

    Lines of one SKU are placed line by line, whole, where cutting a line is not allowed.
    """
    pieces: list[Piece] = []
    partial = desk.rule.split.allow_partial_line
    for sku, may, lot in zip(short.skus, short.may, short.lots, strict=True):
        if not sku or (not partial and len(lot) == 1):
            continue
        free = {no: desk.room(no, sku) for no in bits(may & cand)}
        found = splitting.spread(lot, free, used, lines=not partial)
        pieces += found
        for no, _, _ in found:
            used |= 1 << no
    return pieces


def _with_pieces(
    desk: Desk, placed: Placed, pieces: Sequence[Piece], rest: Sequence[Atom]
) -> Placed:
    """Return what was placed with the pieces added to it, in one parcel a node."""
    lots: dict[int, list[Atom]] = {}
    for part in placed.parts:
        lots.setdefault(part.node, []).extend(part.atoms)
    for no, index, units in pieces:
        lots.setdefault(no, []).append((index, units))
    parts: list[Part] = []
    for no, atoms in lots.items():
        told = desk.parts(no, tuple(sorted(atoms)))
        if isinstance(told, str):
            return Placed((), why=told)
        parts += told
    if no_good := desk.refused(parts, rest, desk.before):
        return Placed((), why=no_good)
    return Placed(parts, placed.scores, bounded=True)


def _grouped(desk: Desk, wanted: Wanted, cand: int, found: Sequence[Metric]) -> Placed:
    """Place each group of lines on one node; a group that no node has is left."""
    keys = [key or "-" for key in _keys(desk.order, wanted, desk.rule.split.keep_together)]
    parts: list[Part] = []
    scores: list[tuple[int, tuple[int, ...]]] = []
    rest: list[Atom] = []
    why = ""
    for key in sorted(set(keys)):
        group = wanted.only([n for n, one in enumerate(keys) if one == key])
        placed = placing.single(desk, group, cand, found)
        parts += placed.parts
        scores += placed.scores[: 1 if parts else None]
        if not placed.parts:
            rest += group.atoms()
            why = placed.why
    if not parts:
        return Placed((), why=why)
    if rest and (until := _held(desk)) != _GOES:
        return Placed((), why="all_or_hold", until=until)
    no_good = desk.refused(parts, rest, desk.before)
    return Placed((), why=no_good) if no_good else Placed(parts, tuple(scores), why)


def _held(desk: Desk) -> int:
    """Return until when nothing may go while something lacks: 0 for ever, `_GOES` if it may."""
    split = desk.rule.split
    if not split.all_or_hold:
        return _GOES
    if not split.hold_minutes:
        return 0
    until = desk.order.paid_at + split.hold_minutes * _MINUTE_MS
    return until if desk.now_ms < until else _GOES


def _keys(order: Order, wanted: Wanted, tags: Sequence[str]) -> list[str]:
    """Return by what each need goes together with others, "" if by nothing.

    Keys that the lines of one need have are one key.
    """
    if not wanted.tied:  # then lines of one need have one key
        return [_key(order.lines[lot[0][0]], tags) for lot in wanted.lots]
    every = [{_key(order.lines[index], tags) for index, _ in lot} - {""} for lot in wanted.lots]
    same = {key: key for keys in every for key in keys}
    for keys in every:
        joined = {same[key] for key in keys}
        same |= {key: min(joined) for key, first in same.items() if first in joined}
    return [same[min(keys)] if keys else "" for keys in every]


def _key(line: Line, tags: Sequence[str]) -> str:
    key = next((tag for tag in tags if tag in line.tags), "")
    if not key and "bundle" in tags and line.parts_of:
        key = f"bundle:{line.parts_of}"
    return key


def without(demand: Sequence[Atom], gone: Sequence[Piece]) -> list[Atom]:
    """Return what is left of a demand: what remains, never what is there."""
    if not gone:
        return list(demand)
    left = dict(demand)
    for _, index, units in gone:
        left[index] -= units
    return [(index, units) for index, units in left.items() if units]
