"""Rate cards from a CSV file: a row is one line of a card; what is of a whole card is in each row.

A card's surcharges are not in the file: a new version has those of the last one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.carriers.types.documents import CARD_LINES_MAX, CardFields
from engine.infra import sheets
from engine.infra.importing import RowFault
from engine.infra.sheets import MalformedFile, Row
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed

REQUIRED: Final = ("card", "service", "dest", "first_grams", "first")
_NUMBERS: Final = ("first_grams", "first", "step_grams", "step", "least")
_OF_CARD: Final = (
    "service", "effective_from", "effective_until", "currency", "rounding", "divisor",
    "tax_basis_points",
)  # fmt: skip
OPTIONAL: Final = ("origin", "step_grams", "step", "least", *_OF_CARD[1:])
_NUMBERS_OF_CARD: Final = frozenset({"divisor", "tax_basis_points"})
_ROWS_MAX: Final = 200_000
_DIGITS_MAX: Final = 15

_decode: Final = codec.Decoder(CardFields)


@dataclass(slots=True)
class Draft:
    """One card as rows say it; `rows` are the lines of the file, in the order of the card's."""

    card: str
    rows: list[int] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def fields(self, surcharges: object) -> CardFields:
        """Return it as it would be PUT.

        Raises:
            ValidationFailed: by pointers into the document, which `place` reads.
        """
        numbers = {name: int(self.told[name]) for name in _NUMBERS_OF_CARD & self.told.keys()}
        body = self.told | numbers | {"lines": self.lines, "surcharges": surcharges}
        return _decode(msgspec.json.encode(body))

    def place(self, pointer: str, detail: str) -> RowFault:
        """Return the row and column for a place in the document."""
        _, *steps = pointer.split("/")
        if steps[:1] == ["lines"] and len(steps) > 1 and steps[1].isdecimal():
            return self.rows[int(steps[1])], "/".join(steps[2:]), detail
        return self.rows[0], "/".join(steps), detail


def read(path: Path, effective_from: str) -> tuple[list[Draft], list[RowFault]]:
    """Return the cards of a file in the order in which they begin, and what is wrong with rows.

    `effective_from` is for rows that say none.

    Raises:
        MalformedFile: it is not a CSV file of rate cards at all.
    """
    drafts: dict[str, Draft] = {}
    faults: list[RowFault] = []
    count = 0
    with sheets.opened(path) as lines:
        for row in islice(sheets.rows(lines, REQUIRED, OPTIONAL), _ROWS_MAX + 1):
            count += 1
            faults += _take(drafts, row, effective_from)
    if not 0 < count <= _ROWS_MAX:
        raise MalformedFile(f"a file has 1 to {_ROWS_MAX} rows below its header")
    faults += [
        (one.rows[0], "", f"card {one.card} has more than {CARD_LINES_MAX} lines")
        for one in drafts.values()
        if len(one.rows) > CARD_LINES_MAX
    ]
    return list(drafts.values()), faults


def _take(drafts: dict[str, Draft], row: Row, effective_from: str) -> list[RowFault]:
    if row.detail:
        return [(row.line, "", row.detail)]
    named = row.named
    told = {name: named[name] for name in _OF_CARD if named.get(name)}
    if effective_from:
        told.setdefault("effective_from", effective_from)
    faults = list(_row_faults(row, told))
    if faults:
        return faults
    draft = drafts.setdefault(named["card"], Draft(named["card"], told=told))
    if other := sorted(name for name in _OF_CARD if draft.told.get(name) != told.get(name)):
        said = f"must be that of the card's first row, line {draft.rows[0]}"
        return [(row.line, name, said) for name in other]
    numbers = {name: int(named[name]) for name in _NUMBERS if named.get(name)}
    draft.rows.append(row.line)
    draft.lines.append({"origin": named.get("origin", ""), "dest": named["dest"], **numbers})
    return []


def _row_faults(row: Row, told: Mapping[str, str]) -> Iterator[RowFault]:
    named = row.named
    for name in ("card", "service"):
        if wrong := sheets.shortened(named[name]):
            yield row.line, name, wrong
        elif not named[name]:
            yield row.line, name, "is required"
    try:
        codec.identifier(named["card"] or "?", "")
    except ValidationFailed:
        yield row.line, "card", "must be a name without control characters"
    if "effective_from" not in told:
        yield row.line, "effective_from", "is required, here or as --effective-from"
    yield from _number_faults(row.line, named, ("first_grams", "first"), required=True)
    rest = (*_NUMBERS[2:], *sorted(_NUMBERS_OF_CARD))
    yield from _number_faults(row.line, named, rest, required=False)


def _number_faults(
    line: int, named: Mapping[str, str], names: Iterable[str], *, required: bool
) -> Iterator[RowFault]:
    for name in names:
        text = named.get(name, "")
        if text or required:
            sound = text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX
            if not sound:
                yield line, name, "must be a whole number: grams, or minor units of the currency"
