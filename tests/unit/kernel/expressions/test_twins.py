"""The generated function, the library and plain Python say the same of the same order."""

import random
from types import SimpleNamespace

import pytest

from engine.kernel.expressions.checking import Checker
from engine.kernel.expressions.judging import Judge, compile_conditions
from engine.kernel.expressions.schemas import ORDER_SCHEMA
from engine.kernel.expressions.types import Invalid
from tests.unit.kernel.expressions.made import Author, order

# What an operator writes, and the same by hand; None is a condition that fails.
TWINS = {
    "campaign == 'd11' && total > 10000 && !('PRESELL' in tags)": lambda o: (
        o.campaign == "d11" and o.total > 10_000 and "PRESELL" not in o.tags
    ),
    "region.startsWith('44') || region in ['310000', '330100', '330200']": lambda o: (
        o.region[:2] == "44" or o.region in ("310000", "330100", "330200")
    ),
    "grams <= 20000 && tier == 'next_day'": lambda o: o.grams <= 20_000 and o.tier == "next_day",
    "tags.exists(t, t == 'FRESH' || t == 'COLD') && total >= 3900": lambda o: (
        bool({"FRESH", "COLD"} & set(o.tags)) and o.total >= 3_900
    ),
    "channel in ['mall', 'tmall', 'jd'] && units < 10 && buyer_tier != 'black'": lambda o: (
        o.channel in ("mall", "tmall", "jd") and o.units < 10 and o.buyer_tier != "black"
    ),
    "cod > 0 ? total < 500000 : total + units * 100 < 900000": lambda o: (
        o.total < 500_000 if o.cod else o.total + o.units * 100 < 900_000
    ),
    "order_kind != 'sale'": lambda o: o.order_kind != "sale",
    "has_note": lambda o: o.has_note,
    "!has_note && !remote": lambda o: not (o.has_note or o.remote),
    "has_note == remote": lambda o: o.has_note is o.remote,
    "size(tags) == 0": lambda o: not o.tags,
    "skus.all(s, s.startsWith('SKU-'))": lambda o: not [s for s in o.skus if s[:4] != "SKU-"],
    "skus.exists(tags, tags == 'X-9')": lambda o: "X-9" in o.skus,
    "['FRESH', '易碎'].all(t, t in tags)": lambda o: {"FRESH", "易碎"} <= set(o.tags),
    "fulfil_mode == 'instant' && hour >= 9 && hour < 23": lambda o: (
        o.fulfil_mode == "instant" and o.hour in range(9, 23)
    ),
    "weekday in [6, 7]": lambda o: o.weekday >= 6,
    "-priority >= 1": lambda o: o.priority <= -1,
    "channel.size() == 4 || channel == ''": lambda o: len(o.channel) in (0, 4),
    "region < province": lambda o: o.region < o.province,
    "channel + '/' + tier == 'jd/standard'": lambda o: (o.channel, o.tier) == ("jd", "standard"),
    "(hops > 0 ? 'again' : 'first').contains('aga')": lambda o: o.hops > 0,
    "buyer_tier.endsWith('ck') && insured - cod > 0": lambda o: (
        o.buyer_tier == "black" and o.insured > o.cod
    ),
    "owner == '' && !('theirs' in brands) && size(categories) < lines": lambda o: (
        o.owner == "" and "theirs" not in o.brands and len(o.categories) < o.lines
    ),
    "true": lambda _o: True,
    # from here on the library evaluates
    "lines / (units - 1) > 1": lambda o: (
        None if o.units == 1 else int(o.lines / (o.units - 1)) > 1
    ),
    "total * units > 1000000": lambda o: (
        None if o.total * o.units >= 2**63 else o.total * o.units > 1_000_000
    ),
    "region.matches('^(44|31)[0-9]+$')": lambda o: o.region in ("440305", "310000"),
    "tags.filter(t, t != 'GIFT').size() > 1": lambda o: len(set(o.tags) - {"GIFT"}) > 1,
    "tags.exists_one(t, t in ['GIFT', 'COLD'])": lambda o: (
        len({"GIFT", "COLD"} & set(o.tags)) == 1
    ),
    "tags[0] == 'FRESH' || channel == 'pdd'": lambda o: (
        True if o.channel == "pdd" else None if not o.tags else o.tags[0] == "FRESH"
    ),
}  # fmt: skip


