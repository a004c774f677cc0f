"""A chain sums up to what the pools have, whatever the layers say."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.campaigns.types import CampaignSku
from engine.explanations.rules.chain import chain, sellable
from engine.explanations.rules.changes import binding, changes
from engine.explanations.types import Accounts, Known, Reach
from engine.inventory.rules import supply
from engine.inventory.types import Dimensions, PolicyChannel, PolicyFields
from engine.inventory.types.supply import Card, Claim, Policy, Pool, Stock
from engine.logical.types.bases import NodeBase, Term

NOW = datetime(2026, 11, 11, tzinfo=UTC)
SHARED = Dimensions("main", "", "tea")
CHANNELS = ("app", "mall")

units = st.integers(0, 40)


@st.composite
def nodes(draw):
    found = []
    for n, group in enumerate(draw(st.lists(st.sampled_from(("", "east")), max_size=3))):
        on_hand, safety = draw(st.integers(-5, 60)), draw(st.integers(1, 9))
        terms = (Term("safety", safety, "r"),) if on_hand >= safety and draw(st.booleans()) else ()
        why = draw(st.sampled_from(("", "disabled")))
        left = on_hand - sum(term.units for term in terms)
        found.append(NodeBase(f"n{n}", group, not why, why, on_hand, terms, left, draw(units)))
    return found


@st.composite
def worlds(draw):
    """A SKU whose pools are what its plan says, but for what is just on its way."""
    places = draw(nodes())
    said = [
        PolicyChannel(
            channel, quota=0 if ratio else draw(units), ratio=ratio / 100, floor=draw(st.just(0)),
            shared_cap=draw(st.none() | units), backorder=draw(st.just(0) | units),
        )
        for channel in CHANNELS
        if (ratio := draw(st.integers(0, 50))) >= 0
    ]  # fmt: skip
    policy = Policy("p", 1, PolicyFields("tea", channels=said, node_groups=["", "east"]))
    claim = Claim("d11", 1, ["mall"], CampaignSku("tea", {"mall": draw(units)}),
                  [(NOW + timedelta(hours=1), {"mall": draw(units)})])  # fmt: skip
    stock = Stock(
        "main", Card("tea"), (), [policy], draw(st.sampled_from(([], [claim]))),
        supply.by_group(places), draw(st.sampled_from(((), ("mall",)))),
    )  # fmt: skip
    names = sorted(supply.plan(stock, NOW).units)
    used = {name: Accounts(draw(units), draw(units), 0) for name in names}
    stock = stock._replace(
        pools=[Pool(name.channel + name.campaign + name.node_group, name,
                    used=one.held + one.sold) for name, one in used.items()]
    )  # fmt: skip
    target = {name: wanted.units for name, wanted in supply.plan(stock, NOW).units.items()}
    late = draw(st.sampled_from((0, 0, 1)))
    pools = [
        pool._replace(
            given=target[pool.name], free=max(0, target[pool.name] - pool.used - late)
        )
        for pool in stock.pools
    ]  # fmt: skip
    stock = stock._replace(pools=pools)
    caps = draw(st.none() | st.integers(-5, 30))
    reach = Reach("mall", "", [(SHARED._replace(channel="mall"), None), (SHARED, caps)])
    gates = {"": draw(st.sampled_from(((), (("paused_sku", "tea"),))))}
    return Known(stock, places, used, [reach], gates), late


@given(worlds())
def test_terms_sum_up_exactly_and_each_says_what_it_left(world):
    known, late = world
    (reach,) = known.reaches
    if known.stock.bases is None and any(pool.free < 0 for pool in known.stock.pools):
        return
    found = chain(known, reach, NOW)
    left = found.start
    for term in found.terms:
        left -= term.units
        assert term.left == left
        assert term.units
    assert found.sellable == left == sellable(known, reach)
    kinds = [term.kind for term in found.terms]
    if not late and known.stock.bases is not None:
        assert "on_its_way" not in kinds
    assert all(term.units >= 0 for term in found.terms if term.kind == "waves")


@given(worlds())
def test_the_binding_term_is_one_of_the_chain_and_frees_most(world):
    known, _ = world
    (reach,) = known.reaches
    found = changes(known, reach, {}, NOW)
    assert [one.frees for one in found] == sorted((one.frees for one in found), reverse=True)
    term = binding(chain(known, reach, NOW).terms, found)
    assert (term is not None) == bool(found)
    if term is not None:
        assert (
            term.kind == next(one.term for one in found if one.frees == found[0].frees)
            or len([one for one in found if one.frees == found[0].frees]) > 1
        )
