"""A channel as the brand describes it."""

from typing import Annotated, Literal

import msgspec

from engine.kernel import codec
from engine.kernel.limits import GRACE_SECONDS_DEFAULT, HOLD_SECONDS_DEFAULT, HOLD_SECONDS_MAX

Authority = Literal["gate", "external", "record"]
HoldSeconds = Annotated[int, msgspec.Meta(ge=1, le=HOLD_SECONDS_MAX)]
GraceSeconds = Annotated[int, msgspec.Meta(ge=0, le=HOLD_SECONDS_MAX)]
ShortText = Annotated[str, msgspec.Meta(max_length=128)]

# A bank transfer takes days where a wallet takes seconds.
BANK_TRANSFER_SECONDS = 172_800


class ChannelFields(codec.Wire, frozen=True):
    """One shop. `authority` says whether we may refuse its orders, must book or only note them.

    `expires_by` null means: the channel itself when it is external, else us.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    platform: ShortText = ""
    shop_id: ShortText = ""
    legal_entity: ShortText = ""
    owner: ShortText = ""
    authority: Authority = "gate"
    counts_at: Literal["placed", "paid"] = "placed"
    expires_by: Literal["us", "channel"] | None = None
    cool_off_seconds: Annotated[int, msgspec.Meta(ge=0, le=HOLD_SECONDS_MAX)] = 0
    return_to: Literal["channel", "shared"] = "channel"
    hold_seconds: HoldSeconds = HOLD_SECONDS_DEFAULT
    grace_seconds: GraceSeconds = GRACE_SECONDS_DEFAULT
    hold_seconds_by_method: Annotated[
        dict[codec.Identifier, HoldSeconds], msgspec.Meta(max_length=64)
    ] = msgspec.field(default_factory=lambda: {"bank_transfer": BANK_TRANSFER_SECONDS})
    extensions: codec.Document = msgspec.field(default_factory=dict)


class ChannelView(ChannelFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A channel as it is answered; `published` once the cell has this version."""

    channel: str
    version: int
    updated_at: str
    published: bool


class ChannelPage(codec.Answer, frozen=True):
    """One page of channels."""

    items: list[ChannelView]
    next_cursor: str | None
