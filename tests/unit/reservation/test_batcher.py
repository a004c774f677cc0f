"""Batches form by themselves, stay within their bounds, and never mix up who asked what."""

import asyncio
import random

import pytest

from engine.kernel import limits
from engine.kernel.errors import Closed, Overloaded, SoldOut
from engine.reservation.batcher import Batcher


class Cell:
    """Stands for the cell: it answers each item with itself, when it is let to."""

    def __init__(self):
        self.batches = []
        self.in_flight = self.most_in_flight = 0
        self.go = asyncio.Event()
        self.go.set()
        self.answer = lambda batch: [("done", item) for item in batch]

    async def send(self, batch):
        self.batches.append(list(batch))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.go.wait()
            await asyncio.sleep(0)
            return self.answer(batch)
        finally:
            self.in_flight -= 1


@pytest.fixture
async def cell():
    return Cell()


@pytest.fixture
async def running(cell):
    made = []

    def start(weigh=lambda _: 1):
        batcher = Batcher(cell.send, weigh)
        made.append(asyncio.get_running_loop().create_task(batcher.run()))
        return batcher

    yield start
    for task in made:
        task.cancel()
    await asyncio.gather(*made, return_exceptions=True)


async def turns(count=10):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_lone_item_goes_at_once(cell, running):
    assert await running().submit("a") == ("done", "a")
    assert cell.batches == [["a"]]


async def test_while_one_call_is_in_flight_items_collect(cell, running):
    batcher = running()
    cell.go.clear()
    first = batcher.submit(0)
    await turns()
    rest = [batcher.submit(n) for n in range(1, 8)]
    await turns()
    assert cell.batches == [[0]]
    assert batcher.waiting == 7
    cell.go.set()
    assert await asyncio.gather(first, *rest) == [("done", n) for n in range(8)]
    assert cell.batches == [[0], list(range(1, 8))]
    assert cell.most_in_flight == 1


async def test_a_call_has_at_most_so_many_items(cell, running):
    batcher = running()
    most = limits.CLAIMS_PER_CALL_MAX
    waiting = [batcher.submit(n) for n in range(2 * most + 1)]
    answers = await asyncio.gather(*waiting)
    assert answers == [("done", n) for n in range(2 * most + 1)]
    assert [len(batch) for batch in cell.batches] == [most, most, 1]
    assert cell.most_in_flight == 1


# fmt: off
LINES = {
    "as many as fit":      ([400, 400, 200, 1],    [[400, 400, 200], [1]]),
    "one that does not":   ([999, 2, 1],           [[999], [2, 1]]),
    "too large for any":   ([1, 5_000, 1],         [[1], [5_000], [1]]),
    "too large and first": ([5_000, 5_000],        [[5_000], [5_000]]),
}
# fmt: on


@pytest.mark.parametrize(("weights", "batches"), LINES.values(), ids=LINES)
async def test_a_call_has_at_most_so_many_lines(cell, running, weights, batches):
    assert limits.LINES_PER_CALL_MAX == 1_000
    batcher = running(weigh=lambda lines: lines)
    await asyncio.gather(*[batcher.submit(lines) for lines in weights])
    assert cell.batches == batches


async def test_a_full_queue_refuses_at_once_and_queues_nothing(cell, running, monkeypatch):
    monkeypatch.setattr(limits, "QUEUE_MAX", 3)
    batcher = running()
    cell.go.clear()
    first = batcher.submit(0)
    await turns()
    waiting = [batcher.submit(n) for n in (1, 2, 3)]
    with pytest.raises(Overloaded):
        batcher.submit(4)
    assert batcher.waiting == 3
    cell.go.set()
    await asyncio.gather(first, *waiting)
    assert cell.batches == [[0], [1, 2, 3]]
    assert await batcher.submit(5) == ("done", 5)


async def test_an_exception_among_the_results_is_one_callers(cell, running):
    cell.answer = lambda batch: [SoldOut() if item % 2 else item for item in batch]
    batcher = running()
    answers = await asyncio.gather(*[batcher.submit(n) for n in range(6)], return_exceptions=True)
    assert [answer if isinstance(answer, int) else type(answer) for answer in answers] == [
        0, SoldOut, 2, SoldOut, 4, SoldOut,
    ]  # fmt: skip


