"""What conditions may ask for, and what may be wrong with one."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from engine.kernel.limits import IDENTIFIER_LENGTH_MAX

INT_MAX: Final = 2**53  # far from where 64 bits end, so that sums of fields need no check


class Kind(Enum):
    """The type of a field, by its name in CEL."""

    BOOL = "bool"
    INT = "int"
    STRING = "string"
    STRINGS = "list(string)"


class Field(NamedTuple):
    """A field of a schema.

    `most` is the greatest magnitude of a number, the length of the longest text, or how many texts
    a list has at most. Costs and overflows are judged by it, so no fact may be beyond it.
    """

    name: str
    kind: Kind
    most: int = 0


class Mistake(NamedTuple):
    """What is wrong with a condition, and where: line and column from 1, in characters."""

    line: int
    column: int
    detail: str


class Invalid(Exception):
    """A condition that is not one; nothing was compiled."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        """Take all that was found, in the order of the text."""
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(f"{one.line}:{one.column}: {one.detail}" for one in mistakes))


class Schema:
    """The fields that conditions may ask for, in the order in which facts are given."""

    def __init__(self, *fields: Field) -> None:
        """Take the fields; their names are ours, never an author's."""
        self.fields: Final = fields
        self.index: Final = {field.name: n for n, field in enumerate(fields)}
        assert len(self.index) == len(fields), "a name is given twice"
        assert all(field.name.isidentifier() for field in fields)

    def facts(self, values: Mapping[str, object]) -> tuple[Any, ...]:
        """Return facts for `judge`; what is missing is "", 0, false or empty.

        Raises:
            ValueError: a name that is no field, another type, or more than the field has at most.
        """
        for name in values:
            if name not in self.index:
                raise ValueError(f"{name} is not a field: {', '.join(self.index)}")
        return tuple(_fact(field, values.get(field.name)) for field in self.fields)


def text(name: str, most: int = IDENTIFIER_LENGTH_MAX) -> Field:
    """Return a field that is text of at most so many characters."""
    return Field(name, Kind.STRING, most)


def number(name: str, most: int = INT_MAX) -> Field:
    """Return a field that is a whole number from -most to most."""
    return Field(name, Kind.INT, most)


def flag(name: str) -> Field:
    """Return a field that is true or false."""
    return Field(name, Kind.BOOL)


def texts(name: str, most: int) -> Field:
    """Return a field that is a list of at most so many texts."""
    return Field(name, Kind.STRINGS, most)


_EMPTY: Final[dict[Kind, object]] = {
    Kind.BOOL: False,
    Kind.INT: 0,
    Kind.STRING: "",
    Kind.STRINGS: (),
}


def _fact(field: Field, value: object) -> object:
    if value is None:
        return _EMPTY[field.kind]
    if field.kind is Kind.STRINGS and isinstance(value, list | tuple | set | frozenset):
        many = tuple(sorted(value) if isinstance(value, set | frozenset) else value)
        fits = len(many) <= field.most and all(
            isinstance(one, str) and len(one) <= IDENTIFIER_LENGTH_MAX for one in many
        )
        if fits:
            return many
    elif _is(field, value):
        return value
    raise ValueError(f"{field.name} must be {field.kind.value}, at most {field.most}")


def _is(field: Field, value: object) -> bool:
    if field.kind is Kind.INT:
        return type(value) is int and abs(value) <= field.most
    if field.kind is Kind.STRING:
        return isinstance(value, str) and len(value) <= field.most
    return field.kind is Kind.BOOL and isinstance(value, bool)
