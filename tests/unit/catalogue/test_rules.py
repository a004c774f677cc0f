"""What a SKU may say."""

import pytest

from engine.catalogue import rules
from engine.catalogue.types import SkuFields
from engine.kernel.codec import Money
from engine.kernel.errors import ValidationFailed


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": "a\x00"}, "/name"),
        ({"barcode": "\x1f"}, "/barcode"),
        ({"owner": "a\n"}, "/owner"),
        ({"price": Money(-1, "CNY")}, "/price/amount"),
        ({"attributes": {"a": "\x00"}}, "/attributes/a"),
        ({"extensions": {"a": 2**64}}, "/extensions/a"),
    ],
)
def test_a_sku_that_is_refused(fields, pointer):
    with pytest.raises(ValidationFailed) as refusal:
        rules.check(SkuFields(**{"name": "Tea", **fields}))
    assert refusal.value.extra["errors"][0]["pointer"] == pointer


def test_a_sku_that_is_taken():
    rules.check(SkuFields("茶", "690123", Money(0, "CNY"), "acme", {"colour": "绿"}, {"a": [1]}))
