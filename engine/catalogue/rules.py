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
    if sku.owner:
        codec.identifier(sku.owner, "/owner")
    if sku.price and sku.price.amount < 0:
        codec.refuse("/price/amount", "must not be negative")
    for unit in sku.units:
        codec.identifier(unit, f"/units/{codec.escape(unit)}")
    codec.open_document(sku.attributes, "/attributes")
    codec.open_document(sku.extensions, "/extensions")
