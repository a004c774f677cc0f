"""What waits, and what was promised and cannot be kept, as it is shown."""

from datetime import datetime
from typing import NamedTuple

from engine.kernel import codec
from engine.routing.types.queue import Queue


class QueuedView(codec.Answer, frozen=True):
    """An order in a queue: why, since when, and what would end it.

    `due_at` null: it waits for stock (of `waits_for`) or for a person. `alarm`: it has been there
    for too long, which was told. `hops` is how many nodes refused it since somebody last had it
    tried, `node` from where a person has it sent.
    """

    order_id: str
    channel: str
    queue: Queue
    reason: str
    since: str
    age_seconds: int
    alarm: bool
    due_at: str | None
    hops: int
    waits_for: list[str]
    node: str


class QueuePage(codec.Answer, frozen=True):
    """Orders that wait, the longest waiting first."""

    items: list[QueuedView]
    next_cursor: str | None


class RetryIn(codec.Wire, frozen=True):
    """Have an order routed again, with `node` from there and nowhere else."""

    node: codec.Identifier | None = None


class RetryView(codec.Answer, frozen=True):
    """An order that is due now."""

    order_id: str
    queue: Queue
    node: str


class BrokenView(codec.Answer, frozen=True):
    """Units of a line that were sold, and that no node of its group can send now."""

    order_id: str
    channel: str
    line_id: str
    sku: str
    node_group: str
    units: int
    reason: str
    since: str


class BrokenPage(codec.Answer, frozen=True):
    """Promises that are broken, by order."""

    items: list[BrokenView]
    next_cursor: str | None


class Waiting(NamedTuple):
    """Which rows of the queue: of a channel ("" all), a queue, waiting since before, after."""

    tenant: str
    channel: str
    queue: str
    before: datetime
    after: tuple[datetime, str] | None
    limit: int


class Queued(NamedTuple):
    """A row of the queue with what is shown of it."""

    order_id: str
    channel: str
    queue: Queue
    reason: str
    since: datetime
    alarm: bool
    due_at: datetime | None
    hops: int
    waits_for: list[str]
    node: str


class Broken(NamedTuple):
    """A row of broken promises with the channel of its order."""

    order_id: str
    channel: str
    line_no: int
    sku: str
    node_group: str
    units: int
    reason: str
    since: datetime
