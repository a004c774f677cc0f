"""Untrusted bytes: what is refused, and where the refusal points."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from engine.kernel import codec
from engine.kernel.errors import ValidationFailed


class Line(codec.Wire, frozen=True):
    sku: codec.Identifier
    quantity: int
    price: codec.Money | None = None


class Basket(codec.Wire, frozen=True):
    lines: list[Line]
    quota: dict[codec.Identifier, int] = msgspec.field(default_factory=dict)
    at: codec.Instant | None = None
    extensions: codec.Document = msgspec.field(default_factory=dict)


decode = codec.Decoder(Basket)


def _priced(amount, currency):
    price = b'{"amount":%s,"currency":"%s"}' % (amount, currency)
    return b'{"lines":[{"sku":"a","quantity":1,"price":%s}]}' % price


REFUSED = {
    "a field's type": (
        b'{"lines":[{"sku":"a","quantity":1},{"sku":"b","quantity":"1"}]}',
        "/lines/1/quantity",
        "int",
    ),
    "a float is no int": (b'{"lines":[{"sku":"a","quantity":1.0}]}', "/lines/0/quantity", "float"),
    "a missing field": (b'{"lines":[{"sku":"a"}]}', "/lines/0/quantity", "is required"),
    "an unknown field": (b'{"lines":[],"a/b~c":1}', "/a~1b~0c", "not a field"),
    "an unknown inside": (
        b'{"lines":[{"sku":"a","quantity":1,"x":1}]}',
        "/lines/0/x",
        "not a field",
    ),
    "a value of a map": (b'{"lines":[],"quota":{"mall":"x"}}', "/quota", "one of its values"),
    "a key of a map": (b'{"lines":[],"quota":{"":1}}', "/quota", "length >= 1"),
    "no zone": (b'{"lines":[],"at":"2026-11-11T00:00:00"}', "/at", "timezone"),
    "too much money": (_priced(b"100000000000001", b"CNY"), "/lines/0/price/amount", "<="),
    "a small currency": (_priced(b"1", b"cny"), "/lines/0/price", "capital"),
    "not an object": (b"[]", "", "object"),
    "nothing": (b"", "", "JSON"),
    "half of it": (b'{"lines":[', "", "JSON"),
    "more than one": (b'{"lines":[]} {}', "", "JSON"),
    "bad UTF-8": (b'{"lines":[{"sku":"\xff","quantity":1}]}', "", "UTF-8"),
    "a UTF-8 surrogate": (b'{"lines":[{"sku":"\xed\xa0\x80","quantity":1}]}', "", "UTF-8"),
    "half a pair": (b'{"lines":[{"sku":"\\ud800abcdefghij","quantity":1}]}', "", "JSON"),
    "a raw NUL": (b'{"lines":[{"sku":"\x00","quantity":1}]}', "", "JSON"),
    "a tower": (b'{"lines":[],"extensions":' + b'{"a":' * 50_000, "", "nested"),
}


@pytest.mark.parametrize(("body", "pointer", "says"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_points_at_the_field(body, pointer, says):
    with pytest.raises(ValidationFailed) as refusal:
        decode(body)
    (error,) = refusal.value.extra["errors"]
    assert error["pointer"] == pointer
    assert says in error["detail"]


def test_a_pointer_counts_from_where_the_body_stands():
    with pytest.raises(ValidationFailed) as refusal:
        decode(b'{"lines":1}', "/orders/7")
    assert refusal.value.extra["errors"][0]["pointer"] == "/orders/7/lines"


def test_the_last_of_two_equal_keys_counts():
    assert decode(b'{"lines":[{"sku":"a","quantity":1,"quantity":2}]}').lines[0].quantity == 2


@pytest.mark.parametrize("text", ["SKU-1", "双11 爆款", "a b", "👨\u200d👩", "\u3000x", "a" * 128])
def test_identifiers_people_use_are_taken(text):
    assert codec.identifier(text, "/sku") == text


@pytest.mark.parametrize(
    "text", ["", "a" * 129, "a\x00", "a\x1fb", "a\n", "\x7f", "\x9f", "\ud800"]
)
def test_identifiers_that_would_break_a_key_are_refused(text):
    with pytest.raises(ValidationFailed) as refusal:
        codec.identifier(text, "/sku")
    assert refusal.value.extra["errors"][0]["pointer"] == "/sku"


def _nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"a": [1, {"b": "x\x00"}]}, "/e/a/1/b"),
        ({"a\x00": 1}, "/e"),
        ({"a": 2**70}, "/e/a"),
        (_nested(20), "/e"),
        ({"a": [0] * 3_000}, "/e"),
        ({"a": 2.0**63}, "/e/a"),
        ({"a": [-1e308]}, "/e/a/0"),
    ],
)
def test_an_open_document_must_be_storable(value, pointer):
    with pytest.raises(ValidationFailed) as refusal:
        codec.open_document(value, "/e")
    assert refusal.value.extra["errors"][0]["pointer"] == pointer


def test_an_open_document_takes_anything_else():
    codec.open_document({"a": [None, True, 1.5, "双", {"b": {}}], "c": 2**60, "d": 1e-320}, "/e")


def test_instants_are_shifted_to_utc_and_bounded():
    moment = datetime(2026, 11, 11, 8, tzinfo=timezone(timedelta(hours=8)))
    assert codec.instant(moment, "/at") == datetime(2026, 11, 11, tzinfo=UTC)
    with pytest.raises(ValidationFailed):
        codec.instant(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23))), "/at")


def test_structs_are_encoded_by_their_fields():
    line = Line("a", 1, codec.Money(5, "CNY"))
    assert decode(codec.encode({"lines": [line]})).lines == [line]
