"""What a campaign may say, as a table."""

import msgspec
import pytest

from engine.campaigns import rules
from engine.campaigns.types import CampaignFields
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed

decode = codec.Decoder(CampaignFields)
GOOD = {
    "name": "双11",
    "starts_at": "2026-11-11T00:00:00+08:00",
    "ends_at": "2026-11-12T00:00:00+08:00",
    "skus": [{"sku": "tea", "quota": {"mall": 5, "app": 3}}],
}
CNY, USD = {"amount": 900, "currency": "CNY"}, {"amount": 900, "currency": "USD"}


def _sku(**fields):
    return {"skus": [{"sku": "tea", **fields}]}


LATER = "2026-11-20T00:00:00+08:00"


def _presale(**fields):
    return {**_sku(**fields), "balance_until": LATER}


def _elastic(**fields):
    return {"elastic": fields}


REFUSED = {
    "a floor of a strange shop": (_elastic(floor={"fair": 1}), ["/elastic/floor/fair"]),
    "a floor above the quota": (_elastic(floor=1.5), ["/elastic/floor"]),
    "one above the quota": (_elastic(floor={"mall": 1, "app": 2.0}), ["/elastic/floor/app"]),
    "a ceiling of a strange shop": (_elastic(ceiling={"fa/ir": 1}), ["/elastic/ceiling/fa~1ir"]),
    "a ceiling below a quota": (_elastic(ceiling=2), ["/elastic/ceiling"]),
    "a ceiling of less than all": (_elastic(ceiling={"mall": 0.5}), ["/elastic/ceiling"]),
    "a step of nothing": (_elastic(step=0), ["/elastic/step"]),
    "a step of more than all": (_elastic(step=1.01), ["/elastic/step"]),
    "a wave too early": ({"waves": [{"at": "2026-01-01T00:00:00Z"}]}, ["/waves/0/at"]),
    "a wave too late": ({"waves": [{"at": "2027-01-01T00:00:00Z"}]}, ["/waves/0/at"]),
    "a wave of another SKU": (
        {"waves": [{"at": "2026-11-11T00:00:00Z", "sku": "x"}]},
        ["/waves/0/sku"],
    ),
    "a wave elsewhere": (
        {"waves": [{"at": "2026-11-11T00:00:00Z", "quota": {"fair": 1}}], "channels": ["mall"]},
        ["/skus/0/quota/app", "/waves/0/quota/fair"],
    ),
    "the end first": ({"ends_at": "2026-11-10T00:00:00Z"}, ["/ends_at"]),
    "grace alone": ({"grace_seconds": 5}, ["/grace_seconds"]),
    "a SKU twice": ({"skus": [{"sku": "tea"}, {"sku": "tea"}]}, ["/skus/1/sku"]),
    "a channel twice": ({"channels": ["mall", "app", "mall"]}, ["/channels/2"]),
    "a quota elsewhere": ({"channels": ["mall"]}, ["/skus/0/quota/app"]),
    "a control character": (_sku(quota={"a\x1f/b": 1}), ["/skus/0/quota/a\x1f~1b"]),
    "a price below 0": (_sku(price={**CNY, "amount": -1}), ["/skus/0/price/amount"]),
    "two currencies": (_sku(price=CNY, floor_price=USD), ["/skus/0/floor_price/currency"]),
    "below its floor": (
        _sku(price=CNY, floor_price={**CNY, "amount": 901}),
        ["/skus/0/price/amount"],
    ),
    "a deposit of nothing": (_presale(deposit={**CNY, "amount": 0}), ["/skus/0/deposit/amount"]),
    "a deposit below 0": (_presale(deposit={**CNY, "amount": -1}), ["/skus/0/deposit/amount"]),
    "a deposit that is the price": (_presale(price=CNY, deposit=CNY), ["/skus/0/deposit/amount"]),
    "a deposit above the price": (
        _presale(price=CNY, deposit={**CNY, "amount": 901}),
        ["/skus/0/deposit/amount"],
    ),
    "a deposit in other money than the price": (
        _presale(price=CNY, deposit=USD),
        ["/skus/0/deposit/currency"],
    ),
    "a deposit in other money than the floor": (
        _presale(floor_price=CNY, deposit=USD),
        ["/skus/0/deposit/currency"],
    ),
    "a deposit and no balance": (_sku(deposit=CNY), ["/skus/0/deposit"]),
    "a balance and no deposit": ({"balance_until": LATER}, ["/balance_until"]),
    "a balance before the end": (
        {**_presale(deposit=CNY), "balance_until": "2026-11-11T12:00:00+08:00"},
        ["/balance_until"],
    ),
    "a balance at the end": (
        {**_presale(deposit=CNY), "balance_until": "2026-11-11T16:00:00Z"},
        ["/balance_until"],
    ),
    "a year nobody pays in": (
        {**_presale(deposit=CNY), "balance_until": "2300-01-01T00:00:00Z"},
        ["/balance_until"],
    ),
    "a bound": (_sku(quota={"mall": 10**12}), ["/skus/0/quota"]),
    "a year nobody sells in": ({"starts_at": "1970-01-01T00:00:00Z"}, ["/starts_at"]),
    "everything at once": (
        {"ends_at": "2026-11-10T00:00:00Z", "grace_seconds": 5},
        ["/ends_at", "/grace_seconds"],
    ),
}


