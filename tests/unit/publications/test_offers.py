"""Which offers are in force, and what they have for a channel."""

import msgspec
import pytest

from engine.publications.rules import offers
from engine.publications.rules.offers import Asked, Pool

ONE = Asked("main", "tmall", "A", ("d11", "d12"))
PACK = msgspec.msgpack.encode
EVERYDAY = {offers.offer_field(ONE, ""): PACK([1, [["own", -1], ["shared", 5]], 0, 0])}


def campaign(name, starts_at, ends_at, draws=(("own-c", -1),)):
    return {
        offers.campaign_field("main", name): PACK([1, starts_at, ends_at, 0, 0, [], 0]),
        offers.offer_field(ONE, name): PACK([1, list(draws), 0, 0]),
    }


PAUSED = {offers.pause_field("main", "sku", "A"): PACK([1, "me", ""])}
PAUSED_D11 = {offers.pause_field("main", "campaign", "d11"): PACK([1, "me", ""])}
D11 = campaign("d11", 100, 200)
D12 = campaign("d12", 150, 200, [("other", -1)])
EMPTIED = {offers.offer_field(ONE, ""): PACK([2, [], 0, 0])}
C11, C12 = [("own-c", -1)], [("other", -1)]
BOTH = EVERYDAY | D11 | D12
EVERY = [("own", -1), ("shared", 5)]
# fmt: off
CASES = {
    "nothing":                     ({}, 150, (False, [])),
    "every day":                   (EVERYDAY, 150, (False, [EVERY])),
    "an offer that was emptied":   (EMPTIED, 150, (False, [])),
    "before the campaign":         (EVERYDAY | D11, 99, (False, [EVERY])),
    "in it":                       (EVERYDAY | D11, 100, (False, [C11])),
    "after it":                    (EVERYDAY | D11, 200, (False, [EVERY])),
    "two run":                     (BOTH, 160, (False, [C11, C12])),
    "paused":                      (EVERYDAY | PAUSED, 150, (True, [])),
    "the campaign is paused":      (EVERYDAY | D11 | PAUSED_D11, 150, (True, [])),
    "a paused one is not running": (EVERYDAY | D11 | PAUSED_D11, 99, (False, [EVERY])),
    "one of two is paused":        (BOTH | PAUSED_D11, 160, (False, [C12])),
}
# fmt: on


@pytest.mark.parametrize(("rules", "now_ms", "found"), CASES.values(), ids=CASES)
def test_in_force(rules, now_ms, found):
    assert offers.in_force(ONE, rules, now_ms) == found
    assert set(rules) <= set(offers.fields_of(ONE)), "and the cell is asked for them all"


def test_caps_and_debts_of_an_offer_count():
    pools = {"own": Pool(3, 1), "shared": Pool(20, 2)}
    (field,) = offers.capped("tmall", EVERY)
    found = offers.reach(ONE, EVERY, pools, {field: 1})
    assert (found.sellable, found.owed, found.pools) == (7, 3, ("own", "shared"))
    assert offers.reach(ONE, EVERY, {}, {}).sellable == 0, "pools that the cell does not have"


def test_a_pool_that_ended_has_nothing_for_sale():
    assert offers.pool_of(PACK([9, 2, 5, 1, 5, 3, "", 0, [], 0])) == Pool(5, 2)
    assert offers.pool_of(PACK([9, 2, 5, 1, 5, 3, "p2", 1])) == Pool(0, 2)
