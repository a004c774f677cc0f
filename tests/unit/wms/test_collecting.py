"""However an order is taken apart, what its parcels collect adds up to what is due."""

from random import Random

import pytest

from engine.wms.rules.collecting import insured, share
from engine.wms.types import Asked, Due, Sold


def order(rng):
    sold, wanted, n = {}, {}, 0
    for _ in range(rng.randint(1, 4)):
        n += 1
        head = n
        sold[head] = Sold(rng.choice([0, rng.randint(1, 9_999)]))
        if rng.random() < 0.3:
            sold[head] = sold[head]._replace(part_of=head)  # as a bundle has it
            for _ in range(rng.randint(1, 2)):
                n += 1
                sold[n], wanted[n] = Sold(0, head), rng.randint(1, 5)
        else:
            wanted[head] = rng.randint(1, 5)
    return sold, wanted


def split(rng, wanted):
    parcels = [{} for _ in range(rng.randint(1, 4))]
    for n, units in wanted.items():
        for _ in range(units):
            one = rng.choice(parcels)
            one[n] = one.get(n, 0) + 1
    return [one for one in parcels if one]


@pytest.mark.parametrize("seed", range(200))
def test_it_adds_up_and_nobody_pays_for_what_he_was_not_sent(seed):
    rng = Random(seed)
    sold, wanted = order(rng)
    freight = rng.choice([0, rng.randint(1, 999)])
    due = sum(one.payable for one in sold.values()) + freight
    live, waiting = {}, split(rng, wanted)

    def plan(units):
        name = f"s{len(planned)}"
        planned.append(name)
        one = Due(due, tuple(wanted.items()), sold, live)
        asked = share(one, name, units.items())
        live[name] = Asked(tuple(units.items()), asked)

    planned = []
    for _ in range(40):
        if live and rng.random() < 0.3:
            gone = live.pop(rng.choice(sorted(live)))
            waiting.append(dict(gone.units))  # cancelled: planned anew
        elif waiting:
            plan(waiting.pop(rng.randrange(len(waiting))))
    while waiting:
        plan(waiting.pop())
    assert sum(one.due for one in live.values()) == due
    assert min(one.due for one in live.values()) >= 0


def collects(due, wanted, sold, live, mine):
    asked = {name: Asked(tuple(units.items()), sum_) for name, (units, sum_) in live.items()}
    return share(Due(due, tuple(wanted.items()), sold, asked), "mine", mine.items())


def test_a_parcel_collects_for_its_own_goods():
    sold = {1: Sold(600), 2: Sold(300, 2), 3: Sold(0, 2), 4: Sold(0, 2)}
    wanted = {1: 2, 3: 1, 4: 2}
    assert collects(900, wanted, sold, {}, {1: 1}) == 300
    assert collects(900, wanted, sold, {}, {3: 1}) == 100  # a third of its bundle
    assert collects(990, wanted, sold, {}, {1: 1}) == 330  # with its part of the freight
    not_yet = {"s1": ({1: 2}, None), "mine": ({3: 1}, 7)}
    assert collects(900, wanted, sold, not_yet, {3: 1}) == 100
    assert collects(900, wanted, sold, {"s1": ({1: 2}, 600)}, {3: 1, 4: 2}) == 300
    assert collects(500, wanted, sold, {"s1": ({1: 2}, 600)}, {3: 1, 4: 2}) == 0  # never less


def test_the_rest_of_what_left_short_is_collected_by_nobody_else():
    """Its node was asked for the whole sum, and was not told another one since."""
    assert collects(900, {1: 3}, {1: Sold(900)}, {"s1": ({1: 3}, 900)}, {1: 1}) == 0


@pytest.mark.parametrize("seed", range(50))
def test_parcels_together_are_insured_for_what_was_asked_and_a_unit_more_each_at_most(seed):
    rng = Random(seed)
    sold, wanted = order(rng)
    parcels = [one for one in split(rng, wanted) if one]
    total = rng.randint(1, 100_000)
    whole = Due(0, tuple(wanted.items()), sold, {})
    found = [insured(total, whole, tuple(one.items())) for one in parcels]
    assert all(0 <= one <= total for one in found)
    if any(one.payable for one in sold.values()):
        assert total <= sum(found) < total + len(parcels)
    assert insured(total, whole, tuple(wanted.items())) == total
