"""The carrier that we play: the same seed is the same carrier."""

import pytest

from engine.carriers.types.waybills import Wanted
from engine.simulation.carrier import Desk, Journeys, Rates, travel

HOUR = 3_600_000
LEFT, PROMISED = 1_000 * HOUR, 1_048 * HOUR


def wanted(n):
    return Wanted(f"o-s{n}-p1", f"o-s{n}", "air", "sf", "HZ")


async def test_what_a_call_meets_depends_on_the_request_alone():
    rates = Rates(error=0.3, reply_lost=0.3, busy=0.2)
    one, two = Desk(3, rates), Desk(3, rates)
    first = [[(await one.get(wanted(n))) for _ in range(4)] for n in range(50)]
    second = [[await two.get(wanted(n)) for n in range(50)] for _ in range(4)]
    assert first == [list(column) for column in zip(*second, strict=True)]
    assert one.given == two.given
    told = {reply.outcome for row in first for reply in row}
    assert told == {"DONE", "UNKNOWN", "REFUSED"}


async def test_a_request_has_one_number_and_no_two_the_same():
    desk = Desk(3)
    numbers = [(await desk.get(wanted(n))).waybill for n in range(2_000)]
    assert len(set(numbers)) == 2_000
    assert [(await desk.get(wanted(n))).waybill for n in range(2_000)] == numbers
    assert all(len(one) == 14 for one in numbers)
    assert desk.out() == set(numbers)


async def test_a_number_that_was_given_back_takes_no_parcel():
    desk = Desk(3)
    given = (await desk.get(wanted(1))).waybill
    assert (await desk.cancel(given, "")).outcome == "DONE"
    assert (await desk.cancel(given, "")).outcome == "DONE"
    assert not desk.collect(given)
    assert (await desk.print_data(given)).outcome == "REFUSED"
    assert (await desk.cancel("none", "")).code == "E2002"


@pytest.mark.parametrize("rates", [Rates(), Rates(lost=0.3, late=0.3, returned=0.3)])
def test_what_is_turned_round_comes_back_unless_it_had_an_end(rates):
    journeys, seen = Journeys(5, rates), set()
    for n in range(200):
        name = f"SF{n}"
        onward = travel(journeys, name, LEFT, PROMISED)
        for turned in (LEFT, LEFT + 20 * HOUR, onward[-1].at_ms - 1, onward[-1].at_ms):
            told = travel(journeys, name, LEFT, PROMISED, turned)
            assert [one.at_ms for one in told] == sorted(one.at_ms for one in told)
            words = [one.milestone for one in told]
            ends = [w for w in words if w in {"delivered", "lost", "refused"}]
            seen.add((words[-1], bool(ends)))
            if ends:
                assert told == onward
            else:
                assert words[-2:] == ["returning", "returned"]
                assert told[:-2] == [one for one in onward if one.at_ms <= turned]
    assert ("returned", False) in seen
    assert any(ended for _, ended in seen)


@pytest.mark.parametrize(
    ("rates", "last"),
    [
        (Rates(), {"delivered"}),
        (Rates(lost=1.0), {"lost"}),
        (Rates(returned=1.0), {"returned"}),
        (Rates(late=1.0), {"delivered"}),
        (Rates(late=0.3, lost=0.1, returned=0.2), {"delivered", "lost", "returned"}),
    ],
)
def test_a_journey_goes_forward_and_ends(rates, last):
    journeys, seen = Journeys(5, rates), set()
    for n in range(200):
        told = travel(journeys, f"SF{n}", LEFT, PROMISED)
        assert told == travel(journeys, f"SF{n}", LEFT, PROMISED)
        at = [one.at_ms for one in told]
        assert at == sorted(at)
        assert at[0] > LEFT
        assert told[0].milestone == "collected"
        seen.add(told[-1].milestone)
        if rates == Rates():
            assert at[-1] <= PROMISED
        if rates == Rates(late=1.0):
            assert at[-1] > PROMISED
    assert seen == last
