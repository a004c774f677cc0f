"""What a policy may say, and which of several decides."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from engine.inventory.rules import policies
from engine.inventory.types import PolicyChannel, PolicyFields, Presale
from engine.inventory.types.supply import Card, Policy
from engine.kernel.errors import ValidationFailed

NOW = datetime(2026, 11, 11, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
TEA = Card("tea", "acme", "drinks", "leaf")


def says(channel="mall", **fields):
    return PolicyChannel(channel, **fields)


def of(*channels, **fields):
    return PolicyFields(channels=list(channels) or [says()], **fields)


# What is refused, and where.
FAULTS = {
    "no SKUs at all": (of(), "/sku"),
    "two targets": (of(sku="tea", brand="leaf"), "/sku"),
    "all and some": (of(sku="tea", every=True), "/sku"),
    "an unprintable name": (of(category="\x01"), "/category"),
    "an owner with a NUL": (of(every=True, owner="a\x00"), "/owner"),
    "units of many SKUs": (of(every=True, shared=5), "/shared"),
    "a channel twice": (of(says(), says(), sku="tea"), "/channels/1/channel"),
    "a channel that cannot be": (of(says("a\x1f"), sku="tea"), "/channels/0/channel"),
    "a group twice": (of(sku="tea", node_groups=["e", "w", "e"]), "/node_groups/2"),
    "a group that cannot be": (of(sku="tea", node_groups=["\x02"]), "/node_groups/0"),
    "over before it begins": (of(sku="tea", since=LATER, until=NOW), "/until"),
    "quota and ratio": (of(says(quota=1, ratio=0.5), sku="tea"), "/channels/0/ratio"),
    "five decimals": (of(says(ratio=0.12345), sku="tea"), "/channels/0/ratio"),
    "more than all": (of(says(ratio=0.6), says("app", ratio=0.5), sku="tea"), "/channels"),
    "floor above cap": (of(says(floor=3, cap=2), sku="tea"), "/channels/0/floor"),
    "a draw of nothing": (of(says(draw_order=["own", "x"]), sku="tea"), "/channels/0/draw_order/1"),
    "of no group of it": (
        of(says(draw_order=["own", "shared:w"]), sku="tea", node_groups=["e"]),
        "/channels/0/draw_order/1",
    ),
    "a draw twice": (of(says(draw_order=["own", "own"]), sku="tea"), "/channels/0/draw_order/1"),
    "nothing of its own": (of(says(draw_order=["shared"]), sku="tea"), "/channels/0/draw_order"),
}


@pytest.mark.parametrize(("policy", "pointer"), FAULTS.values(), ids=FAULTS)
def test_what_a_policy_may_not_say(policy, pointer):
    with pytest.raises(ValidationFailed) as refusal:
        policies.normal(policy)
    assert [one["pointer"] for one in refusal.value.extra["errors"]] == [pointer]


def test_instants_are_kept_in_utc():
    zone = timezone(timedelta(hours=8))
    presale = Presale(5, NOW.astimezone(zone))
    found = policies.normal(of(says(presale=presale), sku="tea", since=NOW.astimezone(zone)))
    assert found.since.tzinfo is UTC
    assert found.channels[0].presale.until.tzinfo is UTC


def test_ratios_of_three_thirds_are_no_more_than_all():
    thirds = [says(name, ratio=0.3333) for name in ("a", "b", "c")]
    assert policies.normal(of(*thirds, every=True)).channels == thirds


def planned(**by_id):
    return [Policy(name, 1, fields) for name, fields in by_id.items()]


# Policies by id, and which of them decides for the mall.
CHOICES = {
    "the nearest scope": (
        {"a": of(brand="leaf"), "b": of(category="drinks"), "c": of(sku="tea")},
        "c",
    ),
    "category before brand": ({"a": of(brand="leaf"), "b": of(category="drinks")}, "b"),
    "brand before all": ({"a": of(every=True), "b": of(brand="leaf")}, "b"),
    "of others nothing": ({"a": of(category="cups"), "b": of(sku="cup"), "c": of(every=True)}, "c"),
    "of another owner nothing": ({"a": of(every=True, owner="x"), "b": of(every=True)}, "b"),
    "with dates before without": ({"a": of(sku="tea"), "b": of(sku="tea", since=EARLIER)}, "b"),
    "not before its time": ({"a": of(every=True), "b": of(sku="tea", since=LATER)}, "a"),
    "at its time": ({"a": of(every=True), "b": of(sku="tea", since=NOW)}, "b"),
    "not after it": ({"a": of(every=True), "b": of(sku="tea", until=NOW)}, "a"),
    "the smaller priority": (
        {"a": of(says(priority=2), every=True), "b": of(says(priority=1), every=True)}, "b",
    ),
    "then the smaller id": ({"a": of(every=True), "b": of(every=True)}, "a"),
    "one that names the channel": ({"a": of(says("app"), sku="tea"), "b": of(every=True)}, "b"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "wins"), CHOICES.values(), ids=CHOICES)
def test_one_policy_decides_for_a_channel(given, wins):
    for some in (planned(**given), planned(**given)[::-1]):
        assert policies.resolve(some, TEA, NOW)["mall"].policy.id == wins


def test_channels_are_decided_one_by_one():
    given = planned(a=of(says(), says("app"), every=True), b=of(says(quota=7), sku="tea"))
    found = policies.resolve(given, TEA, NOW)
    assert {name: entry.policy.id for name, entry in found.items()} == {"app": "a", "mall": "b"}


# The order of drawing, over the groups e, w and n; None is its own units.
@pytest.mark.parametrize(
    ("told", "groups"),
    [
        (["own", "shared"], [None, "e", "w", "n"]),
        (["shared", "own"], ["e", "w", "n", None]),
        (["own", "shared:w"], [None, "w"]),
        (["shared:n", "own", "shared"], ["n", None, "e", "w"]),
    ],
)
def test_what_a_channel_draws_from(told, groups):
    policy = policies.normal(of(says(draw_order=told), sku="tea", node_groups=["e", "w", "n"]))
    entry = policies.resolve(planned(p=policy), TEA, NOW)["mall"]
    assert entry.order() == tuple(groups)
    assert entry.group == "e"


def test_units_that_are_not_there_may_be_sold_for_a_time():
    entry = policies.resolve(
        planned(p=of(says(presale=Presale(5, LATER), backorder=2), sku="tea")), TEA, NOW
    )["mall"]
    assert (entry.credit(NOW), entry.credit(LATER)) == (7, 2)


def test_the_next_instant_at_which_something_changes():
    given = planned(
        a=of(every=True, since=EARLIER, until=LATER + timedelta(hours=1)),
        b=of(says(presale=Presale(1, LATER)), sku="tea"),
        c=of(sku="cup", since=NOW + timedelta(minutes=1)),
    )
    assert policies.next_instant(given, TEA, NOW) == LATER
    assert policies.next_instant(given, TEA, LATER) == LATER + timedelta(hours=1)
    assert policies.next_instant(given, TEA, LATER + timedelta(hours=1)) is None


def test_units_are_declared_by_a_policy_of_its_own():
    given = planned(a=of(every=True), b=of(sku="tea", shared=5), c=of(sku="tea", until=LATER))
    assert policies.declared(given, TEA, NOW).id == "c"
    assert policies.declared(given, TEA, LATER).id == "b"
    assert policies.declared(given[:1], TEA, NOW) is None
