"""What holds of the chain whatever is told."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from engine.logical.rules.base import node_base
from engine.logical.rules.change import next_change
from engine.logical.rules.matching import applied
from engine.logical.types.bases import Held, Place, Rule

START = datetime(2026, 11, 11, tzinfo=UTC)
PLACE = Place("N", "", enabled=True, controlled_by="us", zone=ZoneInfo("America/New_York"))
CONDITIONS = ["good", "defective", "box_damaged"]
small = st.integers(0, 9)
moments = st.one_of(
    st.none(), st.integers(0, 200).map(lambda hours: START + timedelta(hours=hours))
)


@st.composite
def keys(draw):
    on_hand, locked = draw(st.integers(-9, 40)), draw(st.integers(-2, 5))
    committed, handed = draw(small), draw(small)
    left = on_hand - locked - committed - handed
    expires = draw(st.one_of(st.none(), st.integers(0, 12).map(lambda n: date(2026, 11, 8 + n))))
    return (draw(st.sampled_from(CONDITIONS)), draw(st.sampled_from(["", "x", "y"]))), Held(
        "good", "", expires, on_hand, locked, committed, handed, draw(small), left
    )


held = st.lists(keys(), max_size=6, unique_by=lambda one: one[0]).map(
    lambda told: [one._replace(condition=name[0], batch=name[1]) for name, one in told]
)


@st.composite
def one_rule(draw):
    kind = draw(st.sampled_from(["condition", "quality_hold", "expiry", "safety", "set_aside"]))
    by_key = kind in {"condition", "quality_hold"}
    units, percent, days = draw(small), None, None
    if kind == "expiry":
        units, days = None, draw(small)
    elif kind == "quality_hold":
        units = units or None
    elif kind == "set_aside" and draw(st.booleans()):
        units, percent = None, draw(st.integers(0, 10_000))
    worse = CONDITIONS[1:] if kind == "condition" else ["", *CONDITIONS]
    return Rule(
        "", kind, sku=draw(st.sampled_from(["", "A"])), node=draw(st.sampled_from(["", "N"])),
        batch=draw(st.sampled_from(["", "x"])) if by_key else "",
        condition=draw(st.sampled_from(worse)) if by_key else "",
        units=units, percent=percent, days=days, starts_at=draw(moments), ends_at=draw(moments),
    )  # fmt: skip


rules = st.lists(one_rule(), max_size=6).map(
    lambda told: [one._replace(id=f"r{n}") for n, one in enumerate(told)]
)
ORDER = ["locked", "committed", "handed_over", "condition", "quality_hold", "expiry", "safety",
         "set_aside"]  # fmt: skip


def base(there, told, at=START):
    return node_base(PLACE, there, applied(told, PLACE, at))


@given(held, rules, st.randoms(use_true_random=False))
def test_the_chain_adds_up_in_any_order_and_makes_no_loss_and_hides_none(there, told, dice):
    made = base(there, told)
    assert made.on_hand == sum(one.on_hand for one in there)
    assert made.on_hand - sum(term.units for term in made.terms) == made.sellable
    physical = sum(one.sellable for one in there)
    sold = {"good"} | {rule.condition for rule in told if rule.kind == "condition"}
    lost = sum(
        min(sum(one.sellable for one in there if one.condition == condition), 0)
        for condition in CONDITIONS
    )
    assert made.sellable <= physical
    assert made.sellable >= min(physical, 0) + lost
    if physical < 0:
        assert made.sellable < 0, "a loss is never hidden"
    if all(one.sellable <= 0 for one in there if one.condition in sold):
        assert made.sellable <= 0
    kinds = [ORDER.index(term.kind) for term in made.terms]
    assert kinds == sorted(kinds)
    assert all(term.units > 0 for term in made.terms if term.kind not in ORDER[:1])
    for many in (there, told):
        dice.shuffle(many)
    assert base(there, told) == made


@given(held, rules, one_rule())
def test_one_more_rule_that_withholds_never_sells_more(there, told, one):
    if one.kind in {"quality_hold", "set_aside"}:
        before = base(there, told).sellable
        more = [*told, one._replace(id="more")]
        assert base(there, more).sellable <= before


@given(held, rules, st.integers(0, 300))
def test_nothing_changes_before_the_instant_that_is_told(there, told, hours):
    now = base(there, told)
    change = next_change(PLACE, there, applied(told, PLACE, START))
    later = START + timedelta(hours=hours)
    assert change is None or change > START
    if change is None or later < change:
        assert base(there, told, later) == now
    else:
        assert base(there, told, change - timedelta(milliseconds=1)) == now
