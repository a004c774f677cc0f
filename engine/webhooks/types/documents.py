"""Webhooks as callers see them."""

from typing import Annotated, Literal

import msgspec

from engine.kernel import codec

TYPES_MAX = 64
CHANNELS_MAX = 64
IDS_MAX = 500
DESCRIPTION_MAX = 256
OVERLAP_DEFAULT_S = 86_400
OVERLAP_MAX_S = 30 * 86_400

_Description = Annotated[str, msgspec.Meta(max_length=DESCRIPTION_MAX)]
_Types = Annotated[
    list[str],
    msgspec.Meta(max_length=TYPES_MAX, description="`order.paid`, or `order.*`; none: all"),
]
_Channels = Annotated[
    list[str],
    msgspec.Meta(max_length=CHANNELS_MAX, description="none: all, and what is of no channel"),
]


class WebhookIn(codec.Wire, frozen=True):
    """Who is to be told, and of what."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2_048)]
    types: _Types = msgspec.field(default_factory=list)
    channels: _Channels = msgspec.field(default_factory=list)
    description: _Description = ""


class WebhookView(codec.Answer, frozen=True):
    """An endpoint without its secrets; `circuit` open: it is only probed now and then."""

    endpoint_id: str
    url: str
    types: list[str]
    channels: list[str]
    description: str
    state: Literal["active", "disabled"]
    cause: str
    circuit: Literal["closed", "open"]
    failing_since: str | None
    delivered_at: str | None
    backlog: int
    waiting: int
    dead: int
    secrets: list[str | None]
    created_at: str
    updated_at: str


class WebhookMade(WebhookView, frozen=True):
    """An endpoint with its secret, which is shown this once."""

    secret: str


class WebhookPage(codec.Answer, frozen=True):
    """One page of endpoints."""

    items: list[WebhookView]
    next_cursor: str | None


class RotateIn(codec.Wire, frozen=True):
    """For how long what is sent is signed with the former secrets, too; 0: not at all."""

    overlap_seconds: Annotated[int, msgspec.Meta(ge=0, le=OVERLAP_MAX_S)] = OVERLAP_DEFAULT_S


class Rotated(codec.Answer, frozen=True):
    """The new secret, which is shown this once, and until when the former ones sign, too."""

    secret: str
    former_until: str | None


class TestView(codec.Answer, frozen=True):
    """What came of a test; `status` 0: there was no answer, and `error` says why."""

    message_id: str
    outcome: Literal["delivered", "failed", "gone"]
    status: int
    seconds: float
    error: str


class AttemptView(codec.Answer, frozen=True):
    """One try."""

    id: int
    message_id: str
    sequence: int
    type: str
    attempt: int
    at: str
    outcome: Literal["delivered", "failed", "gone"]
    status: int
    seconds: float
    error: str


class AttemptPage(codec.Answer, frozen=True):
    """One page of tries, the newest first."""

    items: list[AttemptView]
    next_cursor: str | None


class WebhookLetter(codec.Answer, frozen=True):
    """A message that was given up."""

    message_id: str
    sequence: int
    type: str
    key: str
    at: str
    attempts: int
    cause: str


class LetterGroup(codec.Answer, frozen=True):
    """Messages that were given up for one cause."""

    cause: str
    letters: int
    first_sequence: int
    last_sequence: int


class LetterPage(codec.Answer, frozen=True):
    """One page of what was given up; with `?group=cause` there are only groups, and all of them."""

    items: list[WebhookLetter]
    next_cursor: str | None
    groups: list[LetterGroup] = msgspec.field(default_factory=list)


class ReplayIn(codec.Wire, frozen=True, kw_only=True):
    """What is to be sent again: what all of the members given say, and at least one is given."""

    message_ids: Annotated[list[str], msgspec.Meta(max_length=IDS_MAX)] = msgspec.field(
        default_factory=list
    )
    from_sequence: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    to_sequence: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    from_at: codec.Instant | None = None
    to_at: codec.Instant | None = None
    cause: Annotated[str, msgspec.Meta(max_length=64)] = ""
    dead_only: bool = False


class Replayed(codec.Answer, frozen=True):
    """How many are sent again; where there are more, send the same with this `from_sequence`."""

    replayed: int
    next_sequence: int | None
