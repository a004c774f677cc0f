"""Checked conditions to one Python function, for the part of CEL that can not fail.

What is made is a syntax tree, never text: an author's names do not come into it at all (fields and
variables are numbered), and an author's texts and numbers only as constants. What could fail in CEL
(an overflow, a division, a missing element), or would differ in Python (`1 == true`), is not made
but left to the library.
"""

import ast
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.kernel.expressions.types import Kind, Schema
from engine.kernel.expressions.wire import Node

Judge = Callable[[tuple[Any, ...]], int]
_Key = tuple[Any, ...]

_COMPARE: Final[Mapping[str, type[ast.cmpop]]] = {
    "_==_": ast.Eq, "_!=_": ast.NotEq, "_<_": ast.Lt, "_<=_": ast.LtE, "_>_": ast.Gt,
    "_>=_": ast.GtE,
}  # fmt: skip
_COUNT: Final[Mapping[str, type[ast.operator]]] = {
    "_+_": ast.Add, "_-_": ast.Sub, "_*_": ast.Mult,
}  # fmt: skip
_SEARCH: Final = {"startsWith": "startswith", "endsWith": "endswith"}
_LEAST, _GREATEST = -(2**63), 2**63 - 1
_LOOPED_MAX: Final = 5_000  # the library's budget of iterations is 10,000, for the whole condition
_ELEMENT: Final = {Kind.STRINGS: Kind.STRING}


class Unknown(Exception):
    """Something that is left to the library; the message says what."""


class Term(NamedTuple):
    """A part of a condition: `key` says all of it, and two that are equal are the same thing.

    `low` and `high` bound a number, and the number of elements of a list.
    """

    key: _Key
    kind: Kind
    low: int = 0
    high: int = 0


def term(root: Node, schema: Schema) -> Term:
    """Return a condition as one term.

    Raises:
        Unknown: some part of it is left to the library.
    """
    maker = _Maker(schema)
    made = maker.make(root, {})
    if made.kind is not Kind.BOOL:
        raise Unknown("a condition that is no bool")
    if maker.looped > _LOOPED_MAX:
        raise Unknown("loops over more than the library would")
    return made


