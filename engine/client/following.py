"""What happens, as it happens: lists that are asked again and again, without a gap.

The API has no stream of its own to its clients (webhooks push); these are its lists, followed so
that nothing is missed: a list that answers `resume` says itself from where, and for orders the
window is chosen so that whatever is recorded late falls into the next one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec

from engine.client.errors import Problem
from engine.client.sending import Asked, Sender
from engine.client.types import Instant, Reply
from engine.kernel.clock import instant

OVERLAP: Final = timedelta(seconds=60)  # transactions that run, clocks that differ

_SEEN_MAX: Final = 200_000
_OLDEST: Final = timedelta(days=7, minutes=-5)  # the list refuses more than 7 days

Document = dict[str, Any]


class _Seen:
    """What was told lately, by key; bounded, the oldest are forgotten first."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._told: OrderedDict[Hashable, int] = OrderedDict()

    def is_new(self, key: Hashable, value: object) -> bool:
        """Tell whether this was not told, and take note that it is now."""
        mark = hash(msgspec.json.encode(value))
        before = self._told.get(key)
        self._told[key] = mark
        self._told.move_to_end(key)
        if len(self._told) > _SEEN_MAX:
            self._told.popitem(last=False)
        return before != mark


class Changes:
    """A list that answers `resume`: each item once, in its order.

    `resume` is what a later run begins with: it is shown the items after it again.
    """

    def __init__(
        self, sender: Sender, path: str, key: str, poll_s: float, query: Mapping[str, str]
    ) -> None:
        """Take what to ask; nothing is sent before the first item is wanted."""
        self._sender, self._path, self._key, self._poll_s = sender, path, key, poll_s
        self._query = {name: value for name, value in query.items() if value}
        self._seen = _Seen()

    @property
    def resume(self) -> str:
        """Where to begin again so that nothing is missed."""
        return self._query.get("cursor", "")

    async def __aiter__(self) -> AsyncIterator[Document]:
        while True:
            page = (await _read(self._sender, self._path, self._query)).document
            told = False
            for item in page["items"]:
                if self._seen.is_new(item[self._key], None):
                    told = True
                    yield item
            if page["resume"]:
                self._query["cursor"] = page["resume"]
            if not told:
                await asyncio.sleep(self._poll_s)


class Orders:
    """Orders to which something happened, as lists show them; each state of each is told once.

    An order comes again when its list entry reads otherwise than the one that was told last; what
    changes twice between two looks is told once, as it is then. `since` is what a later run begins
    with: it is told some again, and misses none.
    """

    def __init__(
        self, sender: Sender, since: Instant, poll_s: float, query: Mapping[str, str]
    ) -> None:
        """Take from when on; nothing is sent before the first order is wanted."""
        self._sender, self._poll_s, self._query = sender, poll_s, query
        at = since if isinstance(since, datetime) else datetime.fromisoformat(since)
        self._window = self.since = at
        self._position: str | None = None
        self._seen = _Seen()

    async def __aiter__(self) -> AsyncIterator[Document]:
        while True:
            now, position = await self._here()
            # nothing was recorded since the look before: then the log brought nothing either
            begin = self._window if position == self._position else self.since
            begin = max(begin, now - _OLDEST)
            told = False
            async for order in self._look(begin.astimezone(UTC).isoformat()):
                told = True
                yield order
            self._go_on(now, position)
            if not told:
                await asyncio.sleep(self._poll_s)

    async def _look(self, since: str) -> AsyncIterator[Document]:
        query = {**self._query, "updated_since": since}
        while True:
            page = (await _read(self._sender, "/v1/orders", query)).document
            for order in page["items"]:
                if self._seen.is_new(order["order_id"], order):
                    yield order
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    def _go_on(self, now: datetime, position: str) -> None:
        """Take note of a whole look, that began at `now` with the log recorded to `position`.

        An event of the cell bears the instant at which it happened there and is recorded later,
        however long recording is behind: all of the log that is yet to come lies after `position`.
        What Postgres decides bears its own time, and is seen when its transaction has ended.
        """
        self._position = position
        self._window = now - OVERLAP
        self.since = min(now, _instant_of(position) if position else now) - OVERLAP

    async def _here(self) -> tuple[datetime, str]:
        """Return the server's time and how far the log is recorded, "" if this key may not know.

        Then what is recorded later than a minute after it happened is missed.
        """
        try:
            reply = await _read(self._sender, "/v1/stock", {"limit": "1"})
        except Problem as problem:
            if problem.status != HTTPStatus.FORBIDDEN:
                raise
            reply = await _read(self._sender, "/v1/orders", {"limit": "1"})
            return parsedate_to_datetime(reply.date), ""
        return datetime.fromisoformat(reply.document["as_of"]), reply.document["log_id"]


async def _read(sender: Sender, path: str, query: Mapping[str, str]) -> Reply:
    return await sender.send(Asked(method="GET", path=path, query=dict(query)))


def _instant_of(log_id: str) -> datetime:
    return instant(int(log_id.partition("-")[0]))
