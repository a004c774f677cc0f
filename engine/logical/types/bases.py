"""What the chain of one SKU at one node is made from, and what it comes to."""

from datetime import date, datetime, tzinfo
from typing import Literal, NamedTuple

from engine.logical.types.documents import RuleKind
from engine.physical.types.facts import Condition

TermKind = Literal["locked", "committed", "handed_over"] | RuleKind
WhyNot = Literal["", "disabled", "controlled_by_channel", "controlled_by_supplier"]


class Card(NamedTuple):
    """What rules find a SKU by; its owner's stock is what is sold."""

    sku: str
    owner: str
    category: str
    brand: str


class Place(NamedTuple):
    """What rules find a node by, and whether its stock counts; `zone` is where its days begin."""

    node: str
    group: str
    enabled: bool
    controlled_by: str
    zone: tzinfo


class Held(NamedTuple):
    """The balance of one key of a SKU at a node; `sellable` is physical, and may be below 0."""

    condition: Condition
    batch: str
    expires_on: date | None
    on_hand: int
    locked: int
    committed: int
    handed_over: int
    shipped: int
    sellable: int


class Rule(NamedTuple):
    """An enabled rule; "" in what it matches is any. `percent` is in basis points."""

    id: str
    kind: RuleKind
    sku: str = ""
    category: str = ""
    brand: str = ""
    owner: str = ""
    node: str = ""
    node_group: str = ""
    batch: str = ""
    condition: str = ""
    units: int | None = None
    percent: int | None = None
    days: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None


class Applied(NamedTuple):
    """What the rules for a SKU at a node come to at one instant, before its units are looked at.

    `today` is the node's; `needed` the day until which a batch must be good to be sold, `expiry`
    the rule that says so, "" for none. `changes_at` is when the next rule begins or ends.
    """

    conditions: tuple[Rule, ...]
    holds: tuple[Rule, ...]
    today: date
    needed: date
    expiry: str
    safety: Rule | None
    set_asides: tuple[Rule, ...]
    changes_at: datetime | None


class Term(NamedTuple):
    """Units that one step of the chain takes off, never 0.

    `rule` is the id of the rule that does, "" where none is needed for it; `detail` the condition
    that is not sold.
    """

    kind: TermKind
    units: int
    rule: str = ""
    detail: str = ""


class NodeBase(NamedTuple):
    """What may be sold of a SKU at a node: `on_hand` less all terms is `sellable`.

    `counts` says whether it is part of what is shared; `why_not` is "" where it is. `assigned` are
    units that were ever given to the node for orders and not cancelled; they have left `sellable`.
    """

    node: str
    node_group: str
    counts: bool
    why_not: WhyNot
    on_hand: int
    terms: tuple[Term, ...]
    sellable: int
    assigned: int
