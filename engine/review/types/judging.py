"""What is judged, and what comes of it. Instants are ms since the epoch, money is minor units."""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from engine.kernel.expressions.judging import Judge
from engine.review.types.documents import ReviewRule

Said = Literal["approve", "block"]
REVIEW: Final = "review"  # the codes of blocks that are set here
COOL_OFF: Final = "cool_off"
PRESALE: Final = "presale"
NEVER: Final = 0  # the end of a block that only a person lifts


class Rules(NamedTuple):
    """Rules that judge: `judge` has a bit for each, in their order; version 0 is none."""

    version: int
    rules: tuple[ReviewRule, ...]
    judge: Judge | None


NO_RULES: Final = Rules(0, (), None)


class Demand(NamedTuple):
    """Open units of a line, out of the pool of one group of nodes, that no shipment has."""

    line_no: int
    sku: str
    group: str
    units: int


class Standing(NamedTuple):
    """A block that stands, until then or (`NEVER`) until it is lifted."""

    code: str
    until: int = NEVER
    reason: str = ""


class Review(NamedTuple):
    """What was said of an order before; `digest` is of the facts that it was said of."""

    revision: int
    digest: str
    verdict: Said
    rule: str
    version: int


class Subject(NamedTuple):
    """A recorded order as it stands.

    `facts` are in the order of `REVIEW_SCHEMA`. `paid_at` is 0 while no money came, as of one that
    is paid on delivery, which cools off from `placed_at` on.
    """

    order_id: str
    state: str
    payment_state: str
    authority: str
    fulfilled_by: str
    placed_at: int
    paid_at: int
    cool_off_s: int
    facts: tuple[Any, ...]
    digest: str
    demand: tuple[Demand, ...]
    blocks: tuple[Standing, ...] = ()
    last: Review | None = None


class Verdict(NamedTuple):
    """What is to become of an order.

    `ready` to be routed; `waits` until an instant; `blocked` until a person acts; `none`: there is
    nothing to route. `queue` is where it stands meanwhile. `code` and `reason` are of the block
    that lasts longest. `set` are the blocks that are new, `review` what was said if that is new.
    """

    kind: Literal["ready", "waits", "blocked", "none"]
    queue: Literal["NEW", "HELD_RISK", "HELD_PRESALE", ""] = ""
    until: int = 0
    code: str = ""
    reason: str = ""
    set: Sequence[Standing] = ()
    review: Review | None = None


NONE: Final = Verdict("none")
