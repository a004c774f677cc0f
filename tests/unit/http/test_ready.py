"""Each check of readiness without servers: what it says when one of them is away."""

import asyncio
from dataclasses import dataclass

import pytest

from engine.infra.cell import State
from engine.infra.http import ready
from engine.reservation.batcher import Batcher

# ruff: noqa: E501 - a row of a table is one line


@dataclass
class Cell:
    state: State | None
    is_open: bool = False
    id: str = "1"

    async def refresh(self):
        return self.state


class Postgres:
    """Answers with one row, or is away."""

    def __init__(self, **row):
        self.row = row

    async def fetchrow(self, *_):
        if not self.row:
            raise ConnectionRefusedError("10.0.0.1")
        return self.row


def state(phase, reason=""):
    return State(1, phase, reason, "i", 0, "0-0", 0, "0-0")


def row(reason="", opened_at=None):
    return Postgres(closed_reason=reason, opened_at=opened_at)


AWAY = Postgres()
EMPTIED = "the cell is empty, though it was open before: is a worker running?"
NEVER = "the cell was never opened: is a worker running?"
NOBODY = "the cell is empty, and Postgres, which knows why, is away"
# fmt: off
CELLS = {
    "open":                     (Cell(state("open"), is_open=True), AWAY,         ""),
    "closed, and it knows why": (Cell(state("closed", "a")),        row("b"),     "closed: a"),
    "closed, Postgres is away": (Cell(state("closed", "a")),        AWAY,         "closed: a"),
    "closed, Postgres knows":   (Cell(state("closed")),             row("b"),     "closed: b"),
    "nobody knows":             (Cell(state("restoring")),          row(),        "restoring: it opens soon"),
    "neither is there":         (Cell(state("restoring")),          AWAY,         "restoring: it opens soon"),
    "of another run":           (Cell(state("open")),               row(),        "closed: it opens soon"),
    "empty, Postgres knows":    (Cell(None),                        row("b"),     "closed: b"),
    "emptied":                  (Cell(None),                        row("", "t"), EMPTIED),
    "empty from the beginning": (Cell(None),                        row(),        NEVER),
    "empty, Postgres is away":  (Cell(None),                        AWAY,         NOBODY),
}
# fmt: on


@pytest.mark.parametrize(("cell", "postgres", "told"), CELLS.values(), ids=CELLS)
async def test_why_the_cell_takes_nothing(cell, postgres, told):
    found = await ready.cell_missing(cell, postgres)
    assert found.removeprefix("the cell is ") == told.removeprefix("the cell is ")


@dataclass
class Sender:
    running: bool = True
    under_way_s: float = 0.0


LONG = "a call has been under way for"
# fmt: off
SENDERS = {
    "at work":        ([Sender(), Sender(under_way_s=1.0)],             ""),
    "ended":          ([Sender(), Sender(running=False)],               "b: its loop has ended"),
    "while it may":   ([Sender(under_way_s=ready.STUCK_AFTER_S)],       ""),
    "for too long":   ([Sender(under_way_s=61.0)],                      f"a: {LONG} 61 s"),
    "both":           ([Sender(running=False), Sender(under_way_s=99)], f"a: its loop has ended; b: {LONG} 99 s"),
}
# fmt: on


@pytest.mark.parametrize(("senders", "told"), SENDERS.values(), ids=SENDERS)
async def test_why_batches_do_not_go(senders, told):
    named = dict(zip("ab", senders, strict=False))
    assert await ready.batches_missing(named) == told


async def test_a_batcher_tells_whether_it_is_at_work_and_for_how_long(eventually):
    answer = asyncio.Event()

    async def send(batch):
        await answer.wait()
        return list(batch)

    batcher = Batcher(send)
    assert (batcher.running, batcher.under_way_s) == (False, 0.0)
    loop = asyncio.get_running_loop().create_task(batcher.run())
    waiting = batcher.submit(1)
    await eventually(lambda: batcher.under_way_s > 0.05)
    answer.set()
    assert await waiting == 1
    assert (batcher.running, batcher.under_way_s) == (True, 0.0)
    answer.clear()
    batcher.submit(2)
    await eventually(lambda: batcher.under_way_s > 0)
    loop.cancel()
    await asyncio.wait([loop])
    assert (batcher.running, batcher.under_way_s) == (False, 0.0)
