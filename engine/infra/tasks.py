"""Loops that must end when they are cancelled, and whose rounds somebody may watch."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final

_role: Final[ContextVar[str]] = ContextVar("role", default="")
_beats: Final[dict[str, float]] = {}  # of each role, when a loop of it last came round


async def beating(role: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run the loop of a role, and note when it or a task of it begins a round."""
    _role.set(role)
    _beat()
    await loop()


def beats() -> dict[str, float]:
    """Return for how many seconds each role's loop has not come round."""
    now = time.monotonic()
    return {role: now - at for role, at in _beats.items()}


def _beat() -> None:
    if role := _role.get():
        _beats[role] = time.monotonic()


def raise_if_cancelled() -> None:
    """End a loop whose cancellation was swallowed; call it once a round that does not `sleep`.

    On Python 3.11 `asyncio.wait_for`, which drivers use inside, drops a cancellation that arrives
    together with its result: the task would go on for ever and its group would wait for it.
    """
    _beat()
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def sleep(seconds: float) -> None:
    """Sleep between two rounds of a loop, unless a cancellation was swallowed in the last one."""
    raise_if_cancelled()
    await asyncio.sleep(seconds)
