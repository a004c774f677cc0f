"""One condition from its text: types and names checked, with the place of each mistake.

The library is imported here and nowhere else, and may be missing: it has no wheel for every
platform (`ops/adr/0022-conditions-are-cel-made-into-python.md`), and whoever writes no conditions
needs none.
"""

import difflib
import re
from typing import Any, Final, NamedTuple

from engine.kernel.errors import NotInstalled
from engine.kernel.expressions import generating, weighing, wire
from engine.kernel.expressions.types import Field, Invalid, Kind, Mistake, Schema
from engine.kernel.limits import EXPRESSION_BYTES_MAX

try:
    from cel_expr_python import cel
except ImportError:  # pragma: no cover - tests/unit/kernel/expressions/test_missing.py hides it
    cel = None

_MESSAGE: Final = re.compile(r"^(?:[A-Z_]+: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'$")
_PLACE: Final = re.compile(r"(?: \(in container ''\))?(?: \[[A-Z_]+\])?$")
_SYNTAX: Final = re.compile(
    r"Syntax error: (?:extraneous input|mismatched input|no viable alternative at input"
    r"|token recognition error at:) '(.*?)'(?: expecting .*)?$"
)
_DETAIL_LENGTH_MAX: Final = 300


class Condition(NamedTuple):
    """A condition that was checked.

    `term` is None where the library evaluates it, and `why` says for what. `bind` makes facts by
    name into what `program` is evaluated with; it is the same for all of one checker.
    """

    text: str
    cost: int
    term: generating.Term | None
    why: str
    asked: frozenset[str]
    program: Any
    bind: Any


class Checker:
    """Checks conditions against one schema."""

    def __init__(self, schema: Schema) -> None:
        """Take the fields that may be asked for.

        Raises:
            NotInstalled: the library is missing.
        """
        if cel is None:
            raise NotInstalled(
                "Conditions need the library cel-expr-python, which is not installed here:"
                " install it (pip install cel-expr-python); it has wheels for Linux with glibc,"
                " macOS and Windows on x86-64, and for Linux with glibc and macOS on arm64."
            )
        self.schema = schema
        self._env = cel.NewEnv(variables={one.name: _type(one) for one in schema.fields})
        self._pattern = cel.NewEnv(variables={"p": cel.Type.STRING}).compile("''.matches(p)")

    def check(self, text: str) -> Condition:
        """Return a condition.

        Raises:
            Invalid: with every mistake that was found.
        """
        _bounded(text)
        try:
            program = self._env.compile(text)
        except RuntimeError as failure:
            raise Invalid(self._mistakes(str(failure))) from failure
        if (kind := program.return_type().name()) != "BOOL":
            raise Invalid([Mistake(1, 1, f"must be true or false (bool), and is {kind.lower()}")])
        root = wire.read(program.serialize())
        try:
            cost = weighing.weigh(root, self.schema)
            self._patterns(root)
        except weighing.Refused as refused:
            raise Invalid([Mistake(*position(text, refused.at), refused.detail)]) from refused
        try:
            term, why = generating.term(root, self.schema), ""
        except generating.Unknown as unknown:
            term, why = None, str(unknown)
        return Condition(text, cost, term, why, self._asked(root), program, self._env.Activation)

    def _patterns(self, node: wire.Node) -> None:
        if node.kind == "call" and node.name == "matches":
            found = self._pattern.eval(data={"p": str(node.args[1].value)})
            if found.type() != cel.Type.BOOL:
                raise weighing.Refused(node.args[1].at, str(found.value()).partition(": ")[2])
        for one in node.args:
            self._patterns(one)

    def _asked(self, node: wire.Node) -> frozenset[str]:
        own = {node.name} if node.kind == "ident" and node.name in self.schema.index else set()
        return frozenset(own).union(*(self._asked(one) for one in node.args))

    def _mistakes(self, told: str) -> list[Mistake]:
        if "recursion" in told:
            return [Mistake(1, 1, "is nested too deeply")]
        found = {
            Mistake(max(int(line), 1), max(int(column), 1), self._said(_PLACE.sub("", detail)))
            for line, column, detail in _MESSAGE.findall(told)
            if "<<nil>>" not in detail  # what the parser says of its own state
        }
        return sorted(found) or [Mistake(1, 1, "is not a condition in CEL")]

    def _said(self, detail: str) -> str:
        """Return the library's sentence without its internals, with what is accepted instead."""
        if unknown := _UNDECLARED.match(detail):
            return self._no_field(unknown[1])
        if overload := _OVERLOAD.match(detail):
            return f"{overload[1].strip('@_')} is not for ({overload[2].strip('()')})"
        if syntax := _SYNTAX.match(detail):
            return "ends too soon" if syntax[1] == "<EOF>" else f"{syntax[1]} is not expected here"
        return detail[:_DETAIL_LENGTH_MAX]

    def _no_field(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.schema.index, n=1)
        name = name[:_DETAIL_LENGTH_MAX]
        if near:
            return f"there is no field or function {name}: is it {near[0]}?"
        return f"there is no field or function {name}; fields are {', '.join(self.schema.index)}"


def position(text: str, at: int) -> tuple[int, int]:
    """Return line and column, from 1, of a character."""
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1


def _bounded(text: str) -> None:
    """Refuse what is too long, or could be kept nowhere."""
    for at, one in enumerate(text):
        if (ord(one) < ord(" ") and one not in "\n\t") or "\ud800" <= one <= "\udfff":
            raise Invalid(
                [Mistake(*position(text, at), f"the character U+{ord(one):04X} has no place here")]
            )
    if len(text.encode()) > EXPRESSION_BYTES_MAX:
        raise Invalid([Mistake(1, 1, f"has more than {EXPRESSION_BYTES_MAX} bytes")])


def _type(field: Field) -> Any:
    return {
        Kind.BOOL: cel.Type.BOOL,
        Kind.INT: cel.Type.INT,
        Kind.STRING: cel.Type.STRING,
        Kind.STRINGS: cel.Type.List(cel.Type.STRING),
    }[field.kind]
