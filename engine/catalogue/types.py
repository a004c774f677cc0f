"""A SKU as its owner describes it."""

from typing import Annotated, Final, NamedTuple

import msgspec

from engine.kernel import codec

UNIT_FACTOR_MAX: Final = 1_000_000


_Text = Annotated[str, msgspec.Meta(max_length=128)]


class SkuFields(codec.Wire, frozen=True):
    """What is known of a SKU; `owner` is whose goods they are, empty when there is one owner.

    `units` says how many single ones a unit of measure has, such as `{"case": 12}`.
    Rules and policies may speak of all SKUs of a `category` or a `brand`.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    barcode: Annotated[str, msgspec.Meta(max_length=64)] = ""
    price: codec.Money | None = None
    owner: _Text = ""
    attributes: codec.Document = msgspec.field(default_factory=dict)
    extensions: codec.Document = msgspec.field(default_factory=dict)
    units: Annotated[
        dict[codec.Identifier, Annotated[int, msgspec.Meta(ge=1, le=UNIT_FACTOR_MAX)]],
        msgspec.Meta(max_length=32),
    ] = msgspec.field(default_factory=dict)
    category: _Text = ""
    brand: _Text = ""


class SkuView(SkuFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A SKU as it is answered."""

    sku: str
    version: int
    updated_at: str


class SkuPage(codec.Answer, frozen=True):
    """One page of SKUs."""

    items: list[SkuView]
    next_cursor: str | None


class Stocked(NamedTuple):
    """What whoever counts a SKU has to know of it."""

    owner: str
    units: dict[str, int]