def twin_of(twins, facts):
    """What `Judge` would return, by plain Python."""
    o = SimpleNamespace(**dict(zip(ORDER_SCHEMA.index, facts, strict=True)))
    found = 0
    for n, rule in enumerate(twins):
        said = rule(o)
        found |= 1 << n + len(twins) if said is None else said << n
    return found


def differences(twins, many, seed=1):
    """Compare three ways of judging, on random orders; return conditions that ever differ."""
    rnd = random.Random(seed)
    judge = compile_conditions(list(twins), ORDER_SCHEMA)
    differ = set()
    for _ in range(many):
        facts = ORDER_SCHEMA.facts(order(rnd))
        found, expected = judge(facts), twin_of(list(twins.values()), facts)
        assert found == judge.by_library(facts)
        wrong = found ^ expected
        differ |= {n % len(twins) for n in range(2 * len(twins)) if wrong >> n & 1}
    return [list(twins)[n] for n in sorted(differ)]


def test_thirty_rules_judge_as_their_twins_do():
    assert len(TWINS) == 30
    assert differences(TWINS, 2_000) == []


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_thirty_rules_judge_as_their_twins_do_at_length():
    assert differences(TWINS, 10_000, seed=2) == []


def test_a_twin_that_is_off_by_one_is_found():
    careless = dict(TWINS)
    first = next(iter(TWINS))
    careless[first] = lambda o: (
        o.campaign == "d11" and o.total >= 10_000 and "PRESELL" not in o.tags
    )
    assert differences(careless, 2_000) == [first]


def test_each_rule_holds_for_some_orders_and_fails_for_others():
    judge = compile_conditions(list(TWINS), ORDER_SCHEMA)
    rnd = random.Random(3)
    found = [judge(ORDER_SCHEMA.facts(order(rnd))) for _ in range(2_000)]
    for n, text in enumerate(TWINS):
        held = sum(one >> n & 1 for one in found)
        assert held, text
        assert held < len(found) or text == "true", text
    # divisions, overflows, missing elements
    assert {len(judge.faults(one)) for one in found} == {0, 1, 2}


def test_what_is_generated_and_what_is_not():
    judge = compile_conditions(list(TWINS), ORDER_SCHEMA)
    assert [one.term is None for one in judge.conditions] == [False] * 24 + [True] * 6
    assert [one.why for one in judge.conditions[24:]] == [
        "_/_", "arithmetic that may overflow", "matches", "a loop that is neither exists nor all",
        "a loop that is neither exists nor all", "_[_]",
    ]  # fmt: skip


def compared(many, seed):
    """Random conditions, each on random orders; how many were generated, how many not."""
    rnd = random.Random(seed)
    author, checker = Author(rnd), Checker(ORDER_SCHEMA)
    kinds = {True: 0, False: 0}
    while sum(kinds.values()) < many:
        batch = []
        while len(batch) < 20:
            try:
                batch.append(checker.check(author.condition()))
            except Invalid:  # too dear, or a name that a loop hides
                continue
        judge = Judge(batch, ORDER_SCHEMA)
        for one in batch:
            kinds[one.term is not None] += 1
        for _ in range(20):
            facts = ORDER_SCHEMA.facts(order(rnd))
            found, expected = judge(facts), judge.by_library(facts)
            wrong = [one.text for n, one in enumerate(batch) if (found ^ expected) >> n & 1]
            assert found == expected, wrong
    return kinds


def test_random_conditions_are_judged_as_the_library_does():
    kinds = compared(600, seed=4)
    assert kinds[True] > 200
    assert kinds[False] > 50


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_random_conditions_are_judged_as_the_library_does_at_length():
    compared(20_000, seed=5)
