"""Nouns of listings: a mapping, what was told of many of them, and what is amiss."""

from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from engine.kernel import codec
from engine.kernel.limits import IDENTIFIER_LENGTH_MAX

LISTINGS_PER_CALL_MAX: Final = 5_000
LISTINGS_PER_FILE_MAX: Final = 500_000
FAULTS_SHOWN_MAX: Final = 50
UNITS_PER_MAX: Final = 10_000

Reason = Literal["unmapped", "doubled", "unknown_sku"]
UnitsPer = Annotated[int, msgspec.Meta(ge=1, le=UNITS_PER_MAX)]


class Listing(codec.Wire, frozen=True):
    """One unit of this link is `units_per` of `sku`; `sku_id` is "" when the item has none."""

    channel: codec.Identifier
    item_id: codec.Identifier
    sku: codec.Identifier
    units_per: UnitsPer
    sku_id: Annotated[str, msgspec.Meta(max_length=IDENTIFIER_LENGTH_MAX)] = ""

    @property
    def link(self) -> tuple[str, str, str]:
        """What is mapped: channel, item_id, sku_id."""
        return self.channel, self.item_id, self.sku_id


class ListingsIn(codec.Wire, frozen=True):
    """Mappings to keep.

    With `replace`, each link named here has afterwards the SKUs given here and no others; links
    that are not named stay as they are.
    """

    listings: Annotated[list[Listing], msgspec.Meta(min_length=1, max_length=LISTINGS_PER_CALL_MAX)]
    replace: bool = False


class RawListings(codec.Wire, frozen=True):
    """`ListingsIn` before its rows are decoded, one by one, so that each fault can be told."""

    listings: Annotated[
        list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=LISTINGS_PER_CALL_MAX)
    ]
    replace: bool = False


class Kept(codec.Answer, frozen=True):
    """What became of the mappings that were told, and how many of their links are doubled now.

    `removed` are SKUs that `replace` took from a link.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    doubled: int = 0

    def plus(self, other: "Kept") -> "Kept":
        """Return the counts of both together."""
        return Kept(*(map(sum, zip(_counts(self), _counts(other), strict=True))))


class Removed(codec.Answer, frozen=True):
    """How many mappings were removed."""

    removed: int


class ListingView(codec.Answer, frozen=True):
    """A mapping as it is answered."""

    channel: str
    item_id: str
    sku_id: str
    sku: str
    units_per: int
    actor: str
    updated_at: str


class ListingPage(codec.Answer, frozen=True):
    """One page of mappings."""

    items: list[ListingView]
    next_cursor: str | None


class AlarmView(codec.Answer, frozen=True):
    """Something that orders name, or may name, and that stands for no SKU or for several.

    `sku` is what the channel said, `skus` what the link is mapped to now; `orders` have met it.
    """

    channel: str
    item_id: str
    sku_id: str
    sku: str
    reason: Reason
    skus: list[str]
    first_seen: str
    last_seen: str
    orders: int


class AlarmPage(codec.Answer, frozen=True):
    """One page of alarms."""

    items: list[AlarmView]
    next_cursor: str | None


class RowFault(NamedTuple):
    """What is wrong with one row: its place in a request or its line in a file."""

    row: int
    field: str
    detail: str


class BadRows(Exception):
    """Some rows cannot be kept, so none was."""

    def __init__(self, faults: list[RowFault]) -> None:
        """Take all faults; the first rows come first."""
        self.faults = sorted(faults)
        super().__init__(f"{len(faults)} rows cannot be kept")


def _counts(kept: Kept) -> tuple[int, ...]:
    return msgspec.structs.astuple(kept)
