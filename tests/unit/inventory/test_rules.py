"""From documents to deltas and rule bodies, as tables."""

from datetime import UTC, datetime

import msgspec
import pytest

from engine.campaigns.types import CampaignFields, CampaignSku, Limit, WaitingRoom, Wave
from engine.channels.types import ChannelFields
from engine.inventory import rules
from engine.inventory.types import (
    Dimensions,
    Draw,
    Given,
    Grant,
    MoveFields,
    Offer,
    PolicyChannel,
    PolicyFields,
    PoolName,
    Rule,
    Wanted,
)
from engine.kernel.errors import ValidationFailed

START = datetime(2026, 11, 11, tzinfo=UTC)
END = datetime(2026, 11, 12, tzinfo=UTC)
START_MS, END_MS = 1_794_355_200_000, 1_794_441_600_000
SHARED = Dimensions("main", "acme", "tea")
MALL, APP = SHARED._replace(channel="mall"), SHARED._replace(channel="app")
POLICY = PolicyFields(
    "tea", 100, [PolicyChannel("mall", 10, 20), PolicyChannel("app", 0, None)], owner="acme"
)


def _campaign(*skus, **fields):
    return CampaignFields("双11", START, END, skus=list(skus), **fields)


def test_a_channel_says_how_long_an_order_may_stay_unpaid():
    found = rules.channel_rule("main", "mall", ChannelFields("Mall", hold_seconds=300))
    by_method = {"bank_transfer": 172_800_000}
    assert found == {
        "channel\x1fmain\x1fmall": ["gate", 300_000, 60_000, by_method, "placed", "us"]
    }


@pytest.mark.parametrize(
    ("said", "counts_at", "expires_by"),
    [
        ({}, "placed", "channel"),
        ({"counts_at": "paid"}, "paid", "channel"),
        ({"expires_by": "us"}, "placed", "us"),
    ],
)
def test_a_marketplace_says_when_a_sale_counts_and_who_ends_it(said, counts_at, expires_by):
    found = rules.channel_rule("main", "tmall", ChannelFields("T", authority="external", **said))
    (body,) = found.values()
    assert (body[0], *body[4:]) == ("external", counts_at, expires_by)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({}, [START_MS, END_MS, 0, 60_000, [], 0]),
        ({"hold_seconds": 300}, [START_MS, END_MS, 300_000, 60_000, [], 0]),
        ({"hold_seconds": 300, "grace_seconds": 0}, [START_MS, END_MS, 300_000, 0, [], 0]),
        (
            {"limits": [Limit("phone", 3, "sku", "orders")]},
            [START_MS, END_MS, 0, 60_000, [["sku", "phone", 3, "orders"]], 0],
        ),
        (
            {"waiting_room": WaitingRoom(50, 60)},
            [START_MS, END_MS, 0, 60_000, [], 0, [50, 60_000, "a-key"]],
        ),
    ],
)
def test_a_campaigns_window_and_limits(fields, body):
    found = rules.campaign_rule("main", "d11", _campaign(**fields), "a-key")
    assert found == {"campaign\x1fmain\x1fd11": body}


def test_a_wave_is_of_one_sku_or_of_each():
    waves = [Wave(START, {"mall": 1}), Wave(END, {"mall": 2}, "tea")]
    campaign = _campaign(CampaignSku("tea"), CampaignSku("cup"), waves=waves)
    assert rules.waves_of(campaign, "tea") == [(START_MS, {"mall": 1}), (END_MS, {"mall": 2})]
    assert rules.waves_of(campaign, "cup") == [(START_MS, {"mall": 1})]


# A pool's grants so far against what it should have.
GRANTS = {
    "a new pool": (Given("p1", 0, 0), 10, [("p1", 1, 10)]),
    "a new pool of nothing is made": (Given("p1", 0, 0), 0, [("p1", 1, 0)]),
    "more": (Given("p1", 3, 10), 15, [("p1", 4, 5)]),
    "fewer": (Given("p1", 3, 10), 4, [("p1", 4, -6)]),
    "no change": (Given("p1", 3, 10), 10, []),
    "an earlier shrink fell short by 3": (Given("p1", 2, 7), 10, [("p1", 3, 3)]),
}


@pytest.mark.parametrize(("given", "units", "made"), GRANTS.values(), ids=GRANTS)
def test_a_pool_gets_the_difference(given, units, made):
    found = rules.grants({"p1": Wanted(units, "campaign", "d11@2")}, [given])
    assert found == [Grant(*one, "campaign", "d11@2") for one in made]


def _packed(*body):
    return msgspec.msgpack.encode(list(body))