@pytest.mark.parametrize(("change", "pointers"), REFUSED.values(), ids=REFUSED)
def test_a_campaign_that_is_refused(change, pointers):
    with pytest.raises(ValidationFailed) as refusal:
        rules.normal(decode(msgspec.json.encode(GOOD | change)))
    assert [one["pointer"] for one in refusal.value.extra["errors"]] == pointers


def test_a_campaign_is_kept_in_utc_with_its_channels_named():
    kept = rules.normal(decode(msgspec.json.encode(GOOD)))
    assert kept.channels == ["app", "mall"]
    assert kept.starts_at.isoformat() == "2026-11-10T16:00:00+00:00"
    assert rules.normal(kept) == kept


def test_what_does_not_exist_is_pointed_at():
    campaign = rules.normal(decode(msgspec.json.encode(GOOD)))
    assert rules.unknown(campaign, {"tea"}, {"app", "mall"}) == []
    found = rules.unknown(campaign, set(), {"app"})
    assert [fault.pointer for fault in found] == ["/skus/0/sku", "/channels/1"]


ACCEPTED = {
    "a deposit": _presale(deposit=CNY),
    "below the price": _presale(price=CNY, deposit={**CNY, "amount": 899}),
    "above the floor": _presale(floor_price={**CNY, "amount": 1}, deposit=CNY),
    "one SKU of two": {
        "skus": [{"sku": "tea"}, {"sku": "cup", "deposit": CNY}],
        "channels": ["mall"],
        "balance_until": LATER,
    },
}  # fmt: skip


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED)
def test_a_presale_is_kept_with_its_balance_in_utc(change):
    kept = rules.normal(decode(msgspec.json.encode(GOOD | change)))
    assert kept.balance_until.isoformat() == "2026-11-19T16:00:00+00:00"
    assert [one.deposit for one in kept.skus if one.deposit]
    assert rules.normal(kept) == kept


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"floor": {"mall": 0, "app": 1.0}, "ceiling": {"mall": 5, "app": 1.5}},
        {"floor": 0.5, "ceiling": 2.0, "step": 1.0}, {"enabled": False, "step": 1},
    ],
)  # fmt: skip
def test_an_elastic_policy_may_say_units_or_fractions(fields):
    found = rules.normal(decode(msgspec.json.encode(GOOD | {"elastic": fields}))).elastic
    assert msgspec.to_builtins(found) | fields == msgspec.to_builtins(found)


@pytest.mark.parametrize(
    "fields",
    [
        {"floor": -1}, {"floor": 0.00001}, {"ceiling": 100.1}, {"step": "5"}, {"unknown": 1},
        {"cool_down_seconds": 0}, {"horizon_seconds": 4}, {"floor": {"": 1}}, {"step": None},
    ],
)  # fmt: skip
def test_an_elastic_policy_of_another_shape_is_refused(fields):
    with pytest.raises(ValidationFailed):
        decode(msgspec.json.encode(GOOD | {"elastic": fields}))


@pytest.mark.parametrize(
    ("parts", "units"),
    [(7, 7), (0.1, 3), (1.0, 30), (0.29, 8), ({"mall": 0.5}, 15), ({"app": 5}, None), (None, None)],
)
def test_a_part_comes_to_whole_units(parts, units):
    assert rules.part_of(parts, "mall", 30) == units
