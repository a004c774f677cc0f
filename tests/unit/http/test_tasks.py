"""A loop whose cancellation was swallowed still ends."""

import asyncio
from contextlib import suppress

import pytest

from engine.infra.tasks import raise_if_cancelled


async def _swallowing(check):
    while True:
        check()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


@pytest.mark.parametrize(("check", "ends"), [(raise_if_cancelled, True), (lambda: None, False)])
async def test_a_loop_that_swallowed_its_cancellation_ends(check, ends):
    task = asyncio.get_running_loop().create_task(_swallowing(check))
    await asyncio.sleep(0)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert task.done() == ends
    if not ends:
        task.get_coro().close()
