"""A shop that takes our numbers sells what it was told to show, and nothing else."""

from engine.simulation.marketplace import Live, Rates, Spec

SPEC = Spec(
    channel="tmall", seed=5, orders=200, published={"A": 50, "B": 50}, stock={"A": 30},
    pushed=True, rates=Rates(unmapped=0.0, refund=0.0),
)  # fmt: skip


def played(shop, told):
    """Let all buyers come; `told` is what arrives before which of them."""
    arrivals = []
    for n, at_s in enumerate(shop.coming):
        for link in told.get(n, ()):
            shop.show(*link)
        arrivals += shop.sell(at_s)
    return arrivals


def test_nothing_is_sold_before_a_number_came():
    shop = Live(SPEC)
    assert played(shop, {}) == []
    assert shop.truth == ()
    assert shop.shows() == [("1", "", 0), ("2", "", 0)]


def test_it_sells_up_to_its_last_number():
    shop = Live(SPEC)
    arrivals = played(shop, {0: [("1", "", 30)], 100: [("1", "", 5), ("1", "pair", 2)]})
    before = sum(order.units.get("A", 0) for order in shop.truth)
    assert 5 <= before <= 35
    assert all(pieces >= 0 for _, _, pieces in shop.shows())
    assert {order.channel_order_id for order in shop.truth} == {
        shop.document(n, place)["channel_order_id"] for _, n, place in arrivals
    }
    finals = {n: max(place for _, other, place in arrivals if other == n) for _, n, _ in arrivals}
    for n, place in finals.items():
        assert shop.document(n, place)["version"] == shop.truth[n].version


def test_the_same_seed_and_numbers_are_the_same_sale():
    numbers = {0: [("1", "", 20), ("2", "", 9)]}
    first, second = Live(SPEC), Live(SPEC)
    assert played(first, numbers) == played(second, numbers)
    assert first.truth == second.truth
