"""Where a parcel is, its clocks, who is told again, what is counted: of sets, in any order."""

from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.logistics.rules import acks, codes, legs, milestones, scoring
from engine.logistics.types import MILESTONES, Seen, Standing

T0 = datetime(2026, 11, 11, tzinfo=UTC)


def at(hours):
    return T0 + timedelta(hours=hours)


def seen(milestone, hours, source="sf"):
    return Seen(milestone, at(hours), source)


tellings = st.lists(
    st.builds(seen, st.sampled_from(MILESTONES), st.integers(0, 100), st.sampled_from("ab")),
    max_size=12,
)
WAY = [seen("collected", 1), seen("in_transit", 5), seen("arrived", 20),
       seen("out_for_delivery", 22), seen("delivered", 24)]  # fmt: skip
RANKS = ["collected", "in_transit", "arrived", "out_for_delivery", "lost", "delivered", "refused",
         "returning", "returned"]  # fmt: skip


def test_every_order_of_a_way_ends_delivered():
    wanted = milestones.fold(WAY)
    assert (wanted.milestone, wanted.at, wanted.fate) == ("delivered", at(24), "delivered")
    for order in permutations(WAY):
        assert milestones.fold(order) == wanted


@given(tellings, st.randoms())
def test_order_and_repeats_do_not_matter(told, dice):
    again = [*told, *told[:3]]
    dice.shuffle(again)
    assert milestones.fold(again) == milestones.fold(told)


@given(tellings, st.sampled_from(MILESTONES), st.integers(0, 100))
def test_a_parcel_never_goes_back(told, more, hours):
    before, after = milestones.fold(told), milestones.fold([*told, seen(more, hours)])

    def rank(standing):
        name = standing.milestone.replace("failed_attempt", "out_for_delivery")
        return RANKS.index(name) if name else -1

    assert rank(after) >= rank(before)
    assert after.damaged >= before.damaged
    for leg, met in before.reached:
        assert dict(after.reached)[leg] <= met, "it is only ever known earlier"


@pytest.mark.parametrize(
    ("told", "milestone", "hours", "fate"),
    [
        ([], "", None, None),
        ([seen("damaged", 1)], "", None, None),
        ([seen("in_transit", 9), seen("in_transit", 5)], "in_transit", 9, None),
        ([seen("delivered", 30), seen("delivered", 24, "poll")], "delivered", 24, "delivered"),
        ([seen("delivered", 24), seen("in_transit", 40)], "delivered", 24, "delivered"),
        ([seen("lost", 50), seen("delivered", 70)], "delivered", 70, "delivered"),
        ([seen("out_for_delivery", 20), seen("failed_attempt", 21)], "failed_attempt", 21, None),
        ([seen("failed_attempt", 21), seen("out_for_delivery", 44)], "out_for_delivery", 44, None),
        ([seen("refused", 24), seen("returning", 30)], "returning", 30, "returning"),
    ],
)
def test_where_it_is(told, milestone, hours, fate):
    found = milestones.fold(told)
    when = None if hours is None else at(hours)
    assert (found.milestone, found.at, found.fate) == (milestone, when, fate)


def ended(fate, hours=1):
    return Standing(fate, at(hours), fate)


@pytest.mark.parametrize(
    ("fates", "final", "wanted"),
    [
        (["delivered"], True, "delivered"),
        (["delivered"], False, None),
        ([], True, None),
        (["delivered", None], True, None),
        (["delivered", "lost"], True, "lost"),
        (["refused", "delivered"], True, "refused"),
        (["returned", "refused", "lost"], True, "returned"),
    ],
)
def test_a_shipment_is_delivered_only_if_everything_is(fates, final, wanted):
    standings = [ended(one, n) if one else Standing() for n, one in enumerate(fates)]
    found = milestones.fate_of(standings, final=final)
    assert (found and found[0]) == wanted


spans = st.integers(-10, 400)


