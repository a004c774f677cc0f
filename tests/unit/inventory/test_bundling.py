"""Bundles in units of their components: quotas, and how many can be made."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.campaigns.types import CampaignFields, CampaignSku, Wave
from engine.catalogue.types import Component
from engine.inventory import rules
from engine.inventory.rules import bundling
from engine.kernel.codec import Money

SET = [Component("A", 2), Component("B", 1)]


def campaign(*skus):
    start = datetime(2026, 11, 11, tzinfo=UTC)
    channels = sorted({name for one in skus for name in one.quota})
    return CampaignFields("x", start, start, skus=list(skus), channels=channels)


def test_a_quota_of_bundles_is_one_of_each_component():
    assert bundling.expand({"mall": 3, "app": 0}, SET) == {
        "A": {"mall": 6, "app": 0},
        "B": {"mall": 3, "app": 0},
    }


components_of = st.lists(
    st.builds(Component, st.sampled_from("ABCD"), st.integers(1, 5)),
    min_size=2,
    max_size=4,
    unique_by=lambda one: one.sku,
)
units_of = st.dictionaries(st.sampled_from("ABCD"), st.integers(-5, 60))


@given(units_of, components_of)
def test_as_many_can_be_made_as_can_be_taken_one_by_one(available, components):
    made, left = 0, dict(available)
    while all(left.get(one.sku, 0) >= one.quantity for one in components):
        made += 1
        for one in components:
            left[one.sku] -= one.quantity
    assert bundling.sellable(available, components) == made


quotas = st.dictionaries(st.sampled_from(["mall", "app"]), st.integers(0, 100), min_size=1)


@given(
    st.dictionaries(st.sampled_from(["A", "B", "C", "X", "Y"]), quotas, min_size=1),
    components_of,
    components_of,
)
def test_every_unit_of_a_campaign_is_given_to_some_component(skus, x, y):
    bundles = {"X": x, "Y": y}
    fields = campaign(*(CampaignSku(sku, quota) for sku, quota in skus.items()))
    found = {one.sku: one.quota for one in bundling.unbundled(fields, bundles).skus}
    assert not found.keys() & bundles.keys()
    wanted = {}
    for sku, quota in skus.items():
        for one in bundles.get(sku, [Component(sku, 1)]):
            for channel, units in quota.items():
                key = one.sku, channel
                wanted[key] = wanted.get(key, 0) + units * one.quantity
    assert {(sku, name): n for sku, quota in found.items() for name, n in quota.items()} == wanted


def test_a_bundles_offer_has_its_limit_and_prices_and_no_pool():
    floor = Money(900, "CNY")
    fields = campaign(
        CampaignSku("X", {"mall": 1}, 2, floor_price=floor), CampaignSku("A", {"mall": 1})
    )
    found = bundling.offers("main", "d11", fields, {"X": SET})
    name = rules.offer_field("main", "d11", "mall", "X")
    assert rules.bodies(found, [], {}) == {name: [[], 2, 900, 0, "CNY", 1]}
    assert rules.bodies({}, [name], {}) == {name: [[], 0, 0, 0, ""]}
    assert not found[name].draws


def test_waves_of_bundles_are_waves_of_their_components():
    at = datetime(2026, 11, 11, tzinfo=UTC)
    fields = replace(
        campaign(CampaignSku("X", {"mall": 1}), CampaignSku("A", {"app": 2})),
        waves=[Wave(at, quota={"mall": 3}), Wave(at, sku="A", quota={"mall": 1, "app": 4})],
    )
    ms = int(at.timestamp() * 1_000)
    per = {one.sku: one.quantity for one in SET}
    found = bundling.waves(fields, {"X": SET})
    assert found.keys() == per.keys() | {"A"}
    # the first wave is one of each SKU of the campaign: three bundles, and three of A by itself
    assert found["A"] == [(ms, {"mall": 3 * per.get("A", 0) + 3 + 1, "app": 4})]
    for sku in per.keys() - {"A"}:
        assert found[sku] == [(ms, {"mall": 3 * per[sku]})]


def test_a_bundle_that_comes_with_a_wave_is_offered():
    at = datetime(2026, 11, 11, tzinfo=UTC)
    fields = replace(campaign(CampaignSku("X")), channels=["mall", "app"],
                     waves=[Wave(at, quota={"mall": 3})])  # fmt: skip
    assert list(bundling.offers("main", "d11", fields, {"X": SET})) == [
        rules.offer_field("main", "d11", "mall", "X")
    ]
