"""What a SKU may say; no I/O."""

from collections.abc import Iterator, Mapping

from engine.catalogue.types import COMPONENTS_MAX, COMPONENTS_MIN, SkuFields, Stocked
from engine.kernel import codec
from engine.kernel.types import Fault


def check(sku: SkuFields) -> None:
    """Refuse what the shape alone does not.

    Raises:
        ValidationFailed: with the place.
    """
    codec.plain_text(sku.name, "/name", 512)
    if sku.barcode:
        codec.identifier(sku.barcode, "/barcode")
    for name in ("owner", "category", "brand"):
        if text := getattr(sku, name):
            codec.identifier(text, f"/{name}")
    if sku.price and sku.price.amount < 0:
        codec.refuse("/price/amount", "must not be negative")
    for unit in sku.units:
        codec.identifier(unit, f"/units/{codec.escape(unit)}")
    codec.open_document(sku.attributes, "/attributes")
    codec.open_document(sku.extensions, "/extensions")


def scope(sku: SkuFields) -> tuple[str, str, str]:
    """Return what rules and policies find it by, besides its name."""
    return sku.owner, sku.category, sku.brand


def check_components(name: str, sku: SkuFields) -> None:
    """Refuse components that could be of no bundle of this name.

    Raises:
        ValidationFailed: with the place.
    """
    if sku.components and len(sku.components) < COMPONENTS_MIN:
        codec.refuse("/components", f"must be {COMPONENTS_MIN} to {COMPONENTS_MAX}, or none")
    seen = {name: "is the bundle itself"}
    for n, one in enumerate(sku.components):
        codec.identifier(one.sku, f"/components/{n}/sku")
        if one.sku in seen:
            codec.refuse(f"/components/{n}/sku", seen[one.sku])
        seen[one.sku] = "stands twice"


def unfit(owner: str, sku: SkuFields, found: Mapping[str, Stocked]) -> Iterator[Fault]:
    """Yield what keeps components from being this owner's bundle; `found` are those that exist."""
    for n, one in enumerate(sku.components):
        known, where = found.get(one.sku), f"/components/{n}/sku"
        if known is None:
            yield Fault(where, "there is no such SKU")
        elif known.is_bundle:
            yield Fault(where, "is a bundle itself: name its components")
        elif known.owner != owner:
            yield Fault(where, "must be of the same owner as the bundle")
