"""Natural batching: while one call is in flight, claims collect; its answer sends the next.

No timer: a lone claim goes at once, a flood goes in full batches. Both the batch and the queue are
bounded, and a full queue is refused at once. A caller that leaves changes nothing about its claim.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from engine.infra import metrics
from engine.infra.tasks import raise_if_cancelled
from engine.kernel import limits
from engine.kernel.errors import EngineError, Overloaded

I = TypeVar("I")  # noqa: E741 - item
R = TypeVar("R")


Sent = Callable[[int, float, float], None]


class Batcher(Generic[I, R]):
    """Turns single submissions into calls of `send`, one in flight at a time.

    `send` returns one result an item, in order; a result that is an exception is raised to that
    item's caller, an exception raised by `send` to all of them. `weigh` says how many lines an item
    has, against the bound of lines in one call. Nothing is sent while items of `after` wait. How
    long items waited is counted under `verb`; `sent` is told of each call: how many items, what the
    oldest had waited, and the time (monotonic).
    """

    def __init__(
        self,
        send: Callable[[Sequence[I]], Awaitable[Sequence[R | EngineError]]],
        weigh: Callable[[I], int] = lambda _: 1,
        after: "Batcher[Any, Any] | None" = None,
        *,
        verb: str = "other",
        sent: Sent | None = None,
    ) -> None:
        """Bind to a sender; nothing runs until `run`."""
        self._send = send
        self._weigh = weigh
        self._queue: deque[tuple[I, asyncio.Future[R], float]] = deque()
        self._waits = metrics.QUEUE_WAIT.of(verb)
        self._wake = asyncio.Event()
        self._after = after
        self._sent = sent
        self._drained = asyncio.Event()
        self._drained.set()
        self._running = False
        self._sent_at: float | None = None  # by the loop's clock, while a call is in flight

    def submit(self, item: I) -> "asyncio.Future[R]":
        """Queue one item and return where its result will be.

        Raises:
            Overloaded: the queue is full; nothing was queued.
        """
        if len(self._queue) >= limits.QUEUE_MAX:
            metrics.SHED.add("queue_full")
            raise Overloaded("too many orders wait for the cell")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future, time.monotonic()))
        self._wake.set()
        self._drained.clear()
        return future

    @property
    def waiting(self) -> int:
        """How many items wait for the next batch."""
        return len(self._queue)

    @property
    def running(self) -> bool:
        """Whether `run` is at work; while it is not, nobody sends what waits."""
        return self._running

    @property
    def under_way_s(self) -> float:
        """For how long the present call has been in flight; 0 when none is."""
        if self._sent_at is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._sent_at

    async def run(self) -> None:
        """Send batches until cancelled."""
        self._running = True
        if self._queue:
            self._drained.clear()
        try:
            while True:
                await self._wake.wait()
                raise_if_cancelled()
                self._wake.clear()
                while self._queue:
                    if self._after is not None:
                        await self._after.drained()
                    await self._send_one()
        finally:
            self._running = False
            self._drained.set()

    async def drained(self) -> None:
        """Wait until nothing waits for the next batch, or nobody sends it."""
        while self._queue and self._running:
            await self._drained.wait()

    async def _send_one(self) -> None:
        batch = self._take()
        results: Sequence[R | EngineError]
        self._sent_at = asyncio.get_running_loop().time()
        try:
            results = await self._send([item for item, _, _ in batch])
        except EngineError as error:
            results = [error] * len(batch)
        except BaseException:
            for _, future, _ in batch:
                future.cancel()
            raise
        finally:
            self._sent_at = None
        for (_, future, _), result in zip(batch, results, strict=True):
            if future.cancelled():
                continue
            if isinstance(result, EngineError):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _take(self) -> list[tuple[I, "asyncio.Future[R]", float]]:
        batch: list[tuple[I, asyncio.Future[R], float]] = []
        lines = 0
        while self._queue and len(batch) < limits.CLAIMS_PER_CALL_MAX:
            lines += self._weigh(self._queue[0][0])
            if batch and lines > limits.LINES_PER_CALL_MAX:
                break
            batch.append(self._queue.popleft())
        if not self._queue:
            self._drained.set()
        now = time.monotonic()
        if self._sent is not None:
            self._sent(len(batch), now - batch[0][2], now)
        self._waits.add_falling([now - since for _, _, since in batch])
        return batch
