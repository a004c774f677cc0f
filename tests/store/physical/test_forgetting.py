"""Answers lose their lines after a week; what they are answers to stays known."""

import asyncio
from dataclasses import replace

import pytest

from engine import worker
from engine.kernel import limits
from engine.kernel.clock import SystemClock
from engine.kernel.errors import IdempotencyConflict
from engine.physical.service import movements
from tests.conftest import eventually


class Later(SystemClock):
    """Two weeks ahead."""

    def now_ms(self):
        return super().now_ms() + 2 * limits.IDEMPOTENCY_KEEP_MS


async def test_a_repeat_is_known_after_its_lines_are_forgotten(place):
    first = await place.move("receipt", 5, 1, "r")
    assert await movements.forget(place.runtime.pool, SystemClock()) == 0, "it is young"
    assert (await place.move("receipt", 5, 1, "r"))["lines_kept"]
    assert await movements.forget(place.runtime.pool, Later()) == 1
    assert await movements.forget(place.runtime.pool, Later()) == 0
    assert await place.move("receipt", 5, 1, "r") == {
        "reference": "r", "kind": "receipt", "happened_at": first["happened_at"], "lines": [],
        "lines_kept": False,
    }  # fmt: skip
    with pytest.raises(IdempotencyConflict):
        await place.move("receipt", 6, 1, "r")
    assert (await place.sums())[0] == 5


async def test_a_call_is_bounded_and_two_at_once_share_the_work(place, monkeypatch):
    for n in range(7):
        await place.move("receipt", 1, reference=f"r{n}")
    monkeypatch.setattr(movements, "FORGOTTEN_PER_CALL_MAX", 3)
    pool = place.runtime.pool
    done = [await movements.forget(pool, Later())]
    done += await asyncio.gather(*(movements.forget(pool, Later()) for _ in range(2)))
    assert (max(done), await movements.forget(pool, Later()) + sum(done)) == (3, 7)


async def test_an_answer_of_before_this_was_said_gets_it_said(place):
    first = await place.move("receipt", 5, 1, "r")
    await place.pg.execute("UPDATE stock_references SET answer = (answer::jsonb - 'lines_kept')")
    again = await place.move("receipt", 5, 1, "r")
    assert again["lines_kept"] is True
    assert len(again["lines"]) == len(first["lines"])


async def test_a_page_of_a_count_was_answered_in_no_more_than_what_would_be_left(place):
    """Why pages are not pruned: there is nothing to win."""
    await place.count(1, *(("ABC"[n], n) for n in range(3)), report="r" * 128)
    sizes = "SELECT length(answer::text) FROM {}"
    await place.move("receipt", 1, reference="r" * 128)
    await movements.forget(place.runtime.pool, Later())
    page = await place.pg.fetchval(sizes.format("stock_reports"))
    assert page <= await place.pg.fetchval(sizes.format("stock_references"))


class Idle:
    """A cell that is open, and claims for it of which there are none."""

    def __init__(self, *_):
        self.id, self.kept = "none", {}

    async def wait_open(self):
        return

    async def send(self):
        await asyncio.Event().wait()


async def test_the_settler_does_it_until_nothing_is_left(place, monkeypatch):
    for n in range(5):
        await place.move("receipt", 1, reference=f"r{n}")
    monkeypatch.setattr(movements, "FORGOTTEN_PER_CALL_MAX", 2)
    monkeypatch.setattr(worker, "Reservations", Idle)
    monkeypatch.setattr(worker, "_PRUNE_EVERY", 20)
    monkeypatch.setattr(worker, "_SETTLE_INTERVAL_S", 0.001)
    settling = asyncio.create_task(worker.settle(replace(place.runtime, clock=Later()), Idle()))

    async def done():
        return not await place.pg.fetchval("SELECT count(*) FROM stock_references WHERE NOT pruned")

    await eventually(done)
    settling.cancel()
    await asyncio.wait([settling])
    assert settling.cancelled()
