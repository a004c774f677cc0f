"""Reads a checked expression as the library serialises it: protobuf's wire form, by hand.

Only the parts of `cel.expr.CheckedExpr` that generating and weighing need; a dependency on protobuf
and its generated classes would be larger than this. The bytes are the library's own, never an
author's, so nothing here has to survive hostile ones.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from engine.kernel.expressions.types import Invalid, Mistake

DEPTH_MAX: Final = 96  # the library's parser ends at 32; a macro makes some levels of one


class Node(NamedTuple):
    """One step of an expression; `at` is the character of the text where it stands.

    `kind` is const (value), ident (name), call (name, args; the receiver, if any, is the first),
    list (args), loop (name is the variable, value the accumulator; args are range, start,
    condition, step, result) or other (name says what).
    """

    kind: str
    at: int
    name: str = ""
    value: Any = None
    args: tuple["Node", ...] = ()


# Field numbers of cel.expr: CheckedExpr, Expr, Constant; and protobuf's wire types.
_SOURCE, _POSITIONS, _ROOT = 5, 4, 4
_ID, _CONST, _IDENT, _SELECT, _CALL, _LIST, _LOOP = 2, 3, 4, 5, 6, 7, 9
_BOOL, _INT, _STRING = 2, 3, 6
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_SIZES: Final = {_FIXED_64: 8, _FIXED_32: 4}


def read(serialised: bytes) -> Node:
    """Return the root of an expression.

    Raises:
        Invalid: it is nested too deeply.
    """
    checked = _fields(_fields(serialised)[2][0])
    source = _fields(checked[_SOURCE][0]) if _SOURCE in checked else {}
    return _node(checked[_ROOT][0], dict(_offsets(source.get(_POSITIONS, []))), 0)


def _node(raw: bytes, offsets: dict[int, int], depth: int) -> Node:
    if depth > DEPTH_MAX:
        raise Invalid([Mistake(1, 1, "is nested too deeply")])
    found = _fields(raw)
    at = offsets.get(found.get(_ID, [0])[0], 0)
    if _CONST in found:
        return Node("const", at, *_constant(found[_CONST][0]))
    if _IDENT in found:
        return Node("ident", at, _text(_fields(found[_IDENT][0])[1]))
    for field, kind in _NESTED.items():
        if field in found:
            name, value, parts = _parts(field, _fields(found[field][0]))
            return Node(
                kind, at, name, value, tuple(_node(one, offsets, depth + 1) for one in parts)
            )
    return Node("other", at, "a field of a value" if _SELECT in found else "a map or a message")


_NESTED: Final = {_CALL: "call", _LIST: "list", _LOOP: "loop"}


def _parts(field: int, inner: dict[int, list[Any]]) -> tuple[str, Any, list[bytes]]:
    """Return name, value and arguments of what has arguments."""
    if field == _CALL:
        return _text(inner[2]), None, [*inner.get(1, []), *inner.get(3, [])]
    if field == _LIST:
        return "", None, inner.get(1, [])
    return _text(inner[1]), _text(inner[3]), [inner[n][0] for n in (2, 4, 5, 6, 7)]


def _constant(raw: bytes) -> tuple[str, Any]:
    """Return (type, value) of a literal; the value of a type that we do not make is its bytes."""
    ((field, value),) = list(_pairs(raw)) or [(1, 0)]
    if field == _BOOL:
        return "bool", bool(value)
    if field == _INT:
        return "int", value - (1 << 64) if value >> 63 else value
    if field == _STRING:
        return "string", value.decode()
    return "other", value


def _offsets(entries: list[bytes]) -> Iterator[tuple[int, int]]:
    for one in entries:
        entry = _fields(one)
        yield entry.get(1, [0])[0], entry.get(2, [0])[0]


def _text(values: list[Any]) -> str:
    return str(values[0].decode())


def _fields(raw: bytes) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for field, value in _pairs(raw):
        found.setdefault(field, []).append(value)
    return found


def _pairs(raw: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        field, form = key >> 3, key & 7
        if form == _VARINT:
            value, at = _varint(raw, at)
            yield field, value
            continue
        size, at = _varint(raw, at) if form == _BYTES else (_SIZES[form], at)
        yield field, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:  # noqa: PLR2004 - the bit that says there is more
            return value, at
        shift += 7
