"""Merging and taking apart: each shipment is in one consignment, and nothing is lost on the way."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.shipments.rules.merging import (
    GRAMS_MAX,
    MEMBERS_MAX,
    Door,
    Waiting,
    address_of,
    merge_hash,
    merged,
    to_send_again,
)
from engine.shipments.types.shipments import Line, Shipment

T0 = datetime(2026, 11, 11, tzinfo=UTC)
ADDRESS = address_of({"name": "Lin", "address": "1 Century Avenue", "region_code": "310115"})
DOOR = Door("main", "tmall", "us", "N", "ship", "standard", buyer="b1", address=ADDRESS)

waitings = st.lists(
    st.builds(
        Waiting,
        st.uuids().map(str),
        st.sampled_from(["", "h1", "h2"]),
        st.sampled_from(["N", "M"]),
        st.sampled_from(["sf", "zto"]),
        st.integers(1, GRAMS_MAX + 5),
        st.integers(0, 50).map(lambda n: T0 + timedelta(minutes=n)),
    ),
    max_size=60,
    unique_by=lambda one: one.shipment_id,
)


@given(waitings)
def test_consignments_are_of_one_kind_within_bounds_and_apart(waiting):
    known = {one.shipment_id: one for one in waiting}
    made = merged(waiting)
    taken = [name for one in made for name in one.members]
    assert len(taken) == len(set(taken)), "each leaves once"
    for one in made:
        members = [known[name] for name in one.members]
        assert 2 <= len(members) <= MEMBERS_MAX
        assert len({(each.merge_hash, each.node, each.service) for each in members}) == 1
        assert members[0].merge_hash
        assert sum(each.grams for each in members) <= GRAMS_MAX
        assert one.consignment_id in one.members
        assert one.release_at == min(each.release_at for each in members), "nobody waits longer"


@given(waitings, st.randoms())
def test_the_order_in_which_they_are_read_does_not_matter(waiting, dice):
    again = list(waiting)
    dice.shuffle(again)
    assert merged(again) == merged(waiting)


@given(waitings)
def test_none_is_left_alone_that_fits_to_another_left_alone(waiting):
    taken = {name for one in merged(waiting) for name in one.members}
    alone = [one for one in waiting if one.merge_hash and one.shipment_id not in taken]
    for n, one in enumerate(alone):
        for other in alone[n + 1 :]:
            alike = (one.merge_hash, one.node, one.service) == (
                other.merge_hash, other.node, other.service,
            )  # fmt: skip
            assert not alike or one.grams + other.grams > GRAMS_MAX


def shipment(name, state):
    lines = (Line(1, "A", 1),)
    return Shipment(
        name, "main", name[:1], "N", 1, "c", "ship", lines, "sf", "picked", intercepts=False,
        release_at=None, capacity=(), capacity_back=True, state=state, cancelling=False,
        wms_ref="", reason="",
    )  # fmt: skip


@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=4),
        st.tuples(st.sampled_from(["cancelled", "rejected", "shipped", "packed"]), st.booleans()),
    )
)
def test_taken_apart_each_is_stopped_sent_again_or_left_as_it_is(told):
    members = [shipment(name, state) for name, (state, _) in told.items()]
    asked = {name for name, (_, stop) in told.items() if stop}
    again = set(to_send_again(members, asked))
    assert again.isdisjoint(asked)
    cancelled = {name for name, (state, _) in told.items() if state == "cancelled"}
    assert again == cancelled - asked


def test_the_channels_key_counts_before_buyer_and_address():
    other = DOOR._replace(buyer="b2", address=address_of({"address": "elsewhere"}))
    assert merge_hash(DOOR._replace(key="k")) == merge_hash(other._replace(key="k"))
    assert merge_hash(DOOR) != merge_hash(other)


@pytest.mark.parametrize(
    "change",
    [
        {"node": "M"}, {"tier": "next_day"}, {"owner": "them"}, {"channel": "jd"},
        {"tenant": "other"}, {"buyer": "b2"}, {"address": address_of({"address": "2 Avenue"})},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_what_differs_is_not_merged(change):
    assert merge_hash(DOOR._replace(**change)) != merge_hash(DOOR)


@pytest.mark.parametrize(
    "change",
    [{"apart": True}, {"mode": "pickup"}, {"mode": "instant"}, {"buyer": ""}, {"address": ()}],
    ids=str,
)
def test_what_is_never_merged(change):
    assert merge_hash(DOOR._replace(**change)) == ""


def test_an_encrypted_consignee_is_known_by_his_opaque_id():
    door = DOOR._replace(buyer="", address=(), consignee="oaid-1")
    assert merge_hash(door)
    assert merge_hash(door) != merge_hash(door._replace(consignee="oaid-2"))


def test_an_address_is_the_same_however_it_is_spaced():
    assert address_of({"address": " 1  century AVENUE"}) == address_of(
        {"address": "1 Century Avenue"}
    )