async def test_an_exception_of_the_call_is_everybodys_and_the_next_call_goes(cell, running):
    def away(_batch):
        raise Closed("away")

    cell.answer = away
    batcher = running()
    answers = await asyncio.gather(*[batcher.submit(n) for n in range(3)], return_exceptions=True)
    assert [type(answer) for answer in answers] == [Closed] * 3
    cell.answer = list
    assert await batcher.submit(3) == 3


async def test_what_nobody_expected_ends_the_loop_and_leaves_nobody_waiting(cell):
    def wrong(_batch):
        raise AssertionError("a word that is in no header")

    cell.answer = wrong
    batcher = Batcher(cell.send)
    waiting = [batcher.submit(n) for n in range(3)]
    with pytest.raises(AssertionError):
        await batcher.run()
    assert all(future.cancelled() for future in waiting)


async def test_ending_the_loop_leaves_nobody_in_flight_waiting(cell):
    cell.go.clear()
    batcher = Batcher(cell.send)
    task = asyncio.get_running_loop().create_task(batcher.run())
    future = batcher.submit("a")
    await turns()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert future.cancelled()


async def test_a_caller_that_left_changes_nothing_for_the_others(cell, running):
    """A cancel storm: the items of those who left are sent, and every answer finds its own."""
    luck = random.Random(11)
    batcher = running()
    left, stayed = [], {}

    async def ask(n):
        stayed[n] = await batcher.submit(n)

    for wave in range(30):
        if wave % 3 == 0:
            cell.go.clear()
        tasks = {
            n: asyncio.get_running_loop().create_task(ask(n))
            for n in range(wave * 40, wave * 40 + 40)
        }
        await turns(luck.randint(0, 4))
        for n, task in tasks.items():
            if luck.random() < 0.5 and not task.done():
                task.cancel()
                left.append(n)
        cell.go.set()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    await turns(50)
    assert len(left) > 300
    assert stayed == {n: ("done", n) for n in range(1_200) if n not in set(left)}
    sent = [item for batch in cell.batches for item in batch]
    # one that left before its first turn never asked; everybody else is sent once, in order
    assert sent == sorted(set(sent))
    assert set(sent) >= set(stayed)
    assert len(set(sent) & set(left)) > 100
    assert cell.most_in_flight == 1


async def test_what_is_sold_already_goes_before_what_is_asked_for(cell, running):
    """Orders that marketplaces sold are booked first; an idle lane holds nobody up."""
    sold = running()
    made = Batcher(cell.send, after=sold)
    task = asyncio.get_running_loop().create_task(made.run())
    try:
        assert await made.submit("alone") == ("done", "alone")
        cell.go.clear()
        first = [sold.submit("s1"), made.submit("g1")]
        await turns()
        rest = [made.submit("g2"), sold.submit("s2"), sold.submit("s3")]
        await turns()
        cell.go.set()
        await asyncio.gather(*first, *rest)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert cell.batches[1:3] == [["s1"], ["g1"]], "each lane has a call of its own in flight"
    assert cell.batches[3:] == [["s2", "s3"], ["g2"]]


async def test_a_lane_that_nobody_sends_holds_nobody_up(cell):
    """Its process ends, or it never ran: what waits there must not stop the others."""
    never = Batcher(cell.send)
    never.submit("s")
    made = Batcher(cell.send, after=never)
    task = asyncio.get_running_loop().create_task(made.run())
    try:
        assert await made.submit("g") == ("done", "g")
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_lane_that_ends_lets_the_others_go_on(cell):
    sold = Batcher(cell.send)
    sending = asyncio.get_running_loop().create_task(sold.run())
    made = Batcher(cell.send, after=sold)
    task = asyncio.get_running_loop().create_task(made.run())
    try:
        cell.go.clear()
        sold.submit("s1")
        await turns()
        sold.submit("s2")
        asked = made.submit("g")
        await turns()
        sending.cancel()
        await asyncio.wait([sending])
        cell.go.set()
        assert await asked == ("done", "g")
    finally:
        task.cancel()
        await asyncio.wait([task])
