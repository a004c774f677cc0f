"""A sale to be played over, and what came of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from engine.elastic.types import Lending


class Wish(NamedTuple):
    """Units of one SKU that somebody wants in one shop, so many seconds into the sale."""

    at_s: float
    shop: str
    sku: str
    units: int


# After how many seconds a marketplace confirms to show less; None: it refuses.
Drains: TypeAlias = Callable[[Lending], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A sale: who wanted what when, in the order of time, and the static split it met.

    `guessed` wishes are not recorded: what sold-out shops were probably asked for.
    """

    title: str
    wishes: Sequence[Wish]
    quotas: Mapping[str, Mapping[str, int]]
    lasts_s: float
    marketplaces: frozenset[str] = frozenset()
    guessed: int = 0
    notes: Sequence[str] = ()


class Step(NamedTuple):
    """One thing that happened; `shop` is who sold, refused or lent, `other` whom it lent to."""

    at_s: float
    kind: Literal["sold", "refused", "moved", "asked", "declined"]
    sku: str
    shop: str
    units: int
    other: str = ""
    reason: str = ""


@dataclass(slots=True)
class Outcome:
    """How a sale went."""

    sold: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    steps: list[Step] = field(default_factory=list)

    def of(self, kind: str) -> list[Step]:
        """Return the steps of one kind."""
        return [step for step in self.steps if step.kind == kind]
