"""Nouns of explanations: what they are made from, and how they are answered."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from engine.inventory.rules.supply import Outcome
from engine.inventory.types import Dimensions
from engine.inventory.types.supply import Stock
from engine.kernel import codec
from engine.logical.types.bases import NodeBase

Layer = Literal["physical", "logical", "shared", "channel"]
ChangeKind = Literal["disable_rule", "count_node", "move_units", "raise_cap", "resume"]


class Accounts(NamedTuple):
    """What is out of a pool, as recorded."""

    held: int
    sold: int
    owed: int


class Reach(NamedTuple):
    """What the cell was told that a channel may draw from; `left` is None without a cap."""

    channel: str
    campaign: str
    draws: Sequence[tuple[Dimensions, int | None]]


class Known(NamedTuple):
    """Everything that an explanation is made from, read at one instant.

    `gates` say why nothing at all is sold: (channel layer's word, what is closed), by campaign.
    """

    stock: Stock
    nodes: Sequence[NodeBase]
    accounts: Mapping[Dimensions, Accounts]
    reaches: Sequence[Reach]
    gates: Mapping[str, Sequence[tuple[str, str]]]


class Plan(NamedTuple):
    """What a SKU comes to at one instant, made once for all of its channels.

    `credit` are units that may be sold of pools although they are not there. `final` is what pools
    are given in the end, `given` what they are given already; where a whole group is still to get
    or to lose units, it is `final` as well, for that is nothing that a change frees.
    """

    outcome: Outcome
    credit: Mapping[Dimensions, int]
    given: Mapping[Dimensions, int]
    final: Mapping[Dimensions, int]


class Term(codec.Answer, frozen=True):
    """Units that one step takes off (below 0: adds), and how many are left after it.

    `about` is the rule, node, pool or group that it is about, where it is about one.
    """

    layer: Layer
    kind: str
    about: str
    units: int
    left: int


class Change(codec.Answer, frozen=True):
    """One thing that could be done, and how many more units the channel could sell after it.

    That is reckoned to where it stays: a floor or cap takes some of what is moved back again.

    `kind` and `about` as in the term that it would change, `term`.
    """

    change: ChangeKind
    about: str
    frees: int
    term: str
    says: str


class ListingView(codec.Answer, frozen=True):
    """What a marketplace is told of one link: of `sellable` less owed and buffer, in its units."""

    item_id: str
    sku_id: str
    units_per: int
    state: str
    sellable: int
    buffer: int
    published: int
    acked: int | None
    seen: int | None


class ChannelView(codec.Answer, frozen=True):
    """The chain of one channel, every day (campaign "") or in a campaign.

    It begins with `start` units and ends with `sellable`; terms sum up exactly. `binding` is the
    term that keeps most units from being sold of those that one change would free; null: there are
    no more units. `changes` are the most freeing ones first. `more`, where all channels are
    explained: the smaller of many terms of one kind are one, about "N others", or changes are left
    out; ask for this channel.
    """

    channel: str
    campaign: str
    start: int
    terms: list[Term]
    sellable: int
    binding: Term | None
    changes: list[Change]
    listings: list[ListingView]
    more: bool = False


class NodeView(codec.Answer, frozen=True):
    """What a node has, and why not all of it may be sold."""

    node: str
    node_group: str
    counts: bool
    why_not: str
    on_hand: int
    terms: list[Term]
    sellable: int
    assigned: int


class Physical(codec.Answer, frozen=True):
    """Units in places; `counted` is false where nobody ever told of any."""

    counted: bool
    on_hand: int
    nodes: list[NodeView]


class GroupView(codec.Answer, frozen=True):
    """What may be sold of a group of nodes, and what of it is given out.

    `lacking` are units that orders hold or bought and that are not there.
    """

    node_group: str
    sellable: int
    assigned: int
    lacking: int


class PoolView(codec.Answer, frozen=True):
    """A pool as recorded."""

    channel: str
    campaign: str
    node_group: str
    available: int
    held: int
    sold: int
    owed: int


class Logical(codec.Answer, frozen=True):
    """What may be sold at all."""

    groups: list[GroupView]


class Shared(codec.Answer, frozen=True):
    """What the pools of the SKU have."""

    pools: list[PoolView]


class ComponentView(codec.Answer, frozen=True):
    """Units of a SKU in one bundle."""

    sku: str
    quantity: int


class StockView(codec.Answer, frozen=True):
    """Why as many of a SKU are for sale as are, as Postgres has recorded it up to `log_id`.

    For a key that is bound to a channel, the other layers are null and terms are left out. A bundle
    has no stock of its own: `binding` is the component of which there is least, to be explained by
    itself. `more`: channels in campaigns are left out, because there are many; ask for one channel.
    """

    sku: str
    owner: str
    as_of: str
    log_id: str
    physical: Physical | None
    logical: Logical | None
    shared: Shared | None
    channel: list[ChannelView]
    components: list[ComponentView]
    more: bool = False
