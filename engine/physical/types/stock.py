"""Movements and counts as they are told, and balances as they are answered."""

from datetime import date
from typing import Annotated, Final, Literal

import msgspec

from engine.kernel import codec
from engine.physical.types.facts import Basis, Condition

STOCK_QUANTITY_MAX: Final = 1_000_000_000  # of one line, in units
MOVEMENT_LINES_MAX: Final = 500
COUNT_LINES_MAX: Final = 5_000
PAGES_MAX: Final = 10_000
# A count or movement from further ahead is refused: it would outrank everything until then.
AHEAD_SECONDS_MAX: Final = 600

Kind = Literal[
    "receipt",
    "adjustment",
    "transfer_out",
    "transfer_in",
    "damage",
    "return_in",
    "condition_change",
    "lock",
    "unlock",
]
# As Qimen says it, and in plain words; answers are in plain words.
CONDITIONS: Final[dict[str, Condition]] = {
    "ZP": "good",
    "CC": "defective",
    "JS": "carrier_damaged",
    "XS": "box_damaged",
    "ZT": "in_transit",
    "good": "good",
    "defective": "defective",
    "carrier_damaged": "carrier_damaged",
    "box_damaged": "box_damaged",
    "in_transit": "in_transit",
}
ConditionIn = Literal[
    "good",
    "defective",
    "carrier_damaged",
    "box_damaged",
    "in_transit",
    "ZP",
    "CC",
    "JS",
    "XS",
    "ZT",
]

_Text = Annotated[str, msgspec.Meta(max_length=128)]
_Signed = Annotated[int, msgspec.Meta(ge=-STOCK_QUANTITY_MAX, le=STOCK_QUANTITY_MAX)]
_Units = Annotated[int, msgspec.Meta(ge=0, le=STOCK_QUANTITY_MAX)]


class MovementLine(codec.Wire, frozen=True):
    """Units of one key; without `owner`, the SKU's own; without `unit`, single ones.

    `quantity` is signed for `adjustment` and `condition_change`; every other kind has its sign, and
    takes a positive one.
    """

    node: codec.Identifier
    sku: codec.Identifier
    quantity: _Signed
    owner: _Text | None = None
    condition: ConditionIn = "good"
    batch: _Text = ""
    unit: _Text = ""


class MovementFields(codec.Wire, frozen=True):
    """What happened at once, by the warehouse's clock; without `happened_at`, now.

    A `condition_change` has two lines: units of one condition less, as many of another more.
    """

    reference: codec.Identifier
    kind: Kind
    lines: Annotated[list[MovementLine], msgspec.Meta(min_length=1, max_length=MOVEMENT_LINES_MAX)]
    happened_at: codec.Instant | None = None
    reason: Annotated[str, msgspec.Meta(max_length=256)] = ""


class BalanceView(codec.Answer, frozen=True):
    """What there is of one key.

    on_hand - locked - committed - handed_over = sellable, which may be below 0: then units that
    were promised are not there. `shipped` is how many ever left for orders.
    """

    node: str
    owner: str
    sku: str
    condition: Condition
    batch: str
    produced_on: str | None
    expires_on: str | None
    on_hand: int
    locked: int
    committed: int
    handed_over: int
    shipped: int
    sellable: int
    basis: Basis
    as_of: str | None
    sequence: int
    report: str
    version: int
    updated_at: str


class BalancePage(codec.Answer, frozen=True):
    """One page of balances."""

    items: list[BalanceView]
    next_cursor: str | None


class Posted(codec.Answer, frozen=True):
    """One line of a movement: by how much it changed what there is, and what there is then.

    `applied` is false where a count that was taken later was here before: it knows of it.
    """

    node: str
    owner: str
    sku: str
    condition: Condition
    batch: str
    quantity: int
    locked: int
    applied: bool
    why_not: str
    balance: BalanceView


class MovementView(codec.Answer, frozen=True):
    """A movement that was recorded; the same reference gets the same answer.

    After a week its lines are forgotten, and `lines_kept` is false: it was recorded all the same,
    as the list of movements shows.
    """

    reference: str
    kind: Kind
    happened_at: str
    lines: list[Posted]
    lines_kept: bool = True


class MovedView(codec.Answer, frozen=True):
    """One recorded change; kind `count` is what a count corrected."""

    movement_id: int
    kind: str
    reference: str
    n: int
    node: str
    owner: str
    sku: str
    condition: Condition
    batch: str
    quantity: int
    locked: int
    reason: str
    actor: str
    happened_at: str
    received_at: str
    applied: bool
    why_not: str


class MovedPage(codec.Answer, frozen=True):
    """One page of recorded changes, in the order in which their recording began.

    Changes that are recorded at once may end in another order, so the last ones shown may yet get
    one before them. `resume` is the cursor behind which that can be: whoever follows the list gives
    it next, always, and is shown each change at least once, some of the last ones again (the
    `movement_id` tells). null: from the beginning.
    """

    items: list[MovedView]
    next_cursor: str | None
    resume: str | None


class CountLine(codec.Wire, frozen=True):
    """What was counted of one key; dates are those of its batch.

    A warehouse that accepted more than it has may say less than 0 with basis `available`.
    """

    sku: codec.Identifier
    quantity: _Signed
    locked: _Units = 0
    condition: ConditionIn = "good"
    batch: _Text = ""
    produced_on: date | None = None
    expires_on: date | None = None
    unit: _Text = ""


class CountFields(codec.Wire, frozen=True):
    """One page of a count: what a warehouse had of an owner's goods at `as_of`, by its clock.

    `basis` says what a quantity is: `on_hand`, all units in the place, or `available`, without
    locked ones and those taken by orders it had accepted. Of two counts of one instant the greater
    `sequence` counts. Without `owner`, each SKU's own. With `complete`, which needs `owner`, keys
    that no page names were counted 0, once all pages are here.
    """

    report: codec.Identifier
    node: codec.Identifier
    basis: Basis
    as_of: codec.Instant
    lines: Annotated[list[CountLine], msgspec.Meta(max_length=COUNT_LINES_MAX)]
    owner: _Text | None = None
    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    page: Annotated[int, msgspec.Meta(ge=1, le=PAGES_MAX)] = 1
    pages: Annotated[int, msgspec.Meta(ge=1, le=PAGES_MAX)] = 1
    complete: bool = False


class CountView(codec.Answer, frozen=True):
    """What became of a page: of its lines, and of keys that the whole report does not name.

    `stale` ones were counted later already, or the same. `zeroed` are keys that a complete report
    left out; `corrected` are those of the applied and zeroed ones where we had another number.
    """

    report: str
    page: int
    pages: int
    applied: int
    stale: int
    corrected: int
    zeroed: int
    pages_missing: int
