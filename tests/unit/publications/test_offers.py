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
    assert offers.in_force(ONE, rules, now_ms) == (found[0], [[draws] for draws in found[1]])
    assert set(rules) <= set(offers.fields_of(ONE)), "and the cell is asked for them all"


def test_caps_and_debts_of_an_offer_count():
    pools = {"own": Pool(3, 1), "shared": Pool(20, 2)}
    (field,) = offers.capped("tmall", EVERY)
    found = offers.reach(ONE, [EVERY], pools, {field: 1})
    assert (found.sellable, found.owed, found.pools) == (7, 3, ("own", "shared"))
    assert offers.reach(ONE, [EVERY], {}, {}).sellable == 0, "pools that the cell does not have"


SET = Asked("main", "tmall", "SET", ("d11",), (("A", 2), ("B", 1)))


def of_part(sku, campaign, *draws):
    return {offers.offer_field(SET, campaign, sku): PACK([1, list(draws), 0, 0])}


PARTS = of_part("A", "", ("a", -1)) | of_part("B", "", ("b", -1))
IN_D11 = of_part("A", "d11", ("a-c", -1)) | of_part("B", "d11", ("b-c", -1)) | {
    offers.campaign_field("main", "d11"): PACK([1, 100, 200, 0, 0, [], 0])
}  # fmt: skip
NAMED = {offers.offer_field(SET, "d11"): PACK([1, [], 3, 0, 0, "", 1])}
NO_MORE = {offers.offer_field(SET, "d11"): PACK([2, [], 0, 0, 0, ""])}
DAILY, SALE = [[("a", -1)], [("b", -1)]], [[("a-c", -1)], [("b-c", -1)]]
OF_B = {offers.pause_field("main", "sku", "B"): PACK([1, "me", ""])}
OF_SET = {offers.pause_field("main", "sku", "SET"): PACK([1, "me", ""])}
# fmt: off
BUNDLED = {
    "every day":                     (PARTS, (False, [DAILY])),
    "a part is not sold here":       (of_part("A", "", ("a", -1)), (False, [])),
    "a campaign names it":           (PARTS | IN_D11 | NAMED, (False, [SALE])),
    "only its parts are in it":      (PARTS | IN_D11, (False, [DAILY])),
    "the campaign dropped it":       (PARTS | IN_D11 | NO_MORE, (False, [DAILY])),
    "paused":                        (PARTS | OF_SET, (True, [])),
    "a part is paused":              (PARTS | OF_B, (True, [])),
}
# fmt: on


@pytest.mark.parametrize(("rules", "found"), BUNDLED.values(), ids=BUNDLED)
def test_a_bundle_is_sold_where_its_parts_are(rules, found):
    assert offers.in_force(SET, rules, 150) == found
    assert set(rules) <= set(offers.fields_of(SET)), "and the cell is asked for them all"


def test_of_a_bundle_there_are_as_many_as_of_the_part_that_binds():
    found = offers.reach(SET, DAILY, {"a": Pool(9, 2), "b": Pool(40, 0)}, {})
    assert (found.sellable, found.owed, found.pools) == (3, 0, ("a", "b"))
    assert offers.reach(SET, DAILY, {"a": Pool(9, 0)}, {}).sellable == 0


def test_a_pool_that_ended_has_nothing_for_sale():
    assert offers.pool_of(PACK([9, 2, 5, 1, 5, 3, "", 0, [], 0])) == Pool(5, 2)
    assert offers.pool_of(PACK([9, 2, 5, 1, 5, 3, "p2", 1])) == Pool(0, 2)
