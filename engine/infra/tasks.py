"""Loops that must end when they are cancelled."""

import asyncio


def raise_if_cancelled() -> None:
    """End a loop whose cancellation was swallowed; call it once a round that does not `sleep`.

    On Python 3.11 `asyncio.wait_for`, which drivers use inside, drops a cancellation that arrives
    together with its result: the task would go on for ever and its group would wait for it.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def sleep(seconds: float) -> None:
    """Sleep between two rounds of a loop, unless a cancellation was swallowed in the last one."""
    raise_if_cancelled()
    await asyncio.sleep(seconds)
