"""What a SKU may say."""

import pytest

from engine.catalogue import rules
from engine.catalogue.types import Component, SkuFields, Stocked
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


OF = {"A": Stocked("", {}), "B": Stocked("", {}, is_bundle=True), "C": Stocked("acme", {})}


@pytest.mark.parametrize(
    ("parts", "pointer", "told"),
    [
        ([("A", 1)], "/components", "2 to 20"),
        ([("A", 1), ("SET", 1)], "/components/1/sku", "the bundle itself"),
        ([("A", 1), ("A", 2)], "/components/1/sku", "twice"),
        ([("A", 1), ("\x00", 2)], "/components/1/sku", "control"),
    ],
)
def test_components_that_are_refused(parts, pointer, told):
    sku = SkuFields("Set", components=[Component(*one) for one in parts])
    with pytest.raises(ValidationFailed) as refusal:
        rules.check_components("SET", sku)
    (fault,) = refusal.value.extra["errors"]
    assert fault["pointer"] == pointer
    assert told in fault["detail"]


def test_components_are_of_the_same_owner_and_no_bundles():
    sku = SkuFields("Set", components=[Component(one, 1) for one in "ABCD"])
    rules.check_components("SET", sku)
    assert [(one.pointer, one.detail) for one in rules.unfit("", sku, OF)] == [
        ("/components/1/sku", "is a bundle itself: name its components"),
        ("/components/2/sku", "must be of the same owner as the bundle"),
        ("/components/3/sku", "there is no such SKU"),
    ]
