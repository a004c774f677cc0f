"""A loop whose cancellation was swallowed still ends."""

import asyncio
from contextlib import suppress

import pytest

from engine.infra import tasks


async def _checking(check):
    while True:
        check()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


async def _resting(sleep):
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    await sleep(60)


@pytest.mark.parametrize(
    ("loop", "ending", "ends"),
    [
        (_checking, tasks.raise_if_cancelled, True),
        (_checking, lambda: None, False),
        (_resting, tasks.sleep, True),
        (_resting, asyncio.sleep, False),
    ],
    ids=["checked", "unchecked", "sleep", "asyncio.sleep"],
)
async def test_a_loop_that_swallowed_its_cancellation_ends(loop, ending, ends):
    task = asyncio.get_running_loop().create_task(loop(ending))
    await asyncio.sleep(0)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert task.done() == ends
    if not ends:
        task.get_coro().close()
