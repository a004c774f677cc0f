"""A chain sums up to what the pools have, whatever the layers say."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.campaigns.types import CampaignSku
from engine.explanations.rules.chain import chain, pool_name, sellable, shortened
from engine.explanations.rules.changes import alternatives, binding, changes, planned
from engine.explanations.types import Accounts, Known, Reach
from engine.inventory.rules import supply
from engine.inventory.types import Dimensions, PolicyChannel, PolicyFields
from engine.inventory.types.supply import Base, Card, Claim, Policy, Pool, Stock
from engine.kernel import codec
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
    found = chain(known, reach, planned(known.stock, NOW))
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
    plan = planned(known.stock, NOW)
    found = changes(known, reach, plan, alternatives(known, plan, {}, NOW), NOW)
    assert [one.frees for one in found] == sorted((one.frees for one in found), reverse=True)
    gates = known.gates[""]
    term = binding(chain(known, reach, plan).terms, found, gates)
    assert (term is not None) == bool(found)
    if term is not None and gates:
        assert (term.kind, term.about) == gates[0]
    elif term is not None:
        assert (
            term.kind == next(one.term for one in found if one.frees == found[0].frees)
            or len([one for one in found if one.frees == found[0].frees]) > 1
        )


def known_of(says, pools, draws, gates=(), groups=("",), base=100):
    """One SKU with these entries of its policy, and pools as ((channel, group), free units)."""
    policy = Policy("p", 1, PolicyFields("tea", channels=says, node_groups=list(groups)))
    names = {place: SHARED._replace(channel=place[0], node_group=place[1]) for place, _ in pools}
    counts = True
    places = [NodeBase(f"n{group}", group, counts, "", base, (), base, 0) for group in groups]
    stock = Stock(
        "main", Card("tea"),
        [Pool(repr(place), names[place], given=free, free=free) for place, free in pools],
        [policy], (), supply.by_group(places),
    )  # fmt: skip
    reach = Reach("mall", "", [(names[place], left) for place, left in draws])
    return Known(
        stock, places, {name: Accounts(0, 0, 0) for name in names.values()}, [reach], {"": gates}
    )


def told(known):
    (reach,) = known.reaches
    plan = planned(known.stock, NOW)
    others = alternatives(known, plan, {}, NOW)
    return [
        (one.change, one.about, one.frees, one.says)
        for one in changes(known, reach, plan, others, NOW)
    ]


def test_a_cap_below_what_was_drawn_has_to_rise_by_more_than_it_frees():
    says = [PolicyChannel("mall", shared_cap=3)]  # of which 8 were drawn when it was higher
    known = known_of(
        says, [(("mall", ""), 0), (("", ""), 100)], [(("mall", ""), None), (("", ""), -5)]
    )
    assert told(known) == [("raise_cap", "shared", 100, "raise shared_cap by 105")]


def test_a_cap_is_of_each_shared_pool():
    says = [PolicyChannel("mall", shared_cap=10)]
    known = known_of(
        says,
        [(("mall", "e"), 0), (("", "e"), 30), (("", "w"), 25)],
        [(("mall", "e"), None), (("", "e"), 10), (("", "w"), 10)],
        groups=("e", "w"), base=30,
    )  # fmt: skip
    assert told(known)[0] == ("raise_cap", "shared @e", 35, "raise shared_cap by 20")


def test_what_a_cap_of_its_own_would_take_back_is_not_to_be_moved():
    says = [PolicyChannel("mall", quota=10, cap=10), PolicyChannel("app", quota=90)]
    pools = [(("mall", ""), 10), (("app", ""), 90), (("", ""), 0)]
    assert told(known_of(says, pools, [(("mall", ""), None)])) == []
    says[0] = PolicyChannel("mall", quota=10, cap=30)
    (one,) = told(known_of(says, pools, [(("mall", ""), None)]))
    assert one[:3] == ("move_units", "app", 20)


def test_no_more_is_to_be_moved_than_one_move_may():
    says = [PolicyChannel("mall", quota=0), PolicyChannel("app", quota=2_000_000)]
    pools = [(("mall", ""), 0), (("app", ""), 2_000_000), (("", ""), 0)]
    (one,) = told(known_of(says, pools, [(("mall", ""), None)], base=2_000_000))
    assert one == ("move_units", "app", 1_000_000, "move 1000000 units from app")


def test_units_of_another_group_are_not_to_be_moved():
    says = [PolicyChannel("mall", quota=10, draw_order=["own"])]
    pools = [(("mall", "e"), 10), (("", "e"), 0), (("", "w"), 50)]
    known = known_of(says, pools, [(("mall", "e"), None)], groups=("e", "w"), base=10)
    assert told(known) == []


def test_a_closed_gate_binds_whether_or_not_it_can_be_opened():
    says = [PolicyChannel("mall", quota=10)]
    pools = [(("mall", ""), 10), (("", ""), 90)]
    known = known_of(says, pools, [(("mall", ""), None)], gates=(("not_begun", "d11"),))
    (reach,) = known.reaches
    terms = chain(known, reach, planned(known.stock, NOW)).terms
    found = binding(terms, [], known.gates[""])
    assert (found.kind, found.units, found.left) == ("not_begun", 10, 0)


def test_what_another_pool_gives_back_first_is_freed_too():
    """Of what is moved, a cap of its own leaves nothing; it comes to the shared pool."""
    says = [PolicyChannel("mall", quota=10, cap=10), PolicyChannel("app", quota=90)]
    pools = [(("mall", ""), 10), (("app", ""), 90), (("", ""), 0)]
    known = known_of(says, pools, [(("mall", ""), None), (("", ""), None)])
    (one,) = told(known)
    assert one[:3] == ("move_units", "app", 90)


def test_a_suggestion_frees_what_is_there_once_sales_that_moved_shares_are_followed():
    """app sold 20 of its quarter, and gets units for it with the next plan, whoever causes that."""
    says = [PolicyChannel("mall"), PolicyChannel("app", ratio=0.25, draw_order=["own"])]
    pools = [(("mall", ""), 0), (("app", ""), 5), (("", ""), 75)]
    known = known_of(says, pools, [(("mall", ""), None), (("", ""), None)])
    app = known.stock.pools[1]
    known = known._replace(
        stock=known.stock._replace(
            pools=[one._replace(given=25, used=20) if one is app else one
                   for one in known.stock.pools]
        ),
        nodes=[*known.nodes, known.nodes[0]._replace(node="m", counts=False, why_not="disabled",
                                                     on_hand=40, sellable=40)],
    )  # fmt: skip
    (reach,) = known.reaches
    after = settled(known.stock._replace(bases={"": Base(140, 0)}))
    mall = sellable(known._replace(stock=after), reach)
    assert mall == 90  # three quarters of the 120 that are free
    assert ("count_node", "m", mall - 75) in [one[:3] for one in told(known)]


@given(worlds(), st.lists(units, min_size=8, max_size=8))
def test_each_suggestion_frees_what_it_says_also_after_sales(world, sold):
    known, _ = world
    if known.stock.bases is None:
        return
    known = known._replace(gates={})
    stock = settled(known.stock._replace(external=(), pools=(), claims=()))
    pools = []
    for pool, units in zip(stock.pools, sold, strict=False):
        gone = min(pool.free, units)
        pools.append(pool._replace(free=pool.free - gone, used=pool.used + gone))
    known = known._replace(stock=stock._replace(pools=pools))
    (reach,) = known.reaches
    before = sellable(known, reach)
    by_ratio = known.stock.policies[0].fields.channels[CHANNELS.index("mall")].ratio
    plan = planned(known.stock, NOW)
    for one in changes(known, reach, plan, alternatives(known, plan, {}, NOW), NOW):
        after = known.stock
        if one.change == "count_node":
            places = [
                node._replace(counts=True) if node.node == one.about else node
                for node in known.nodes
            ]
            after = after._replace(bases=supply.by_group(places))
        elif one.change == "move_units" and not by_ratio:
            after = moved(after, one, reach)
        else:  # what was moved on top of a share shrinks with each plan
            continue
        assert sellable(known._replace(stock=settled(after)), reach) == before + one.frees, one


def moved(stock, change, reach):
    """Do what a suggestion says: all free units of a pool to one of the channel's own."""
    source = next(one for one in stock.pools if pool_name(one.name) == change.about)
    own = {name for name, _ in reach.draws if name.channel}
    target = next(one for one in stock.pools if one.name in own)
    by = {source.name: -source.free, target.name: source.free}
    return stock._replace(
        pools=[
            one._replace(moved=one.moved + by.get(one.name, 0), free=one.free + by.get(one.name, 0))
            for one in stock.pools
        ]
    )


