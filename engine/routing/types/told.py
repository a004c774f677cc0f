"""Why an order is sent from where it is sent, as it is answered: words, no numbers of nodes."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from engine.kernel import codec


class Names(NamedTuple):
    """What numbers are called."""

    nodes: Sequence[str]
    services: Sequence[str]


class Recorded(NamedTuple):
    """A decision as its row has it."""

    n: int
    at: datetime
    plan: str
    version: int
    stage: int
    rule: int
    verdict: str
    queue: str
    reason: str
    inputs: bytes
    trace: bytes


class FilterView(codec.Answer, frozen=True):
    """One filter: the nodes that it dropped, and how many it left."""

    filter: str
    dropped: list[str]
    left: int


class ScoreView(codec.Answer, frozen=True):
    """One way to send it: from these nodes, with this score in each metric; less is better."""

    nodes: list[str]
    scores: dict[str, int]


class LackView(codec.Answer, frozen=True):
    """A node that no filter dropped, and SKUs of which it had less than the order asks for."""

    node: str
    skus: list[str]


class AttemptView(codec.Answer, frozen=True):
    """One rule that was tried.

    `candidates` are the nodes that no filter dropped, `complete` those of them that had everything.
    `scores` are the best, the best first. `why` is "" where it placed what it could, else the word
    for why it placed nothing.
    """

    stage: int
    rule: int
    name: str
    filters: list[FilterView]
    candidates: list[str]
    complete: list[str]
    lacking: list[LackView]
    scores: list[ScoreView]
    why: str


class RunnerUp(codec.Answer, frozen=True):
    """What was second, and by how much it was worse in each metric."""

    nodes: list[str]
    worse_by: dict[str, int]


class RefusalView(codec.Answer, frozen=True):
    """A node from which no carrier takes it, and the word for why."""

    node: str
    reason: str


class AtomView(codec.Answer, frozen=True):
    """Units of an order's line."""

    line_id: str
    sku: str
    quantity: int


class PartView(codec.Answer, frozen=True):
    """What one node sends in one parcel; `card` is the version that the quote is by."""

    node: str
    service: str
    card: str
    card_version: int
    quote: codec.Money
    grams: int
    ship_by: str | None
    deliver_by: str | None
    lines: list[AtomView]


class DecisionView(codec.Answer, frozen=True):
    """One decision and all that led to it.

    `queue` and `reason` are of the `rest`. `bounded`: the search ended at its bound, so that there
    may be a better one. `carriers` are nodes from which nobody brings such an order there.
    """

    n: int
    at: str
    verdict: str
    plan: str
    version: int
    stage: int
    rule: int
    rule_name: str
    queue: str
    reason: str
    parts: list[PartView]
    rest: list[AtomView]
    runner_up: RunnerUp | None
    tried: list[AttemptView]
    carriers: list[RefusalView]
    bounded: bool


class WaitView(codec.Answer, frozen=True):
    """Where it waits, after how many refusals; `due_at` null: for a person, or for stock."""

    queue: str
    reason: str
    since: str
    due_at: str | None
    hops: int


class RejectionView(codec.Answer, frozen=True):
    """A node that refused units of a line, and until when it is not asked; null: for good."""

    at: str
    line_id: str
    node: str
    units: int
    reason: str
    stock_effect: str
    excluded_until: str | None
    by: str


class PromiseView(codec.Answer, frozen=True):
    """Units that were sold and that no node could send, while `until` is null."""

    line_id: str
    sku: str
    node_group: str
    units: int
    reason: str
    since: str
    until: str | None


class RoutingView(codec.Answer, frozen=True):
    """How an order was routed: its decisions, the last one first, a page of them.

    `rejections` and `broken_promises` are the last ones; all of it goes when its time is over.
    """

    order_id: str
    queue: WaitView | None
    rejections: list[RejectionView]
    broken_promises: list[PromiseView]
    items: list[DecisionView]
    next_cursor: str | None
