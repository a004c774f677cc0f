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


REFUSED = {
    "waves": ({"waves": [{"at": "2026-11-11T00:00:00Z"}]}, ["/waves"]),
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