def test_only_rules_that_differ_get_a_new_version():
    wanted = {"new": [1, {}], "same": ["a"], "other": ["b"], "same map": [{"m": 1}]}
    stored = {
        "same": (7, _packed(7, "a")),
        "other": (7, _packed(7, "a")),
        "same map": (2, _packed(2, {"m": 1})),
    }
    assert rules.changed_rules(wanted, stored) == [
        Rule("new", 1, _packed(1, 1, {})),
        Rule("other", 8, _packed(8, "b")),
    ]


def test_an_offer_that_is_gone_sells_nothing_but_keeps_its_version():
    ids = {SHARED: "p1", MALL: "p2"}
    gone, mall = (f"offer\x1fmain\x1f\x1f{one}\x1ftea" for one in ("fair", "mall"))
    found = rules.bodies({mall: Offer((Draw(MALL), Draw(SHARED, 20)))}, [gone], ids)
    assert found[gone] == [[], 0, 0, 0, ""]
    assert found[mall] == [[["p2", -1], ["p1", 20]], 0, 0, 0, ""]
    assert len(found) == 2


def test_only_offers_name_pools():
    offer = Rule("offer\x1fmain\x1f\x1fmall\x1ftea", 2, _packed(2, [["p2", -1], ["p1", 20]], 0, 0))
    assert rules.pools_of_rule(offer) == {"p1", "p2"}
    assert rules.pools_of_rule(Rule("campaign\x1fmain\x1fd11", 1, _packed(1, 2, 3))) == set()


# Free units by pool, and what the channel has drawn of the shared p1, of which it may have 20.
@pytest.mark.parametrize(
    ("available", "drawn", "units"),
    [
        ({"p2": 5, "p1": 50}, 0, [5, 20]),
        ({"p2": 0, "p1": 7}, 0, [0, 7]),
        ({"p1": 7}, 0, [0, 7]),
        ({}, 0, [0, 0]),
        ({"p2": 5, "p1": 50}, 15, [5, 5]),
        ({"p1": 3}, 15, [0, 3]),
        ({"p1": 50}, 20, [0, 0]),
        ({"p1": 50}, 25, [0, 0]),
    ],
)
def test_sellable_is_bounded_by_what_is_left_of_the_cap(available, drawn, units):
    counted = {"c\x1fp1\x1fmall": drawn, "c\x1fp1\x1fapp": 99, "c\x1fp2\x1fmall": 99}
    assert rules.sellable("mall", [("p2", -1), ("p1", 20)], available, counted) == units


# Who may be named in a policy: owner by the catalogue, channels that exist.
@pytest.mark.parametrize(
    ("owner", "channels", "pointers"),
    [
        ("acme", {"mall", "app"}, []),
        (None, {"mall", "app"}, ["/sku"]),
        ("other", {"mall", "app"}, ["/owner"]),
        ("acme", {"app"}, ["/channels/0/channel"]),
        (None, set(), ["/channels/0/channel", "/channels/1/channel", "/sku"]),
    ],
)
def test_a_policy_names_what_exists(owner, channels, pointers):
    if not pointers:
        assert rules.check_names(POLICY, owner, channels) == "acme"
        return
    with pytest.raises(ValidationFailed) as refusal:
        rules.check_names(POLICY, owner, channels)
    assert [one["pointer"] for one in refusal.value.extra["errors"]] == pointers


def test_of_many_skus_it_names_channels_and_may_be_limited_to_an_owner():
    policy = PolicyFields(every=True, channels=[PolicyChannel("mall")])
    assert rules.check_names(policy, None, {"mall"}) == ""
    owned = msgspec.structs.replace(policy, owner="acme")
    assert rules.check_names(owned, None, {"mall"}) == "acme"
    with pytest.raises(ValidationFailed):
        rules.check_names(policy, None, set())


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"move_id": "a\x1f"}, "/move_id"),
        ({"sku": "\x00"}, "/sku"),
        ({"source": PoolName("a\x00")}, "/from/channel"),
        ({"target": PoolName(campaign="\x00")}, "/to/campaign"),
        ({"source": PoolName(node_group="\x00")}, "/from/node_group"),
        ({"target": PoolName(node_group="east")}, "/to/node_group"),
    ],
)
def test_a_move_names_what_can_be_a_name(change, pointer):
    good = MoveFields("m1", "tea", 1, PoolName("mall"), PoolName())
    rules.check_move(good)
    with pytest.raises(ValidationFailed) as refusal:
        rules.check_move(msgspec.structs.replace(good, **change))
    assert refusal.value.extra["errors"][0]["pointer"] == pointer
