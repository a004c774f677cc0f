"""What a SKU may say; no I/O."""

from engine.catalogue.types import SkuFields
from engine.kernel import codec


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