@given(spans)
def test_legs_follow_each_other_and_end_with_the_promise(hours):
    made = legs.of_parcel(T0, at(hours))
    dues = [leg.due_at for leg in made]
    assert [leg.leg for leg in made] == ["pickup", "transit", "last_mile"]
    assert dues == sorted(dues)
    assert dues[0] >= T0
    assert dues[-1] == max(T0, at(hours))
    for leg in made:
        assert T0 <= leg.near_at <= leg.due_at


def test_legs_of_three_days_and_of_a_day():
    assert [leg.due_at for leg in legs.of_parcel(T0, at(72))] == [at(18), at(60), at(72)]
    assert [leg.due_at for leg in legs.of_parcel(T0, at(200))] == [at(24), at(188), at(200)]
    assert [leg.due_at for leg in legs.of_parcel(T0, at(24))] == [at(6), at(18), at(24)]
    (pickup,) = legs.of_parcel(T0, None)
    assert (pickup.leg, pickup.due_at, pickup.near_at) == ("pickup", at(24), at(19.2))


@pytest.mark.parametrize(
    ("met", "now", "state"),
    [
        (None, 0, "open"), (None, 7.9, "open"), (None, 8, "near"), (None, 10, "near"),
        (None, 10.001, "breached"), (9, 50, "met"), (10, 50, "met"), (10.001, 50, "breached"),
    ],
)  # fmt: skip
def test_a_clock(met, now, state):
    leg = legs.hand_over(T0, at(10))
    assert legs.state_at(leg, None if met is None else at(met), at(now)) == state


def test_what_is_dated_ahead_meets_no_clock_before_its_time():
    """A carrier's clock may be some minutes ahead; delivered tomorrow is not delivered in time."""
    told = [seen("collected", 1), seen("delivered", 40)]
    made = legs.of_parcel(T0, at(72))

    def clocks(now):
        return [legs.clocked(leg, milestones.fold(told), now) for leg in made]

    assert [leg.state for leg in clocks(at(2))] == ["met", "open", "open"]
    assert [leg.met_at for leg in clocks(at(2))] == [at(1), None, None]
    score = scoring.score(T0, milestones.fold(told), clocks(at(2)))
    assert (score.delivered, score.on_time, score.breached) == (1, 0, 0)
    assert {leg.state for leg in clocks(at(40) - timedelta(minutes=9))} == {"met"}
    assert scoring.score(T0, milestones.fold(told), clocks(at(41))).on_time == 1


@pytest.mark.parametrize(
    ("days", "absurd"),
    [(-401, True), (-399, False), (0, False), (59, False), (61, True), (63_000, True)],
)
def test_dates_at_which_nothing_can_have_happened(days, absurd):
    assert milestones.is_absurd(T0 + timedelta(days=days), T0) is absurd


def test_what_comes_back_has_no_clock_and_what_is_lost_misses_all():
    _, transit, last = legs.of_parcel(T0, at(72))
    back = milestones.fold([seen("collected", 1), seen("returning", 10)])
    assert legs.clocked(transit, back, at(500)).state == "void"
    lost = milestones.fold([seen("arrived", 30), seen("lost", 40)])
    assert legs.clocked(transit, lost, at(41)).state == "met"
    assert legs.clocked(last, lost, at(41)).state == "breached"


@given(tellings, st.integers(0, 200), st.integers(0, 200))
def test_a_clock_that_ran_out_is_only_met_by_news_of_before(told, first, later):
    for leg in legs.of_parcel(T0, at(72)):
        one, other = (legs.clocked(leg, milestones.fold(told), at(now)) for now in
                      sorted((first, later)))  # fmt: skip
        order = ["open", "near", "breached"]
        if one.state in {"met", "void"} or one.met_at:
            assert other.state == one.state
        elif other.state == "met":
            assert other.met_at > at(min(first, later)), "it was still to come"
            assert one.state != "breached"
        else:
            assert order.index(other.state) >= order.index(one.state)


def test_waits_double_up_to_an_hour():
    assert [acks.wait(n).total_seconds() for n in (0, 1, 2, 3, 6, 7, 8, 99)] == [
        60, 60, 120, 240, 1_920, 3_600, 3_600, 3_600,
    ]  # fmt: skip