def settled(stock):
    """Plan again and again, the cell doing what each plan says, until one changes nothing."""
    for step in range(20):
        outcome = supply.plan(stock, NOW + timedelta(seconds=6 * step))
        pools = {one.name: one for one in stock.pools}
        for name, wanted in outcome.units.items():
            one = pools.get(name, Pool("", name))
            free = max(0, wanted.units + one.moved - one.used)
            pools[name] = one._replace(given=one.used + free - one.moved, free=free)
        if [*pools.values()] == [*stock.pools]:
            return stock
        stock = stock._replace(pools=[*pools.values()])
    raise AssertionError("it never comes to rest")


@given(worlds(), st.lists(st.integers(-30, 30).filter(bool), max_size=30), st.data())
def test_a_shortened_chain_sums_up_to_the_same_and_keeps_what_binds(world, free, data):
    known, _ = world
    (reach,) = known.reaches
    more = [
        Pool(f"p{n}", SHARED._replace(channel=f"c{n}"), given=units, free=units)
        for n, units in enumerate(free)
    ]
    accounts = {**known.accounts, **dict.fromkeys([one.name for one in more], Accounts(0, 0, 0))}
    stock = known.stock._replace(pools=[*known.stock.pools, *more])
    known = known._replace(stock=stock, accounts=accounts)
    found = chain(known, reach, planned(known.stock, NOW))
    binds = data.draw(st.sampled_from([None, *found.terms]))
    terms, kept = shortened(found.terms, binds)
    left = found.start
    for term in terms:
        left -= term.units
        assert term.left == left
    assert left == found.sellable
    kinds = [term.kind for term in terms]
    assert all(kinds.count(kind) <= 9 for kind in kinds)
    assert {*kinds} == {term.kind for term in found.terms}
    assert (kept is None) == (binds is None)
    assert kept is None or (kept in terms and (kept.kind, kept.about, kept.units)
                            == (binds.kind, binds.about, binds.units))  # fmt: skip


def test_sixty_shops_of_twenty_groups_of_nodes_are_explained_in_less_than_a_megabyte():
    groups = [f"region-{n}" for n in range(20)]
    channels = [f"channel-{n}" for n in range(60)]
    says = [PolicyChannel(channel, quota=30) for channel in channels]
    pools = [((channel, group), 25) for channel in ("", *channels) for group in groups]
    known = known_of(says, pools, [], groups=groups, base=2_000)
    plan = planned(known.stock, NOW)
    whole, short = 0, 0
    for channel in channels:
        names = [one.name for one in known.stock.pools if one.name.channel in {channel, ""}]
        terms = chain(known, Reach(channel, "", [(name, None) for name in names]), plan).terms
        whole += len(codec.encode(terms))
        short += len(codec.encode(shortened(terms, None)[0]))
    assert whole > 5_000_000  # each says of 1,180 pools of others what is free in them
    assert short < 200_000
