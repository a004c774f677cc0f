"""What a line of a movement, a count or a file says, once SKU, owner and unit are known."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from engine.catalogue.types import Stocked
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.limits import IDENTIFIER_LENGTH_MAX
from engine.physical.types.facts import Key
from engine.physical.types.stock import (
    AHEAD_SECONDS_MAX,
    CONDITIONS,
    STOCK_QUANTITY_MAX,
    Kind,
)

_NAME: Final = f"must be 1 to {IDENTIFIER_LENGTH_MAX} characters without control characters"
NOT_IN_ORDER: Final = "must not be before produced_on"
_SIGNED: Final = frozenset({"adjustment", "condition_change"})
# What one unit of a kind does to units on hand and to locked ones.
_EFFECTS: Final[dict[str, tuple[int, int]]] = {
    "receipt": (1, 0),
    "adjustment": (1, 0),
    "transfer_out": (-1, 0),
    "transfer_in": (1, 0),
    "damage": (-1, 0),
    "return_in": (1, 0),
    "condition_change": (1, 0),
    "lock": (0, 1),
    "unlock": (0, -1),
}


class Told(NamedTuple):
    """A line as it came; `owner` None is the SKU's own, `unit` "" single ones."""

    n: int
    node: str
    sku: str
    owner: str | None
    condition: str
    batch: str
    unit: str
    quantity: int
    locked: int = 0


class Placed(NamedTuple):
    """A line whose key is known, in single units."""

    n: int
    key: Key
    quantity: int
    locked: int


class LineFault(NamedTuple):
    """What is wrong with a line: which, in which field, and what is accepted there."""

    n: int
    field: str
    detail: str


def askable(texts: Iterable[str]) -> set[str]:
    """Return those of these names that Postgres can be asked for; no other is of anything."""
    return {text for text in texts if _named(text)}


def place(
    lines: Iterable[Told], nodes: Collection[str], skus: Mapping[str, Stocked]
) -> tuple[list[Placed], list[LineFault]]:
    """Find the key and the units of each line; what is wrong with others is returned beside."""
    placed: list[Placed] = []
    faults: list[LineFault] = []
    for line in lines:
        if wrong := list(_faults_of(line, nodes, skus)):
            faults += wrong
            continue
        known = skus[line.sku]
        owner = known.owner if line.owner is None else line.owner
        factor = known.units[line.unit] if line.unit else 1
        key = Key(line.node, owner, line.sku, CONDITIONS[line.condition], line.batch)
        placed.append(Placed(line.n, key, line.quantity * factor, line.locked * factor))
    return placed, faults


def effects(kind: Kind, lines: Sequence[Placed]) -> tuple[list[Placed], list[LineFault]]:
    """Return what a movement does to each key: signed units on hand, signed locked ones."""
    sign, lock = _EFFECTS[kind]
    faults = [
        LineFault(line.n, "quantity", "must not be 0" if kind in _SIGNED else "must be at least 1")
        for line in lines
        if line.quantity == 0 or (line.quantity < 0 and kind not in _SIGNED)
    ]
    if kind == "condition_change":
        faults += _change_faults(lines)
    done = [
        line._replace(quantity=sign * line.quantity, locked=lock * line.quantity) for line in lines
    ]
    return done, faults


def repeats(lines: Iterable[Placed]) -> Iterator[LineFault]:
    """Yield lines of a count whose key was counted before in the same page."""
    first: dict[Key, int] = {}
    for line in lines:
        before = first.setdefault(line.key, line.n)
        if before != line.n:
            yield LineFault(line.n, "", f"was counted before, by line {before}")


def in_order(produced_on: date | None, expires_on: date | None) -> bool:
    """Tell whether a batch expires no earlier than it was produced, as far as both are known."""
    return produced_on is None or expires_on is None or produced_on <= expires_on


def not_ahead(moment: datetime, now: datetime, pointer: str) -> datetime:
    """Return an instant in UTC that is not in the future, but for clocks that differ a little.

    Raises:
        ValidationFailed: it is, or lies in no sensible year.
    """
    if moment > now + timedelta(seconds=AHEAD_SECONDS_MAX):
        codec.refuse(pointer, f"must not lie more than {AHEAD_SECONDS_MAX} seconds ahead")
    return codec.instant(moment, pointer)


def _faults_of(
    line: Told, nodes: Collection[str], skus: Mapping[str, Stocked]
) -> Iterator[LineFault]:
    if line.node not in nodes:
        yield LineFault(line.n, "node", "there is no such node")
    for field, text in (("owner", line.owner), ("batch", line.batch)):
        if text and not _named(text):
            yield LineFault(line.n, field, _NAME)
    if line.condition not in CONDITIONS:
        yield LineFault(line.n, "condition", f"must be one of {', '.join(CONDITIONS)}")
    known = skus.get(line.sku)
    if known is None:
        yield LineFault(line.n, "sku", "there is no such SKU")
    elif known.is_bundle:
        yield LineFault(line.n, "sku", "is a bundle and has no stock: name its components")
    elif line.unit:
        yield from _unit_faults(line, known)


def _unit_faults(line: Told, known: Stocked) -> Iterator[LineFault]:
    factor = known.units.get(line.unit)
    if factor is None:
        has = ", ".join(sorted(known.units)) or "single units only"
        yield LineFault(line.n, "unit", f"the SKU has no such unit; it has: {has}")
        return
    for field, count in (("quantity", line.quantity), ("locked", line.locked)):
        if abs(count) * factor > STOCK_QUANTITY_MAX:
            yield LineFault(line.n, field, f"comes to more than {STOCK_QUANTITY_MAX} units")


def _change_faults(lines: Sequence[Placed]) -> Iterator[LineFault]:
    if len(lines) != 2:  # noqa: PLR2004 - from one condition to another
        yield LineFault(0, "", "a condition_change has exactly two lines")
        return
    one, other = lines
    if one.quantity + other.quantity:
        yield LineFault(other.n, "quantity", "must be as many as the first line has, negated")
    if one.key._replace(condition="good", batch="") != other.key._replace(
        condition="good", batch=""
    ):
        yield LineFault(other.n, "", "must be of the same node, owner and SKU")
    elif one.key.condition == other.key.condition:
        yield LineFault(other.n, "condition", "must differ from the first line's")


def _named(text: str) -> bool:
    try:
        codec.identifier(text, "")
    except ValidationFailed:
        return False
    return True