class _Maker:
    """Makes the terms of one condition; counts what its loops may go through."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.looped = 0

    def make(self, node: Node, bound: Mapping[str, Term]) -> Term:
        if node.kind == "const":
            return _constant(node)
        if node.kind == "ident":
            return bound.get(node.name) or self._field(node)
        if node.kind == "list":
            return _constants([self.make(one, bound) for one in node.args])
        if node.kind == "loop":
            return self._loop(node, bound)
        if node.kind != "call":
            raise Unknown(node.name)
        return _call(node.name, [self.make(one, bound) for one in node.args])

    def _field(self, node: Node) -> Term:
        if node.name not in self._schema.index:
            raise Unknown(node.name)
        at = self._schema.index[node.name]
        field = self._schema.fields[at]
        low = -field.most if field.kind is Kind.INT else 0
        return Term(("field", at), field.kind, low, field.most)

    def _loop(self, node: Node, bound: Mapping[str, Term]) -> Term:
        over, start, condition, step, result = node.args
        if bound:
            raise Unknown("a loop in a loop")
        which = _macro(node, start, condition, step, result)
        ranged = self.make(over, bound)
        if ranged.kind not in _ELEMENT:
            raise Unknown("a loop over no list of texts")
        self.looped += ranged.high
        variable = Term(("var",), _ELEMENT[ranged.kind])
        body = _only(Kind.BOOL, self.make(step.args[1], {node.name: variable}))
        return Term((which, ranged.key, body.key), Kind.BOOL)


def _macro(node: Node, start: Node, condition: Node, step: Node, result: Node) -> str:
    """Return any or all; whatever else a loop is made of is another macro."""
    here = Node("ident", 0, str(node.value))
    for which, join, begins in (("any", "_||_", False), ("all", "_&&_", True)):
        if (
            (step.kind, step.name, start.kind) == ("call", join, "const")
            and start.value is begins
            and all(one.kind == "ident" and one.name == here.name for one in (step.args[0], result))
            and condition.name == "@not_strictly_false"
        ):
            return which
    raise Unknown("a loop that is neither exists nor all")


def _constant(node: Node) -> Term:
    kinds = {"bool": Kind.BOOL, "int": Kind.INT, "string": Kind.STRING}
    if node.name not in kinds:
        raise Unknown("a literal that is no bool, int or string")
    kind, value = kinds[node.name], node.value
    edge = value if kind is Kind.INT else 0
    return Term(("const", kind.value, value), kind, edge, edge)


def _constants(items: Sequence[Term]) -> Term:
    if not items or any(one.key[0] != "const" or one.kind is not items[0].kind for one in items):
        raise Unknown("a list that is not of literals of one type")
    kind = Kind.STRINGS if items[0].kind is Kind.STRING else items[0].kind
    key = ("consts", items[0].kind.value, tuple(one.key[2] for one in items))
    return Term(key, kind, 0, len(items))


def _call(name: str, args: list[Term]) -> Term:
    for names, maker in _MAKE:
        if name in names:
            return maker(name, args)
    return _of_text(name, args)


def _negated(_name: str, args: list[Term]) -> Term:
    return Term(("not", _only(Kind.BOOL, args[0]).key), Kind.BOOL)


def _joined(name: str, args: list[Term]) -> Term:
    """Return a chain of `&&` or of `||` as one step, however it was nested."""
    which = "and" if name == "_&&_" else "or"
    flat: list[_Key] = []
    for one in args:
        key = _only(Kind.BOOL, one).key
        flat.extend(key[1:] if key[0] == which else (key,))
    return Term((which, *flat), Kind.BOOL)


def _compared(name: str, args: list[Term]) -> Term:
    a, b = args
    plain = {Kind.STRING, Kind.INT} | ({Kind.BOOL} if name in {"_==_", "_!=_"} else set())
    if a.kind is not b.kind or a.kind not in plain or "consts" in {a.key[0], b.key[0]}:
        raise Unknown("a comparison of other than two texts, numbers or bools")
    return Term(("cmp", name, a.key, b.key), Kind.BOOL)


def _counted(name: str, args: list[Term]) -> Term:
    if name == "_+_" and all(one.kind is Kind.STRING for one in args):
        return Term(("count", name, args[0].key, args[1].key), Kind.STRING)
    if any(one.kind is not Kind.INT or one.key[0] == "consts" for one in args):
        raise Unknown("arithmetic with other than numbers")
    if name == "-_":
        found = Term(("neg", args[0].key), Kind.INT, -args[0].high, -args[0].low)
    else:
        a, b = args
        ends = {
            "_+_": (a.low + b.low, a.high + b.high),
            "_-_": (a.low - b.high, a.high - b.low),
            "_*_": tuple(x * y for x in (a.low, a.high) for y in (b.low, b.high)),
        }[name]
        found = Term(("count", name, a.key, b.key), Kind.INT, min(ends), max(ends))
    if found.low < _LEAST or found.high > _GREATEST:
        raise Unknown("arithmetic that may overflow")
    return found


def _in(_name: str, args: list[Term]) -> Term:
    one, many = args
    listed = many.key[0] == "consts" and many.key[1] == one.kind.value
    if one.key[0] == "consts" or not (
        listed or (many.kind is Kind.STRINGS and one.kind is Kind.STRING)
    ):
        raise Unknown("`in` of other than a list of the same type")
    return Term(("in", one.key, many.key), Kind.BOOL)


def _either(_name: str, args: list[Term]) -> Term:
    test, a, b = args
    if a.kind is not b.kind or a.kind is Kind.STRINGS or "consts" in {a.key[0], b.key[0]}:
        raise Unknown("a choice between other than two of one plain type")
    key = ("if", _only(Kind.BOOL, test).key, a.key, b.key)
    return Term(key, a.kind, min(a.low, b.low), max(a.high, b.high))


def _of_text(name: str, args: list[Term]) -> Term:
    if name == "size" and args[0].kind is Kind.STRINGS:
        return Term(("len", args[0].key), Kind.INT, 0, args[0].high)
    if any(one.kind is not Kind.STRING for one in args):
        raise Unknown(name)
    if name == "size":
        return Term(("len", args[0].key), Kind.INT, 0, _GREATEST >> 32)
    if name == "contains":
        return Term(("in", args[1].key, args[0].key), Kind.BOOL)
    if name in _SEARCH:
        return Term(("search", _SEARCH[name], args[0].key, args[1].key), Kind.BOOL)
    raise Unknown(name)


_MAKE: Final = (
    (frozenset({"_&&_", "_||_"}), _joined),
    (frozenset({"!_"}), _negated),
    (frozenset(_COMPARE), _compared),
    (frozenset({*_COUNT, "-_"}), _counted),
    (frozenset({"@in"}), _in),
    (frozenset({"_?_:_"}), _either),
)


def _only(kind: Kind, one: Term) -> Term:
    if one.kind is not kind or one.key[0] == "consts":
        raise Unknown(f"something that is no {kind.value}")
    return one


def judge(terms: Mapping[int, Term], schema: Schema) -> Judge:
    """Return one function from facts to an integer: bit n is set where condition n holds."""
    space: dict[str, Any] = {"__builtins__": {"any": any, "all": all, "len": len}}
    code = compile(tree(terms, schema), "<conditions>", "exec")
    exec(code, space)  # noqa: S102 - of a tree made here: an author's words only as constants
    found: Judge = space["judge"]
    return found


def tree(terms: Mapping[int, Term], schema: Schema) -> ast.Module:
    """Return the module that `judge` runs; what several conditions share is worked out once."""
    bits: dict[_Key, int] = {}
    for bit, one in terms.items():
        bits[one.key] = bits.get(one.key, 0) | 1 << bit
    writer = _Writer(list(bits))
    asked = [(writer.write(key), mask) for key, mask in bits.items()]
    names: list[ast.expr] = [_name(f"f{n}", ast.Store()) for n in range(len(schema.fields))]
    found = ast.Name("found", ast.Store())
    body: list[ast.stmt] = [
        ast.Assign([ast.Tuple(names, ast.Store())], _name("facts")),
        ast.Assign([found], ast.Constant(0)),
        *writer.shared,
        *(
            ast.If(test, [ast.AugAssign(found, ast.BitOr(), ast.Constant(mask))], [])
            for test, mask in asked
        ),
        ast.Return(_name("found")),
    ]
    made = ast.parse("def judge(facts): pass")
    function = made.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = body
    return ast.fix_missing_locations(made)


class _Writer:
    """Turns keys into a syntax tree; `shared` are the statements that come first."""

    def __init__(self, roots: Sequence[_Key]) -> None:
        self.shared: list[ast.stmt] = []
        self._uses = _uses(roots)
        self._named: dict[_Key, str] = {}

    def write(self, key: _Key) -> ast.expr:
        if self._uses[key] < 2 or key[0] in _PLAIN or _has_variable(key):  # noqa: PLR2004 - used twice
            return self._made(key)
        if key not in self._named:
            value = self._made(key)
            self._named[key] = name = f"s{len(self._named)}"
            self.shared.append(ast.Assign([_name(name, ast.Store())], value))
        return _name(self._named[key])

    def _made(self, key: _Key) -> ast.expr:
        return _WRITE[key[0]](self, key)

    def field(self, key: _Key) -> ast.expr:
        return _name(f"f{key[1]}")

    def variable(self, _key: _Key) -> ast.expr:
        return _name("v")

    def constant(self, key: _Key) -> ast.expr:
        return ast.Constant(key[2])

    def constants(self, key: _Key) -> ast.expr:
        return ast.Tuple([ast.Constant(one) for one in key[2]], ast.Load())

    def chain(self, key: _Key) -> ast.expr:
        join = ast.And() if key[0] == "and" else ast.Or()
        return ast.BoolOp(join, [self.write(one) for one in key[1:]])

    def negation(self, key: _Key) -> ast.expr:
        return ast.UnaryOp(ast.Not() if key[0] == "not" else ast.USub(), self.write(key[1]))

    def comparison(self, key: _Key) -> ast.expr:
        return ast.Compare(self.write(key[2]), [_COMPARE[key[1]]()], [self.write(key[3])])

    def arithmetic(self, key: _Key) -> ast.expr:
        return ast.BinOp(self.write(key[2]), _COUNT[key[1]](), self.write(key[3]))

    def membership(self, key: _Key) -> ast.expr:
        many = key[2]
        if many[0] == "consts":  # the compiler makes one frozenset of it
            found: ast.expr = ast.Set([ast.Constant(one) for one in many[2]])
        else:
            found = self.write(many)
        return ast.Compare(self.write(key[1]), [ast.In()], [found])

    def choice(self, key: _Key) -> ast.expr:
        return ast.IfExp(self.write(key[1]), self.write(key[2]), self.write(key[3]))

    def search(self, key: _Key) -> ast.expr:
        method = ast.Attribute(self.write(key[2]), key[1], ast.Load())
        return ast.Call(method, [self.write(key[3])], [])

    def length(self, key: _Key) -> ast.expr:
        return ast.Call(_name("len"), [self.write(key[1])], [])

    def loop(self, key: _Key) -> ast.expr:
        each = ast.comprehension(_name("v", ast.Store()), self.write(key[1]), [], 0)
        return ast.Call(_name(key[0]), [ast.GeneratorExp(self.write(key[2]), [each])], [])


_PLAIN: Final = frozenset({"field", "var", "const", "consts"})
_WRITE: Final[Mapping[str, Callable[[_Writer, _Key], ast.expr]]] = {
    "field": _Writer.field, "var": _Writer.variable, "const": _Writer.constant,
    "consts": _Writer.constants, "and": _Writer.chain, "or": _Writer.chain,
    "not": _Writer.negation, "neg": _Writer.negation, "cmp": _Writer.comparison,
    "count": _Writer.arithmetic, "in": _Writer.membership, "if": _Writer.choice,
    "search": _Writer.search, "len": _Writer.length, "any": _Writer.loop, "all": _Writer.loop,
}  # fmt: skip


def _parts(key: _Key) -> list[_Key]:
    return [] if key[0] in _PLAIN else [one for one in key[1:] if isinstance(one, tuple)]


def _uses(roots: Sequence[_Key]) -> Counter[_Key]:
    """Return by how many different things each part is used."""
    uses: Counter[_Key] = Counter()
    waiting = list(roots)
    while waiting:
        key = waiting.pop()
        uses[key] += 1
        if uses[key] == 1:
            waiting.extend(_parts(key))
    return uses


def _has_variable(key: _Key) -> bool:
    """Say whether a loop's variable is free in it; in a whole loop it is not."""
    if key[0] in {"any", "all"}:
        return False
    return key[0] == "var" or any(_has_variable(one) for one in _parts(key))


def _name(name: str, context: ast.expr_context | None = None) -> ast.expr:
    return ast.Name(name, context or ast.Load())
