"""A recorded order as whoever routes it has to know it, and what review says of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.review.types.judging import Review, Standing, Subject, Verdict


class RecordedLine(NamedTuple):
    """A line; of a bundle's components `part_of` is the bundle's line, else 0 or its own."""

    line_no: int
    sku: str
    units: int
    payable: int
    part_of: int


class Row(NamedTuple):
    """An order and what belongs to it, as they are kept.

    `paid_at` is 0 while no money came; `moved_to` is where it goes if that was changed after it
    came; `draws` are (line, pool, units), `groups` the group of nodes of pools, `sent` what live
    shipments have of each line.
    """

    order_id: str
    row_version: str
    channel: str
    state: str
    payment_state: str
    currency: str
    payable: int
    authority: str
    cool_off_s: int
    placed_at: int
    paid_at: int
    draws: tuple[tuple[int, str, int], ...]
    groups: Mapping[str, str]
    document: Mapping[str, Any]
    moved_to: Mapping[str, Any]
    lines: tuple[RecordedLine, ...]
    sent: Mapping[int, int]
    blocks: tuple[Standing, ...]
    last: Review | None


class Recorded(NamedTuple):
    """An order, locked; `row_version` is its `xmin` when it was read.

    `document` is the order as posted, `ship_to` where it goes now. Money is in minor units.
    """

    row_version: str
    channel: str
    currency: str
    payable: int
    document: Mapping[str, Any]
    ship_to: Mapping[str, Any]
    lines: tuple[RecordedLine, ...]
    subject: Subject


class Judged(NamedTuple):
    """An order and what becomes of it."""

    order: Recorded
    verdict: Verdict
