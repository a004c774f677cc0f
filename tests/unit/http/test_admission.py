"""The limit on orders under way, in time of its own."""

from time import monotonic

from engine.infra.http.admission import UNLIMITED, Admission
from engine.kernel import limits

TARGET, MAX, LEAST = limits.QUEUE_WAIT_TARGET_S, limits.QUEUE_WAIT_MAX_S, limits.IN_FLIGHT_MIN


class World:
    """Calls to the cell, one each 10 ms, and orders that all find the limit reached."""

    def __init__(self):
        self.gate, self.now = Admission(), 100.0
        self.gate.in_flight = 200

    def calls(self, seconds, *waits, refused=True):
        """Let calls tell these waits in turn; return where the limit stood after each."""
        seen = []
        for n in range(round(seconds / 0.01)):
            self.now += 0.01
            if refused and self.gate.limit < UNLIMITED:
                self.gate.may_refuse(self.now)
            self.gate.sent(64, waits[n % len(waits)], self.now)
            seen.append(self.gate.limit)
        return seen


def test_without_overload_there_is_no_limit():
    world = World()
    assert set(world.calls(5, TARGET / 2)) == {UNLIMITED}
    assert set(world.calls(5, MAX * 10, MAX / 2)) == {UNLIMITED}, "a queue that empties is no queue"


def test_one_call_that_met_a_slow_disk_is_no_overload():
    world = World()
    world.calls(1, TARGET / 2)
    world.now += 0.5
    world.gate.sent(64, 0.5, world.now)
    assert set(world.calls(1, TARGET)) == {UNLIMITED}


def test_a_disk_that_stalls_for_a_third_of_a_second_is_no_overload():
    """A limit that it set would stay: clients that are refused come back at once."""
    world = World()
    for _ in range(10):
        assert set(world.calls(0.35, MAX * 3) + world.calls(0.5, TARGET)) == {UNLIMITED}


def test_overload_is_met_within_three_quarters_of_a_second_and_lowers_the_limit():
    world = World()
    world.calls(1, TARGET / 2)
    seen = world.calls(0.75, MAX * 2)
    assert seen[-1] < UNLIMITED
    assert world.calls(3, TARGET * 3)[-1] == LEAST, "and no further"


def test_who_waits_little_lets_more_in_while_some_are_refused():
    world = World()
    world.calls(3, MAX * 2)
    low = world.gate.limit
    quick = world.calls(1, TARGET * 0.9)[-1]
    assert low < quick <= low * 2
    assert world.calls(2, TARGET / 4)[-1] >= min(quick * 2, UNLIMITED - 1) > quick


def test_it_is_over_a_second_after_the_last_refusal():
    world = World()
    world.calls(3, MAX * 2)
    assert world.calls(0.8, TARGET / 2, refused=False)[-1] < UNLIMITED
    assert world.calls(0.5, TARGET / 2, refused=False)[-1] == UNLIMITED


def test_the_bound_of_all_alone_begins_it_when_orders_wait():
    """On a fast machine as many as may be under way do not wait for long enough to be noticed."""
    world = World()
    world.gate.may_refuse(world.now)
    assert world.calls(0.2, TARGET * 2)[-1] < UNLIMITED
    world = World()
    world.gate.may_refuse(world.now)
    assert world.calls(0.2, TARGET / 2)[-1] == UNLIMITED


def test_refusals_are_bounded_by_what_is_sent_and_some_are_given_anyhow():
    for each_ms, orders in ((1, 4), (10, 64), (10, 0)):
        gate, granted = Admission(), 0
        for ms in range(4_000):
            if ms % each_ms == 0 and orders:
                gate.sent(orders, 0.0, 50 + ms / 1_000)
            granted += sum(gate.may_refuse(50 + ms / 1_000) for _ in range(20))
        earned = 4_000 / each_ms * orders * limits.REFUSALS_PER_ORDER
        bound = earned + 4 * limits.REFUSALS_PER_SECOND
        assert 0.9 * bound < granted <= bound + 1 + limits.REFUSALS_PER_SECOND


class Link:
    def __init__(self):
        self.told = []

    def go_on(self):
        self.told.append("go on")

    def came_in_time(self):
        self.told.append("in time")


class Asking(Link):
    """One with an order that waits for room, or for its refusal."""

    def __init__(self, gate):
        super().__init__()
        self._gate = gate

    def go_on(self):
        if self._gate.limit == UNLIMITED or self._gate.may_refuse(monotonic()):
            super().go_on()
        else:
            self._gate.hold(self)


async def test_who_is_held_goes_on_in_turn_and_is_late_for_one_tick(eventually):
    gate, links = Admission(), [Link() for _ in range(50)]
    gate.limit, gate.in_flight = UNLIMITED - 1, 1
    for one in links:
        gate.hold(one)
    await eventually(lambda: all(one.told == ["go on", "in time"] for one in links))
    assert gate.held == 0


async def test_when_it_is_over_everybody_goes_on_at_the_next_tick(eventually):
    gate, links = Admission(), [Link() for _ in range(2_000)]
    for one in links:
        gate.hold(one)
    gate.limit = UNLIMITED
    await eventually(lambda: all(one.told == ["go on", "in time"] for one in links))


async def test_when_nothing_is_under_way_nobody_is_kept_outside(eventually):
    """The flood has ended: no call says so, and none earns a refusal."""
    gate = Admission()
    gate.limit = 1
    links = [Asking(gate) for _ in range(2_000)]
    for one in links:
        gate.hold(one)
    await eventually(lambda: all(one.told for one in links), within_s=2)
    assert gate.limit == UNLIMITED


async def test_at_the_end_everybody_goes_on_at_once():
    gate, one = Admission(), Link()
    gate.limit = 1
    gate.hold(one)
    assert await gate.missing() == ""
    gate.end()
    assert one.told == ["go on"]
    assert gate.limit == UNLIMITED
    assert await gate.missing() != ""
