"""Endpoints, what they are told, and what came of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

Outcome = Literal["delivered", "failed", "gone"]
Settled = Literal["delivered", "again", "held", "dead"]

HELD: Final[Settled] = "held"


class About(NamedTuple):
    """The order that something happened to."""

    order_id: str
    channel: str
    channel_order_id: str


class Happened(NamedTuple):
    """A committed event; `about` is None for what is about no order."""

    id: int
    at: datetime
    kind: str
    data: dict[str, Any]
    about: About | None
    trace: str = ""


class Message(NamedTuple):
    """What is told of an event, the same to everybody."""

    message_id: str
    type: str
    channel: str
    key: str
    at: datetime
    trace: str
    body: str


class Secret(NamedTuple):
    """What is signed with, until when."""

    text: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as its deliverer needs it."""

    endpoint_id: str
    url: str
    patterns: tuple[str, ...]
    channels: tuple[str, ...]
    version: int
    cursor: int
    token: int
    failures: int
    failing_since: datetime | None
    secrets: tuple[Secret, ...]


@dataclass(slots=True, eq=False)
class Item:
    """A message on its way to one endpoint.

    `kept` says that it has a row among what waits; `begun` when it was first sent, by the process'
    clock, 0.0 while it stands in line.
    """

    seq: int
    message_id: str
    type: str
    key: str
    body: bytes
    trace: str
    attempts: int = 0
    kept: bool = False
    begun: float = 0.0


class Answer(NamedTuple):
    """What came of one try; `status` 0: there was no answer, and `error` says why."""

    status: int
    seconds: float
    error: str = ""
    retry_after_s: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """What it is called."""
        if self.status == 410:  # noqa: PLR2004 - Gone
            return "gone"
        return "delivered" if 200 <= self.status < 300 else "failed"  # noqa: PLR2004

    @property
    def cause(self) -> str:
        """What dead letters are grouped by."""
        return f"http_{self.status}" if self.status else self.error


class Try(NamedTuple):
    """A row of the list of tries."""

    item: Item
    attempt: int
    at: datetime
    answer: Answer


class Result(NamedTuple):
    """What becomes of an item."""

    item: Item
    settled: Settled
    wait_s: float = 0.0
    cause: str = ""


class Standing(NamedTuple):
    """How an endpoint stands: what opens its circuit, and since when nothing was delivered."""

    failures: int = 0
    failing_since: datetime | None = None
    delivered: bool = False
    disabled: str = ""
