"""A SKU as its owner describes it."""

from typing import Annotated, Final, NamedTuple

import msgspec

from engine.kernel import codec

UNIT_FACTOR_MAX: Final = 1_000_000
COMPONENTS_MIN: Final = 2
COMPONENTS_MAX: Final = 20
GRAMS_MAX: Final = 10_000_000
CM3_MAX: Final = 100_000_000
TAGS_MAX: Final = 16
COMPONENT_UNITS_MAX: Final = 1_000  # times the most units of a line it still fits Postgres' integer


class Component(codec.Wire, frozen=True):
    """Units of a SKU in one of a bundle."""

    sku: codec.Identifier
    quantity: Annotated[int, msgspec.Meta(ge=1, le=COMPONENT_UNITS_MAX)]


_Text = Annotated[str, msgspec.Meta(max_length=128)]


class SkuFields(codec.Wire, frozen=True):
    """What is known of a SKU; `owner` is whose goods they are, empty when there is one owner.

    `units` says how many single ones a unit of measure has, such as `{"case": 12}`. Rules and
    policies may speak of all SKUs of a `category` or a `brand`. A SKU with `components` is a
    bundle: it has no stock of its own, an order of it holds its components. `grams` and `cm3` are
    of one unit as it is packed, 0 where nobody weighed it; `tags` are what routing plans and
    carriers ask for, such as `cold`, `fragile` or `liquid`.
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
    components: Annotated[list[Component], msgspec.Meta(max_length=COMPONENTS_MAX)] = msgspec.field(
        default_factory=list
    )
    grams: Annotated[int, msgspec.Meta(ge=0, le=GRAMS_MAX)] = 0
    cm3: Annotated[int, msgspec.Meta(ge=0, le=CM3_MAX)] = 0
    tags: Annotated[list[codec.Identifier], msgspec.Meta(max_length=TAGS_MAX)] = msgspec.field(
        default_factory=list
    )


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
    is_bundle: bool = False  # then it is not counted: its components are


class Carried(NamedTuple):
    """What whoever sends a SKU has to know of it; `grams` and `cm3` are of one unit, or 0."""

    owner: str = ""
    category: str = ""
    brand: str = ""
    grams: int = 0
    cm3: int = 0
    tags: frozenset[str] = frozenset()
