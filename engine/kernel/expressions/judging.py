"""All conditions of a plan as one function of facts."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from engine.kernel.expressions import generating
from engine.kernel.expressions.checking import Checker, Condition
from engine.kernel.expressions.types import Invalid, Mistake, Schema
from engine.kernel.limits import EXPRESSIONS_BYTES_MAX, EXPRESSIONS_COST_MAX


class _Part(NamedTuple):
    """Conditions that the library evaluates: (which, condition), and the fields they ask for."""

    which: tuple[tuple[int, Condition], ...]
    asked: tuple[tuple[str, int], ...]


class Judge:
    """Judges facts: `judge(facts)` has bit n set where condition n holds.

    A condition that fails (an overflow, a division by zero) does not hold, and has its bit set in
    `judge(facts) >> count` as well. Facts are as `Schema.facts` returns them: of the right types,
    none beyond its field's bound.
    """

    def __init__(self, conditions: Sequence[Condition], schema: Schema) -> None:
        """Take conditions that were checked against this schema."""
        self.count: Final = len(conditions)
        self.faulted = 0  # how often any of them failed
        self.conditions: Final = tuple(conditions)
        self._schema = schema
        self._generated = generating.judge(
            {n: one.term for n, one in enumerate(conditions) if one.term}, schema
        )
        self._left = self._part([n for n, one in enumerate(conditions) if not one.term])

    def __call__(self, facts: tuple[Any, ...]) -> int:
        """Return what holds, and what failed."""
        found = self._generated(facts)
        if self._left.which:
            found |= self._by_library(self._left, facts)
        if found >> self.count:
            self.faulted += 1
        return found

    def by_library(self, facts: tuple[Any, ...]) -> int:
        """Return the same by the library alone: what the generated function is compared with."""
        return self._by_library(self._part(range(self.count)), facts)

    def faults(self, found: int) -> list[int]:
        """Return which conditions failed."""
        return [n for n in range(self.count) if found >> self.count + n & 1]

    def _part(self, which: Sequence[int]) -> _Part:
        asked = frozenset[str]().union(*(self.conditions[n].asked for n in which))
        index = self._schema.index
        return _Part(
            tuple((n, self.conditions[n]) for n in which),
            tuple((name, at) for name, at in index.items() if name in asked),
        )

    def _by_library(self, part: _Part, facts: tuple[Any, ...]) -> int:
        if not part.which:
            return 0
        data = {
            name: list(value) if isinstance(value := facts[at], tuple) else value
            for name, at in part.asked
        }
        bound = part.which[0][1].bind(data)
        found = 0
        for n, one in part.which:
            try:
                value = one.program.eval(bound).value()
            except RuntimeError:  # its own budget of iterations
                value = None
            if value is True:
                found |= 1 << n
            elif value is not False:
                found |= 1 << self.count + n
        return found


class InvalidConditions(Exception):
    """Some conditions are wrong; `mistakes` are (which one, what)."""

    def __init__(self, mistakes: Sequence[tuple[int, Mistake]]) -> None:
        """Take them in the order of the conditions."""
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(f"{n}: {one.detail}" for n, one in mistakes))


def compile_conditions(texts: Sequence[str], schema: Schema) -> Judge:
    """Check conditions and make one function of them.

    Raises:
        InvalidConditions: with the mistakes of all of them.
        NotInstalled: the library is missing, and there is something to check.
    """
    if not texts:
        return Judge((), schema)
    checker = Checker(schema)
    mistakes: list[tuple[int, Mistake]] = []
    found: list[Condition] = []
    size = cost = 0
    for n, text in enumerate(texts):
        size += len(text)
        if size > EXPRESSIONS_BYTES_MAX:
            many = f"all conditions together have more than {EXPRESSIONS_BYTES_MAX} characters"
            raise InvalidConditions([*mistakes, (n, Mistake(1, 1, many))])
        try:
            one = checker.check(text)
        except Invalid as invalid:
            mistakes.extend((n, mistake) for mistake in invalid.mistakes)
            continue
        found.append(one)
        cost += 0 if one.term else one.cost
        if cost > EXPRESSIONS_COST_MAX:
            dear = f"the conditions up to here may take {cost} steps, of {EXPRESSIONS_COST_MAX}"
            raise InvalidConditions([*mistakes, (n, Mistake(1, 1, dear))])
    if mistakes:
        raise InvalidConditions(mistakes)
    return Judge(found, schema)
