"""A parcel on its way: what is told of it, its clocks, what its channel has to be told."""

from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple, get_args

import msgspec

from engine.kernel import codec
from engine.kernel.limits import IDENTIFIER_LENGTH_MAX

# 揽收, 运输, 到达派送地, 派送, 投递失败, 丢失, 签收, 拒签, 退回中, 退回签收; `damaged` (破损) says
# nothing of where a parcel is.
Milestone = Literal[
    "collected", "in_transit", "arrived", "out_for_delivery", "failed_attempt", "lost",
    "delivered", "refused", "returning", "returned", "damaged",
]  # fmt: skip
MILESTONES: Final = get_args(Milestone)
Fate = Literal["lost", "delivered", "refused", "returning", "returned"]
# hand_over is the node's, until its parcels leave; the others are the carrier's.
LegName = Literal["hand_over", "pickup", "transit", "last_mile"]
LegState = Literal["open", "near", "breached", "met", "void"]
AckState = Literal["pending", "acked", "failed"]

ITEMS_PER_CALL_MAX: Final = 500


class Seen(NamedTuple):
    """One thing that was told of a parcel, by whom; `at` by the teller's clock."""

    milestone: Milestone
    at: datetime
    source: str = ""
    place: str = ""


class Standing(NamedTuple):
    """What all that was told of a parcel comes to; `milestone` is "" while nothing was.

    `reached` has the earliest instant at which each leg of the carrier is known to be done.
    """

    milestone: Milestone | Literal[""] = ""
    at: datetime | None = None
    fate: Fate | None = None
    damaged: bool = False
    reached: tuple[tuple[LegName, datetime], ...] = ()


class Leg(NamedTuple):
    """A stretch with its clock: near its end at `near_at`, breached if not met by `due_at`."""

    leg: LegName
    near_at: datetime
    due_at: datetime
    met_at: datetime | None = None
    state: LegState = "open"


class Parcel(NamedTuple):
    """A parcel with what its clocks go by; `region` is the code of where it goes."""

    parcel_id: str
    tenant: str
    shipment_id: str
    order_id: str
    carrier: str
    waybill: str
    service: str
    region: str
    shipped_at: datetime
    deliver_by: datetime | None
    milestone: str


class Score(NamedTuple):
    """One parcel, or a sum of them, on the card of its service; `minutes` of those delivered."""

    parcels: int = 0
    on_time: int = 0
    breached: int = 0
    delivered: int = 0
    damaged: int = 0
    refused: int = 0
    lost: int = 0
    minutes: int = 0


Text64 = Annotated[str, msgspec.Meta(max_length=64)]
Text128 = Annotated[str, msgspec.Meta(max_length=128)]
Reason = Annotated[str, msgspec.Meta(max_length=256)]


class TrackedIn(codec.Wire, frozen=True):
    """One milestone of one parcel; `raw` is the carrier's own code for it, no text about people."""

    waybill: codec.Identifier
    milestone: Milestone
    at: codec.Instant
    carrier: Text64 = ""
    source: Text64 = ""
    place: Text128 = ""
    raw: Text64 = ""


class TrackingIn(codec.Wire, frozen=True):
    """Milestones, in any order; those told before are told again without harm."""

    items: Annotated[list[TrackedIn], msgspec.Meta(min_length=1, max_length=ITEMS_PER_CALL_MAX)]


class AckResultIn(codec.Wire, frozen=True):
    """A channel took a parcel, or did not; `permanent`: it never will.

    `version` is that of the acknowledgement that was given out.
    """

    parcel_id: codec.Identifier
    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    accepted: bool
    permanent: bool = False
    reason: Reason = ""


class AckResultsIn(codec.Wire, frozen=True):
    """What one channel said to parcels; without `channel`, that of the key."""

    items: Annotated[list[AckResultIn], msgspec.Meta(min_length=1, max_length=ITEMS_PER_CALL_MAX)]
    channel: Annotated[str, msgspec.Meta(max_length=IDENTIFIER_LENGTH_MAX)] = ""


class RawItems(codec.Wire, frozen=True):
    """Any of these bodies before its items are decoded, each by itself."""

    items: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=ITEMS_PER_CALL_MAX)]
    channel: Annotated[str, msgspec.Meta(max_length=IDENTIFIER_LENGTH_MAX)] = ""


class RedeemIn(codec.Wire, frozen=True):
    """The code that the buyer shows at the counter."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]


class TrackedResult(codec.Answer, frozen=True):
    """What became of one milestone; `waits`: for a parcel of that number.

    What was refused has the members of its problem document instead.
    """

    status: int
    result: Literal["recorded", "repeated", "waits"] | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET


class TrackedResults(codec.Answer, frozen=True):
    """One result an item, in their order."""

    results: list[TrackedResult]


class AckedResult(codec.Answer, frozen=True):
    """What became of one answer.

    `again` will be given out once more, `stale` is of a version that was given out before, and
    `unknown` names nothing that this channel was to be told. What was refused has the members of
    its problem document instead.
    """

    status: int
    result: (
        Literal["acked", "again", "failed", "repeated", "stale", "unknown"] | msgspec.UnsetType
    ) = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET


class AckedResults(codec.Answer, frozen=True):
    """One result an item, in their order."""

    results: list[AckedResult]


class AckItem(codec.Answer, frozen=True):
    """Units of a line in a parcel; none are told where its node did not say."""

    line_id: str
    quantity: int


class AckView(codec.Answer, frozen=True):
    """What a channel is to be told: this parcel of this order of its has left."""

    parcel_id: str
    channel: str
    version: int
    order_id: str
    channel_order_id: str
    shipment_id: str
    carrier: str
    waybill: str
    items: list[AckItem]
    shipped_at: str
    state: AckState
    attempts: int
    due_at: str | None
    ship_by: str | None
    reason: str


class AckPage(codec.Answer, frozen=True):
    """Acknowledgements by parcel."""

    items: list[AckView]
    next_cursor: str | None


class MilestoneView(codec.Answer, frozen=True):
    """One thing that was told of a parcel."""

    milestone: str
    at: str
    source: str
    place: str
    received_at: str


class LegView(codec.Answer, frozen=True):
    """A stretch with its clock."""

    leg: str
    due_at: str
    met_at: str | None
    state: str


class ParcelView(codec.Answer, frozen=True):
    """A parcel and its way."""

    parcel_id: str
    shipment_id: str
    order_id: str
    carrier: str
    waybill: str
    service: str
    shipped_at: str
    milestone: str
    milestone_at: str | None
    promised_deliver_by: str | None
    tracking: list[MilestoneView]
    legs: list[LegView]


class ParcelsView(codec.Answer, frozen=True):
    """Parcels of one number: one, as long as no two carriers use the same."""

    items: list[ParcelView]


class ScoreView(codec.Answer, frozen=True):
    """How parcels of a service fared in a region, of those that left on a day (UTC+8).

    `minutes` is the mean of those delivered, null when none was.
    """

    service: str
    region: str
    day: str
    parcels: int
    on_time: int
    breached: int
    delivered: int
    damaged: int
    refused: int
    lost: int
    minutes: int | None


class ScorePage(codec.Answer, frozen=True):
    """Scores by service, day and region."""

    items: list[ScoreView]
    next_cursor: str | None


class CodeView(codec.Answer, frozen=True):
    """A new code for the buyer; it is shown this once, and the one before is worth nothing."""

    shipment_id: str
    code: str
    expires_at: str


class RedeemedView(codec.Answer, frozen=True):
    """The goods were handed out."""

    shipment_id: str
    redeemed_at: str
