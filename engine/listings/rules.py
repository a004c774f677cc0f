"""What a mapping may say; no I/O."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.limits import IDENTIFIER_LENGTH_MAX
from engine.listings.types import UNITS_PER_MAX, Listing, RowFault

# A mapping and where it stood: its place in a request or its line in a file.
Numbered: TypeAlias = "tuple[int, Listing]"

_ACCEPTED: Final = f"must be 1 to {IDENTIFIER_LENGTH_MAX} characters without control characters"


def faults_of(number: int, one: Listing) -> Iterator[RowFault]:
    """Yield what is wrong with a mapping by itself."""
    for field in ("channel", "item_id", "sku_id", "sku"):
        text = getattr(one, field)
        if not text and field == "sku_id":
            continue
        try:
            codec.identifier(text, "")
        except ValidationFailed:
            yield RowFault(number, field, _ACCEPTED)
    if not 1 <= one.units_per <= UNITS_PER_MAX:
        yield RowFault(number, "units_per", f"must be a whole number from 1 to {UNITS_PER_MAX}")


def unknown(
    rows: Iterable[Numbered], channels: Collection[str], skus: Collection[str]
) -> Iterator[RowFault]:
    """Yield the mappings of channels or to SKUs that are not among those that exist."""
    for number, one in rows:
        if one.channel not in channels:
            yield RowFault(number, "channel", "there is no such channel")
        if one.sku not in skus:
            yield RowFault(number, "sku", "there is no such SKU")


def contradictions(rows: Iterable[Numbered]) -> Iterator[RowFault]:
    """Yield mappings that were told before with another number of units."""
    first: dict[tuple[str, ...], Numbered] = {}
    for number, one in rows:
        before = first.setdefault((*one.link, one.sku), (number, one))
        if before[1].units_per != one.units_per:
            told = f"was {before[1].units_per} before, for the same link and SKU"
            yield RowFault(number, "units_per", told)


def in_slices(rows: Iterable[Numbered], size: int) -> Iterator[Sequence[Listing]]:
    """Yield mappings in the order of their links, a slice at a time.

    All SKUs of one link are in one slice, whatever its size: only so can it be replaced.
    """
    ordered = sorted((one for _, one in rows), key=lambda one: one.link)
    begin = 0
    while begin < len(ordered):
        end = begin + size
        while begin < end < len(ordered) and ordered[end].link == ordered[end - 1].link:
            end += 1
        yield ordered[begin:end]
        begin = end
