"""One endpoint's deliveries: what stands in line, is on its way, and came back.

Of one key one message is on its way at a time, in the order in which things happened; keys do not
wait for each other. What goes well leaves no row behind but its try: the cursor moves over it. Only
what failed, what stands behind that, and what takes long gets a row of its own, so that the cursor
goes on. All is written in batches; what was delivered and not yet written when this process dies
is sent again, with the same id.

Memory is bounded by `WINDOW`, and so is what an endpoint has on its way: neither a slow nor a dead
one takes anything from the others.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from secrets import randbelow
from typing import Final

import structlog

from engine.infra import metrics, outbox
from engine.infra.logs import without_words
from engine.infra.runtime import Runtime
from engine.infra.tasks import raise_if_cancelled, sleep
from engine.kernel.clock import instant
from engine.kernel.types import Tenant
from engine.webhooks.rules import retrying
from engine.webhooks.service.sending import Sender
from engine.webhooks.store import delivering as store
from engine.webhooks.types.webhooks import HELD, Answer, Endpoint, Item, Result, Standing, Try

WINDOW: Final = 1_000  # messages of one endpoint in memory
_READ_MAX: Final = 500
_WRITE_AT: Final = 250  # results
_WRITE_EVERY_S: Final = 0.1
_IDLE_S: Final = 1.0
_LONG_S: Final = 1.0  # on the way for longer: the cursor does not wait for it
_LOOK_S: Final = 0.25
_ACTOR: Final = "notifier"

_log: Final = structlog.get_logger(__name__)


class Line:
    """What one process does for one endpoint while it has its lease."""

    def __init__(self, runtime: Runtime, sender: Sender, endpoint: Endpoint) -> None:
        """Begin where the last one stood."""
        self.endpoint = endpoint
        self.until = float("-inf")  # by the monotonic clock; renewed by who leases
        self._runtime, self._sender = runtime, sender
        self._clock, self._lasts_s = runtime.clock, runtime.settings.webhook_timeout_seconds
        self._known: dict[int, Item] = {}  # all that is in memory, until it is written
        self._open: dict[int, Item] = {}  # of that what only the cursor remembers, in its order
        self._lanes: dict[str, deque[Item]] = {}  # by key, what stands behind what is on its way
        self._ready: asyncio.Queue[Item] = asyncio.Queue()
        self._results: list[Result] = []
        self._tries: list[Try] = []
        self._failed: set[str] = set()  # keys of which Postgres does not know yet that they wait
        self._reach = self._written = endpoint.cursor
        self._failures, self._failing_since = endpoint.failures, endpoint.failing_since
        self._shut_until, self._probing, self._delivered, self._disabled = 0.0, False, False, ""
        self._rung, self._due_at = True, 0.0
        self._wake = asyncio.Event()

    def ring(self) -> None:
        """Say that there may be something to do."""
        self._rung = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until the lease is lost, or the endpoint disabled."""
        async with asyncio.TaskGroup() as tasks:
            count = self._runtime.settings.webhook_concurrency
            workers = [tasks.create_task(self._work()) for _ in range(count)]
            try:
                await self._keep_books()
            finally:
                for worker in workers:
                    worker.cancel()

    async def close(self) -> None:
        """Write what came back, and give the lease to whoever wants it."""
        await self._write()
        await store.leave(self._runtime.pool, self.endpoint.endpoint_id, self.endpoint.token)

    async def _keep_books(self) -> None:
        while await self._write() and not self._disabled:
            raise_if_cancelled()
            if self._rung and len(self._known) <= WINDOW // 2:
                self._rung = await self._read()
                if self._rung:
                    continue
            self._wake.clear()
            if len(self._results) < _WRITE_AT:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_WRITE_EVERY_S if self._known else _IDLE_S):
                        await self._wake.wait()

    async def _read(self) -> bool:
        """Take in what is due and what is new; True when there may be more."""
        pool, now = self._runtime.pool, self._clock.monotonic()
        waited: list[Item] = []
        if now >= self._due_at:
            waited = await store.due(pool, self.endpoint.endpoint_id, self._known, _READ_MAX)
            self._due_at = now if waited else now + _IDLE_S
        tenant = Tenant(self._runtime.settings.tenant)
        fresh = await store.fresh(pool, tenant, self.endpoint, self._reach, _READ_MAX)
        more = len(waited) == _READ_MAX or fresh.reach > self._reach
        self._reach = fresh.reach
        for item in waited:
            self._admit(item)
        for item in fresh.items:
            self._admit(item)
        for item in fresh.held:
            self._known[item.seq] = item
            self._results.append(Result(item, HELD))
        return more

    def _admit(self, item: Item) -> None:
        """Let a message stand in the line of its key, or wait where its key does."""
        if item.key in self._failed:
            if not item.kept:
                self._known[item.seq] = item
                self._results.append(Result(item, HELD))
            return
        self._known[item.seq] = item
        if not item.kept:
            self._open[item.seq] = item
        if not item.key:
            self._ready.put_nowait(item)
        elif item.key in self._lanes:
            self._lanes[item.key].append(item)
        else:
            self._lanes[item.key] = deque()
            self._ready.put_nowait(item)

    async def _work(self) -> None:
        while True:
            item = await self._ready.get()
            await self._may_begin()
            item.begun = self._clock.monotonic()
            try:
                answer = await self._sender.send(self.endpoint, item)
            except Exception as error:  # noqa: BLE001 - one endpoint's trouble is not the others'
                _log.error("webhook_not_sent", **without_words(error))
                answer = Answer(0, 0.0, "internal")
            self._settle(item, answer)

    async def _may_begin(self) -> None:
        """Wait while the endpoint is left alone but for a probe, and while the lease is short."""
        while True:
            now = self._clock.monotonic()
            rests_s = self._shut_until - now
            leased = now + self._lasts_s < self.until
            if leased and rests_s <= 0 and not self._probing:
                self._probing = retrying.is_open(self._failures)
                return
            await sleep(min(max(rests_s, 0.01), _LOOK_S) if leased else _LOOK_S)

    def _settle(self, item: Item, answer: Answer) -> None:
        """Note what came of a try, and let the next of its key go, or wait with it."""
        item.attempts += 1
        moment = instant(self._clock.now_ms())
        self._tries.append(Try(item, item.attempts, moment, answer))
        metrics.WEBHOOK_DELIVERIES.add(answer.outcome)
        metrics.WEBHOOK_SECONDS.add(answer.seconds)
        self._open.pop(item.seq, None)
        if answer.outcome == "delivered":
            self._probing, self._shut_until = False, 0.0
            self._failures, self._failing_since, self._delivered = 0, None, True
            self._results.append(Result(item, "delivered"))
            self._next(item)
        else:
            self._count(answer)
            self._put_off(item, answer)
        if len(self._results) >= _WRITE_AT or self._disabled:
            self._wake.set()

    def _count(self, failure: Answer) -> None:
        """Let a failure tell against the endpoint: it is left alone, or disabled."""
        now = instant(self._clock.now_ms())
        was_probe = self._probing or not retrying.is_open(self._failures)
        self._probing = False
        if was_probe:  # what was on its way when the circuit opened says nothing new
            self._failures += retrying.weight_of(failure.status)
        self._failing_since = self._failing_since or now
        rests_s = failure.retry_after_s
        if retrying.is_open(self._failures):
            rests_s = max(rests_s, retrying.probe_s(self._failures, _chance()))
        if rests_s and was_probe:
            self._shut_until = max(self._shut_until, self._clock.monotonic() + rests_s)
        if failure.outcome == "gone":
            self._disabled = "gone"
        elif now - self._failing_since > timedelta(seconds=retrying.DISABLED_AFTER_S):
            self._disabled = "failing"

    def _put_off(self, item: Item, failure: Answer) -> None:
        wait_s = retrying.wait_s(item.attempts, _chance())
        if wait_s is None:
            self._results.append(Result(item, "dead", 0.0, failure.cause))
            self._next(item)
            return
        wait_s = max(wait_s, failure.retry_after_s)
        self._results.append(Result(item, "again", wait_s, failure.cause))
        if item.key:
            self._failed.add(item.key)
            for one in self._lanes.pop(item.key, ()):
                self._open.pop(one.seq, None)
                if one.kept:
                    del self._known[one.seq]
                else:
                    self._results.append(Result(one, HELD))

    def _next(self, item: Item) -> None:
        lane = self._lanes.get(item.key) if item.key else None
        if lane:
            self._ready.put_nowait(lane.popleft())
        elif lane is not None:
            del self._lanes[item.key]

    async def _write(self) -> bool:
        """Write what came back since the last time; False: this endpoint is not ours any more.

        What goes wrong here ends this line: the next one begins with what Postgres knows.
        """
        long = self._take_long()
        cursor = next(iter(self._open)) - 1 if self._open else self._reach
        results, self._results = self._results, []
        tries, self._tries = self._tries, []
        if not (results or tries or long or self._disabled) and cursor == self._written:
            return True
        self._failed = set()
        standing = Standing(
            self._failures, self._failing_since, self._delivered, self._disabled
        )  # fmt: skip
        self._delivered = False
        if not await self._written_down(cursor, [*results, *long], tries, standing):
            return False
        self._written = cursor
        for one in results:
            self._known.pop(one.item.seq, None)
        return True

    async def _written_down(
        self, cursor: int, results: list[Result], tries: list[Try], standing: Standing
    ) -> bool:
        name, token = self.endpoint.endpoint_id, self.endpoint.token
        async with self._runtime.pool.acquire() as tx, tx.transaction():
            if not await store.stand(tx, name, token, cursor, standing):
                return False
            await store.settle(tx, name, results)
            await store.add_tries(tx, name, tries)
            if standing.disabled:
                told = {"endpoint_id": name, "cause": standing.disabled}
                await outbox.write(tx, "webhook.disabled", _ACTOR, [told])
        if standing.disabled:
            _log.warning("webhook_disabled", endpoint=name, cause=standing.disabled)
        return True

    def _take_long(self) -> list[Result]:
        """Give what takes long, and what stands behind it, rows of their own."""
        late = self._clock.monotonic() - _LONG_S
        long = [one for one in self._open.values() if one.begun and one.begun < late]
        behind = [one for item in long for one in self._behind(item) if not one.kept]
        found = [*long, *behind]
        for item in found:
            del self._open[item.seq]
            item.kept = True
        return [Result(item, HELD) for item in found]

    def _behind(self, item: Item) -> Iterable[Item]:
        return list(self._lanes.get(item.key, ())) if item.key else []


def _chance() -> float:
    return randbelow(1_000) / 1_000
