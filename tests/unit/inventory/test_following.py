"""Pools in a group of nodes that nobody counts go where their SKU is."""

from datetime import UTC, datetime

import pytest

from engine.campaigns.types import CampaignSku
from engine.inventory.rules import supply
from engine.inventory.rules.following import follow
from engine.inventory.types import Dimensions, PolicyChannel, PolicyFields
from engine.inventory.types.supply import Base, Card, Claim, Policy, Pool, Stock

NOW = datetime(2026, 11, 11, tzinfo=UTC)
SALE = Claim("d11", 1, ["mall", "app"], CampaignSku("tea", {"mall": 10, "app": 5}))


def pool(channel="mall", campaign="d11", group="", **fields):
    name = Dimensions("main", "", "tea", channel, campaign, group)
    return Pool("/".join(name[3:]), name, 1, **fields)


def policy(*channels, groups=("",), sku="tea"):
    says = [PolicyChannel(one) for one in channels]
    return PolicyFields(sku, channels=says, node_groups=list(groups), every=not sku)


def stock(*pools, policies=(), counted=None):
    planned = [Policy(f"p{n}", 1, one) for n, one in enumerate(policies)]
    return Stock("main", Card("tea"), pools, planned, [SALE], counted)


def groups(found):
    return [one.name.node_group for one in found.pools]


MALL, APP, SHARED = pool(), pool("app"), pool("", "")
GAVE, GOT = pool(moved=-3), pool("app", moved=3)
IN_EAST, IN_WEST = pool(group="east"), pool(group="west")
EVERY = policy("mall", groups=["west"], sku="")
APP_WEST = policy("app", groups=["west"])
# Pools, policies, groups that are counted; then the groups of the pools.
# fmt: off
FOLLOWS = {
    "nothing is counted":               ([MALL], [], "", [""]),
    "its own group is counted":         ([IN_EAST], [], "east west", ["east"]),
    "another one is":                   ([MALL], [], "east", ["east"]),
    "two others are":                   ([MALL], [], "west east", ["east"]),
    "of every channel":                 ([MALL, APP], [], "east", ["east", "east"]),
    "it is over, and its shared one":   ([pool(ended=True), SHARED], [], "east", ["east", "east"]),
    "a policy puts it there":           ([MALL], [policy("mall")], "east", [""]),
    "or elsewhere":                     ([APP], [APP_WEST], "east", ["west"]),
    "before anything is counted":       ([APP], [APP_WEST], "", ["west"]),
    "a policy of all is silent then":   ([MALL], [EVERY], "", [""]),
    "and speaks of what is counted":    ([MALL], [EVERY], "east", ["west"]),
    "a policy of another channel":      ([MALL], [policy("app")], "east", ["east"]),
    "a shared one that has a name":     ([SHARED], [policy("app", groups=["w", ""])], "east", [""]),
    "a shared one that has none":       ([SHARED], [APP_WEST], "east", ["west"]),
    "one is there already":             ([MALL, IN_EAST], [], "east", ["", "east"]),
    "two to one place":                 ([MALL, IN_WEST], [], "east", ["east", "west"]),
    "moved, and all go":                ([GAVE, GOT], [], "east", ["east", "east"]),
    "moved, and one cannot go":         ([GAVE, GOT, IN_EAST], [], "east", ["", "", "east"]),
    "moved, and to two places":         ([GAVE, GOT], [APP_WEST], "east", ["", ""]),
    "not moved, and to two places":     ([MALL, APP], [APP_WEST], "east", ["east", "west"]),
}
# fmt: on


@pytest.mark.parametrize(("pools", "policies", "counted", "found"), FOLLOWS.values(), ids=FOLLOWS)
def test_pools_follow_their_sku(pools, policies, counted, found):
    bases = {group: Base(30, 0) for group in counted.split()}
    before = stock(*pools, policies=policies, counted=bases or None)
    after = follow(before, NOW)
    assert groups(after) == found
    assert [one._replace(name=None) for one in after.pools] == [
        one._replace(name=None) for one in before.pools
    ]
    assert follow(after, NOW) is after
    assert (after is before) == (groups(after) == groups(before))


@pytest.mark.parametrize("there", [0, 3, 4, 12, 30])
def test_what_was_sold_before_the_first_count_is_owed_from_it(there):
    pools = [pool(given=10, free=6, used=4), pool("app", given=5, free=5)]
    after = follow(stock(*pools, counted={"east": Base(there, 0)}), NOW)
    found = supply.plan(after, NOW)
    assert {name.node_group for name in found.units} == {"east"}
    assert sum(found.final.values()) == max(4, there)
    assert found.shorts == ({"east": 4 - there} if there < 4 else {})