YES = {"of_version": 1, "accepted": True, "permanent": False}
NO = {**YES, "accepted": False}
NEVER = {**NO, "permanent": True}


@pytest.mark.parametrize(
    ("state", "attempts", "told", "wanted"),
    [
        ("pending", 1, YES, ("acked", "acked")),
        ("pending", 1, NO, ("pending", "again")),
        ("pending", 11, NO, ("pending", "again")),
        ("pending", 12, NO, ("failed", "failed")),
        ("pending", 1, NEVER, ("failed", "failed")),
        ("failed", 12, YES, ("acked", "acked")),
        ("failed", 12, NEVER, ("failed", "repeated")),
        ("acked", 1, YES, ("acked", "repeated")),
        ("acked", 1, NEVER, ("acked", "repeated")),
        ("pending", 1, {**YES, "of_version": 2}, ("pending", "stale")),
    ],
)
def test_answers_of_a_channel(state, attempts, told, wanted):
    assert acks.answered(state, 1, attempts, **told) == wanted


@given(st.lists(st.sampled_from([YES, NO, NEVER]), max_size=8))
def test_what_a_channel_took_stays_taken(told):
    state, taken = "pending", False
    for one in told:
        state, _ = acks.answered(state, 1, 1, **one)
        taken = taken or one["accepted"]
        assert (state == "acked") == taken


@given(st.lists(tellings, max_size=6), st.randoms())
def test_a_card_is_the_sum_of_its_parcels_however_news_came(parcels, dice):
    """Each news changes the card by the difference; what comes out is as if counted at the end."""
    clocks = legs.of_parcel(T0, at(72))

    def counted(told):
        found = milestones.fold(told)
        return scoring.score(T0, found, [legs.clocked(leg, found, at(200)) for leg in clocks])

    card, stands = scoring.NONE, [scoring.NONE] * len(parcels)
    news = [(n, k) for n, told in enumerate(parcels) for k in range(len(told))]
    dice.shuffle(news)
    known = [[] for _ in parcels]
    for n, k in news:
        known[n].append(parcels[n][k])
        new = counted(known[n])
        card = scoring.added(card, scoring.difference(new, stands[n]))
        stands[n] = new
    wanted = scoring.NONE
    for told in parcels:
        wanted = scoring.added(wanted, counted(told))
    assert card == wanted
    assert card.on_time <= card.delivered <= card.parcels <= len(parcels)
    assert card.on_time + card.breached <= card.parcels + card.lost


def test_one_parcel_on_its_card():
    clocks = [legs.clocked(leg, milestones.fold(WAY), at(99)) for leg in legs.of_parcel(T0, at(72))]
    found = scoring.score(T0, milestones.fold(WAY), clocks)
    assert found._asdict() == {
        "parcels": 1, "on_time": 1, "breached": 0, "delivered": 1, "damaged": 0, "refused": 0,
        "lost": 0, "minutes": 1_440,
    }  # fmt: skip
    assert scoring.card_of(datetime(2026, 11, 10, 16, tzinfo=UTC), "310115") == (
        date(2026, 11, 11), "31",
    )  # fmt: skip


def test_a_code_is_worth_nothing_after_five_wrong_ones_or_its_time():
    kept = codes.digest("s1", "12345678")

    def judged(code, tries=0, *, redeemed=False, now=0, of="s1"):
        return codes.judged(
            kept, codes.digest(of, code), tries, redeemed=redeemed, expires_at=at(24), now=at(now)
        )

    assert judged("12345678") == "right"
    assert judged("12345678", 4) == "right"
    assert judged("12345678", 5) == "spent"
    assert judged("12345679") == "wrong"
    assert judged("12345678", of="s2") == "wrong"
    assert judged("12345678", now=24) == "expired"
    assert judged("12345678", 5, redeemed=True, now=99) == "redeemed"
    assert codes.code_of(7) == "00000007"
    assert len(codes.code_of(1 << 200)) == 8
