"""Whatever is told, each oversold unit is counted with one order."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.shadow.rules.events import stories
from engine.shadow.rules.replay import replay
from engine.shadow.types import Terms
from tests.unit.shadow.worlds import SHOPS, World, at, count, line, links, shown

SECONDS = st.integers(0, 300)
END = at(3_600)


@st.composite
def lines(draw, n, *, ends=True):
    placed = draw(SECONDS)
    later = st.none() | st.integers(placed, 400).map(at)
    more = {
        name: draw(later)
        for name in ("known_at", "accepted_at", "shipped_at", "cancelled_at")
        if ends
    }
    item = draw(st.sampled_from(["i-TEA", "i-TEA", "nowhere"]))
    node = draw(st.sampled_from(["", "", "dc", "store"]))
    quantity, channel = draw(st.integers(1, 5)), draw(st.sampled_from(SHOPS))
    return line(f"o-{n}", placed, quantity, channel=channel, item_id=item, node=node, **more)


@st.composite
def counts(draw, n):
    return count(
        draw(SECONDS), draw(st.integers(0, 20)), node=draw(st.sampled_from(["dc", "store"])),
        basis=draw(st.sampled_from(["on_hand", "available"])), sequence=n,
        late=draw(st.sampled_from([0, 0, 60])), safety=draw(st.sampled_from([0, 3])),
    )  # fmt: skip


@st.composite
def numbers(draw):
    return shown(draw(SECONDS), draw(st.integers(0, 20)), channel=draw(st.sampled_from(SHOPS)))


@st.composite
def worlds(draw):
    return World(
        [draw(lines(n)) for n in range(draw(st.integers(0, 12)))],
        [draw(counts(n)) for n in range(draw(st.integers(0, 5)))],
        draw(st.lists(numbers(), max_size=8)),
        links("TEA"),
    )


def played(world, **terms):
    told = stories(world.facts)
    return replay(told["TEA"], Terms(**terms), END) if told else None


@settings(max_examples=300, deadline=None)
@given(worlds(), st.sampled_from([0.0, 5.0]))
def test_a_shortage_is_what_was_oversold_and_lost_less_what_was_repaid(world, lag_seconds):
    found = played(world, lag_seconds=lag_seconds)
    if found is None:
        return
    oversold = Counter()
    for moment in found.moments:
        assert moment.units > 0
        oversold[moment.order] += moment.units
    wanted = {one.channel_order_id: one.quantity for one in world.lines}
    assert all(units <= wanted[order] for order, units in oversold.items())
    assert found.shortage == oversold.total() + found.lost - found.repaid
    assert min(found.lost, found.repaid, found.shortage) >= 0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_beside_one_count_all_that_was_sold_beyond_it_is_oversold(data):
    """The control of the sum above, by another way: no more and no fewer than are lacking."""
    there = data.draw(st.integers(0, 20))
    sold = [data.draw(lines(n, ends=False)) for n in range(data.draw(st.integers(1, 12)))]
    found = played(World(sold, [count(-1, there)], [], links("TEA")))
    beyond = max(0, sum(one.quantity for one in sold) - there)
    assert sum(moment.units for moment in found.moments) == beyond
    assert (found.lost, found.repaid, found.shortage) == (0, 0, beyond)


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_minutes_of_a_listing_lie_within_the_time_that_was_played(world):
    found = played(world)
    for stand in found.stands.values() if found else ():
        assert stand.over.minutes + stand.under.minutes <= 60
        assert stand.dry.minutes <= 60
        assert stand.exposed.minutes <= 60
        assert stand.dry.minutes == 0 or stand.dry.why
