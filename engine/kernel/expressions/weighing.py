"""What a condition may cost at most, from its text and the bounds of the fields alone.

The library's own budget counts iterations, not work: it lets `tags.all(a, (skus + skus + …).size()
> 0)` run for minutes, copies a list for each element that `map` adds, and makes a regular
expression anew at each call. So every condition is weighed before it is taken: each step of it,
times as often as loops may come to it, with the longest lists and texts that facts may have. A unit
is about 0.05 us in the library.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from engine.kernel.expressions.types import Kind, Schema
from engine.kernel.expressions.wire import Node
from engine.kernel.limits import EXPRESSION_COST_MAX, IDENTIFIER_LENGTH_MAX

PATTERN_LENGTH_MAX: Final = 64
_MATCH: Final = 1_000  # the library makes the regular expression at each call
_COPY: Final = 3  # an element of a list
_CHUNK: Final = 64  # characters that are compared or copied for one unit
_TESTS: Final = frozenset(
    {"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_&&_", "_||_", "!_", "@in", "size",
     "@not_strictly_false"}
)  # fmt: skip
_SEARCHES: Final = frozenset({"startsWith", "endsWith", "contains"})
_VALUES: Final = frozenset(
    {"-_", "_-_", "_*_", "_/_", "_%_", "int", "uint", "double", "string", "bool", "bytes",
     "timestamp", "duration", "getFullYear", "getMonth", "getDate", "getDayOfMonth",
     "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds"}
)  # fmt: skip


class Refused(Exception):
    """A condition that is too dear, or asks for what conditions may not use."""

    def __init__(self, at: int, detail: str) -> None:
        """Take the character of the text, and what is wrong there."""
        self.at, self.detail = at, detail
        super().__init__(detail)


class Weight(NamedTuple):
    """The cost of a step, and the size of its value: elements of a list (0: none), each so large.

    What nests is `each`, so a list taken out of a list is one of at most `each` elements.
    """

    cost: int
    many: int = 0
    each: int = 1

    @property
    def size(self) -> int:
        """What of it can be copied or compared."""
        return max(self.many, 1) * self.each


def weigh(root: Node, schema: Schema) -> int:
    """Return the greatest cost of a condition.

    Raises:
        Refused: it may be more than `EXPRESSION_COST_MAX`, or something in it is not available.
    """
    return _within(root, _weigh(root, schema, {})).cost


def _within(node: Node, weight: Weight) -> Weight:
    if weight.cost > EXPRESSION_COST_MAX:
        raise Refused(
            node.at,
            f"may take {weight.cost} steps with the longest lists that there are, of at most"
            f" {EXPRESSION_COST_MAX}: nest no loops over long lists, join and copy no lists there",
        )
    return weight


def _weigh(node: Node, schema: Schema, bound: Mapping[str, Weight]) -> Weight:
    if node.kind == "const":
        return Weight(1, 0, 1 + _length(node.value) // _CHUNK)
    if node.kind == "ident":
        return bound.get(node.name) or _field(node, schema)
    if node.kind == "other":
        raise Refused(node.at, f"{node.name} is not available in conditions")
    if node.kind == "loop":
        return _loop(node, schema, bound)
    args = tuple(_weigh(one, schema, bound) for one in node.args)
    spent = 1 + sum(one.cost for one in args)
    if node.kind == "list":
        return Weight(spent, len(args), max((one.size for one in args), default=1))
    return _call(node, args, spent)


def _field(node: Node, schema: Schema) -> Weight:
    if node.name not in schema.index:
        raise Refused(node.at, f"the type {node.name} is not available in conditions")
    field = schema.fields[schema.index[node.name]]
    if field.kind is Kind.STRINGS:
        return Weight(1, field.most, 1 + IDENTIFIER_LENGTH_MAX // _CHUNK)
    return Weight(1, 0, 1 + (field.most // _CHUNK if field.kind is Kind.STRING else 0))


def _call(node: Node, args: tuple[Weight, ...], spent: int) -> Weight:
    sizes = sum(one.size for one in args)
    if node.name in _TESTS:
        return Weight(spent + sizes // 8)
    if node.name in _SEARCHES:
        return Weight(spent + args[0].size * args[-1].size)
    if node.name in _VALUES:
        return Weight(spent + 10 + sizes, 0, 1 + sizes)
    special: Callable[[Node, tuple[Weight, ...], int], Weight] | None = _SPECIAL.get(node.name)
    if special is None:
        raise Refused(node.at, f"{node.name.strip('@_')} is not available in conditions")
    return special(node, args, spent)


def _joined(_node: Node, args: tuple[Weight, ...], spent: int) -> Weight:
    a, b = args
    if a.many or b.many:
        return Weight(spent + _COPY * (a.size + b.size), a.many + b.many, max(a.each, b.each))
    return Weight(spent + a.size + b.size, 0, a.each + b.each)


def _either(_node: Node, args: tuple[Weight, ...], spent: int) -> Weight:
    _, a, b = args
    return Weight(spent, max(a.many, b.many), max(a.each, b.each))


def _element(_node: Node, args: tuple[Weight, ...], spent: int) -> Weight:
    return Weight(spent, 0, args[0].each)


def _matched(node: Node, args: tuple[Weight, ...], spent: int) -> Weight:
    pattern = node.args[1]
    if pattern.kind != "const":
        raise Refused(pattern.at, "the pattern of matches must be written there, as text")
    text = str(pattern.value)
    if len(text) > PATTERN_LENGTH_MAX or any(part in text for part in ("{", r"\p", r"\P")):
        raise Refused(
            pattern.at,
            rf"a pattern has at most {PATTERN_LENGTH_MAX} characters, and no {{n}}, \p or \P",
        )
    return Weight(spent + _MATCH + 8 * args[0].size)


_SPECIAL: Final[Mapping[str, Callable[[Node, tuple[Weight, ...], int], Weight]]] = {
    "_+_": _joined, "_?_:_": _either, "_[_]": _element, "matches": _matched,
}  # fmt: skip


def _loop(node: Node, schema: Schema, bound: Mapping[str, Weight]) -> Weight:
    over, start, condition, step, result = node.args
    ranged = _weigh(over, schema, bound)
    times = ranged.many or ranged.each
    inside = {**bound, node.name: Weight(1, 0, ranged.each), str(node.value): Weight(1, 0, 0)}
    once = _weigh(step, schema, inside)
    spent = ranged.cost + times * (2 + _weigh(condition, schema, inside).cost + once.cost)
    if start.kind == "list":  # map and filter: what is there is copied for each that is added
        spent += _COPY * times * times // 2 * max(once.many, 1)
        made = Weight(1, times * max(once.many, 1), once.each)
    else:
        made = Weight(1)
    last = _weigh(result, schema, {**bound, str(node.value): made})
    return _within(node, Weight(spent + last.cost, last.many, last.each))


def _length(value: object) -> int:
    return len(value) if isinstance(value, str | bytes) else 0
