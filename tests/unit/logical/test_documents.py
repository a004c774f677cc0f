"""What a stock rule may say."""

import msgspec
import pytest

from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.logical.rules.documents import compiled, effect, normal
from engine.logical.types.documents import RuleFields

decode = codec.Decoder(RuleFields)
GOOD = [
    {"kind": "safety", "match": {}, "units": 0},
    {"kind": "set_aside", "match": {"owner": "acme"}, "units": 5},
    {"kind": "set_aside", "match": {"brand": "leaf"}, "percent": 12.34},
    {"kind": "set_aside", "match": {}, "percent": 100},
    {"kind": "quality_hold", "match": {"batch": "b", "condition": "ZP", "node": "N"}},
    {"kind": "quality_hold", "match": {"sku": "A"}, "units": 1, "reason": "a seal is loose"},
    {"kind": "expiry", "match": {"category": "tea", "node_group": "east"}, "days": 30},
    {"kind": "condition", "match": {"condition": "XS", "batch": "b"}},
    {"kind": "safety", "match": {}, "units": 1, "from": "2026-11-11T00:00:00+08:00",
     "until": "2026-11-12T00:00:00+08:00", "enabled": False},
]  # fmt: skip
BAD = [
    ({"kind": "safety", "units": 1}, "/match"),
    ({"kind": "minimum", "match": {}}, "/kind"),
    ({"kind": "safety", "match": {"colour": "red"}, "units": 1}, "/match/colour"),
    ({"kind": "safety", "match": {"sku": ""}, "units": 1}, "/match/sku"),
    ({"kind": "safety", "match": {"sku": "a\x01"}, "units": 1}, "/match/sku"),
    ({"kind": "safety", "match": {}, "units": -1}, "/units"),
    ({"kind": "safety", "match": {}, "units": 1.5}, "/units"),
    ({"kind": "safety", "match": {}}, "/units"),
    ({"kind": "safety", "match": {}, "percent": 5, "units": 1}, "/percent"),
    ({"kind": "safety", "match": {"batch": "b"}, "units": 1}, "/match/batch"),
    ({"kind": "set_aside", "match": {}}, "/units"),
    ({"kind": "set_aside", "match": {}, "units": 1, "percent": 1}, "/units"),
    ({"kind": "set_aside", "match": {}, "percent": 100.5}, "/percent"),
    ({"kind": "set_aside", "match": {}, "percent": 1.005}, "/percent"),
    ({"kind": "set_aside", "match": {}, "percent": 1e-320}, "/percent"),
    ({"kind": "set_aside", "match": {"condition": "CC"}, "units": 1}, "/match/condition"),
    ({"kind": "quality_hold", "match": {}, "units": 0}, "/units"),
    ({"kind": "quality_hold", "match": {}, "days": 1}, "/days"),
    ({"kind": "quality_hold", "match": {"condition": "AA"}}, "/match/condition"),
    ({"kind": "expiry", "match": {}}, "/days"),
    ({"kind": "expiry", "match": {}, "days": 36_501}, "/days"),
    ({"kind": "condition", "match": {}}, "/match/condition"),
    ({"kind": "condition", "match": {"condition": "ZP"}}, "/match/condition"),
    ({"kind": "condition", "match": {"condition": "CC"}, "units": 1}, "/units"),
    ({"kind": "safety", "match": {}, "units": 1, "from": "2026-11-11T00:00:00"}, "/from"),
    ({"kind": "safety", "match": {}, "units": 1, "from": "1999-11-11T00:00:00Z"}, "/from"),
    ({"kind": "safety", "match": {}, "units": 1, "from": "2026-11-11T00:00:00Z",
      "until": "2026-11-11T08:00:00+08:00"}, "/until"),
    ({"kind": "safety", "match": {}, "units": 1, "reason": "a\x00"}, "/reason"),
]  # fmt: skip


def read(body):
    return normal(decode(msgspec.json.encode(body)))


@pytest.mark.parametrize("body", GOOD)
def test_what_may_be_said_is_kept_as_it_is_said(body):
    rule = read(body)
    assert normal(rule) == rule
    assert decode(msgspec.json.encode(rule)) == rule
    assert compiled("r", rule).id == "r"


@pytest.mark.parametrize(("body", "pointer"), BAD)
def test_what_may_not_be_said_is_refused_at_its_place(body, pointer):
    with pytest.raises(ValidationFailed) as refusal:
        read(body)
    assert pointer in [one["pointer"] for one in refusal.value.extra["errors"]]


def test_two_spellings_are_one_rule():
    same = {"kind": "quality_hold", "match": {"condition": "defective"}}
    assert read({"kind": "quality_hold", "match": {"condition": "CC"}}) == read(same)
    assert str(read({"kind": "set_aside", "match": {}, "percent": -0.0}).percent) == "0.0"
    assert read(GOOD[-1]).from_.isoformat() == "2026-11-10T16:00:00+00:00"


def test_a_percentage_is_taken_in_hundredths():
    for percent, hundredths in ((0.29, 29), (12.34, 1_234), (99.99, 9_999), (100, 10_000)):
        rule = read({"kind": "set_aside", "match": {}, "percent": percent})
        assert compiled("r", rule).percent == hundredths


def test_what_bears_on_stock():
    rule = read(GOOD[0])
    assert effect(rule) == effect(msgspec.structs.replace(rule, reason="another"))
    assert effect(rule) != effect(msgspec.structs.replace(rule, units=1))
    assert effect(msgspec.structs.replace(rule, enabled=False)) is None
