"""The calls of the API, by name; what has no name here goes by `request`."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from http import HTTPStatus
from random import Random, SystemRandom  # noqa: TID251 - taken, else the system's
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from engine.client.errors import ClientError, OutcomeUnknown, Problem
from engine.client.following import Changes, Orders
from engine.client.retries import RetryPolicy
from engine.client.sending import LATER, UNKNOWN, Asked, Sender
from engine.client.types import (
    Body,
    Cancel,
    Instant,
    Order,
    Payment,
    Placed,
    PlacedItem,
    Refund,
    Reply,
    SyncedItem,
)
from engine.kernel.clock import Clock, SystemClock

_PATIENT: Final = RetryPolicy()
_CLOCK: Final = SystemClock()
_CHANGES_MAX: Final = 10

Document = dict[str, Any]
Item = TypeVar("Item", PlacedItem, SyncedItem)


class Client:
    """One instance of the engine, as one key; use it as an asynchronous context.

    Every call ends with an answer or one of `engine.client.errors`. Connections lost, time-outs,
    429, 503 and a proxy's 502 and 504 are tried again under the same name until the policy's
    deadline; no other refusal is. It is safe for writes because all of ours are idempotent by the
    ids that their caller gives them.
    """

    def __init__(  # noqa: PLR0913 - all but two have their defaults
        self,
        base_url: str,
        key: str,
        *,
        retry: RetryPolicy = _PATIENT,
        trace: Callable[[], str] | None = None,
        connections: int = 100,
        clock: Clock = _CLOCK,
        chance: Random | None = None,
    ) -> None:
        """Take where to and as whom; `trace` is asked for the `traceparent` of each try."""
        self._base_url, self._key, self._connections = base_url, key, connections
        self._retry, self._trace, self._clock = retry, trace, clock
        self._chance = chance or SystemRandom()
        self._session: aiohttp.ClientSession | None = None
        self._opened: Sender | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Authorization": f"Bearer {self._key}"},
        )
        # aiohttp repeats a PUT or GET whose connection was lost, and tells nobody
        self._session._retry_connection = False  # noqa: SLF001 - it has no other way to say so
        self._opened = Sender(
            self._session, self._base_url, self._retry, self._clock, self._chance, self._trace
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        self._opened = None
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Reply:
        """Return the answer of any call; empty values of `query` are left out.

        `repeatable=False` is for what would be done twice (`POST /v1/keys`): it is tried again only
        where it certainly was not done.

        Raises:
            ClientError: Problem, OutcomeUnknown or Unreachable.
        """
        asked = Asked(
            method=method,
            path=path,
            body=body,
            query={name: _text(value) for name, value in (query or {}).items() if value},
            headers=dict(headers or {}),
            repeatable=repeatable,
        )
        return await self._sender.send(asked)

    async def place_order(self, order: Order | Body, *, wait_s: int = 0) -> Placed:
        """Place an order of a gate channel; with `wait_s` wait that long for it to be recorded.

        Raises:
            Problem: it was refused (`sold_out`, `limit_reached`, …), or nobody took it in time.
            OutcomeUnknown: its `name` is the channel_order_id to ask for, or to send again.
        """
        headers = {"Prefer": f"wait={wait_s}"} if wait_s else None
        reply = await self.request("POST", "/v1/orders", _body(order), headers=headers)
        return msgspec.structs.replace(
            msgspec.convert(reply.document, Placed),
            replayed=reply.replayed,
            durability=reply.durability,
            request_id=reply.request_id,
        )

    async def place_orders(self, orders: Sequence[Order | Body]) -> list[PlacedItem]:
        """Place many, each judged by itself; those that nobody took in time are sent again alone.

        One that got no answer until the deadline has status 503 and says what is known of it.
        """
        return await self._many("/v1/orders:batch", orders, PlacedItem)

    async def sync_orders(self, snapshots: Sequence[Body]) -> list[SyncedItem]:
        """Send snapshots of marketplace orders, as `place_orders` does."""
        return await self._many("/v1/orders:sync", snapshots, SyncedItem)

    async def get_order(self, order_id: str) -> Document:
        """Return one order, readable at once after its acceptance."""
        return await self._get(f"/v1/orders/{_quoted(order_id)}")

    def find_orders(self, **wanted: object) -> AsyncIterator[Document]:
        """Go through orders, newest first: `channel`, `channel_order_id`, `status`, `block`, …."""
        return self.items("/v1/orders", **wanted)

    async def items(self, path: str, **wanted: object) -> AsyncIterator[Document]:
        """Go through any list of the API, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            page = (await self.request("GET", path, query={**wanted, "cursor": cursor})).document
            for item in page["items"]:
                yield item
            cursor = page["next_cursor"]

    async def pay(self, order_id: str, payment: Payment | Body) -> Document:
        """Book a payment: `state` is applied, refund_due, or received while the cell is closed."""
        return await self._post(f"/v1/orders/{_quoted(order_id)}/payments", payment)

    async def cancel(self, order_id: str, cancel: Cancel | Body) -> Document:
        """Cancel all or part of an order; `state` is requested where a warehouse has it."""
        return await self._post(f"/v1/orders/{_quoted(order_id)}/cancel", cancel)

    async def refund(self, order_id: str, refund: Refund | Body) -> Document:
        """Tell of a refund, or of how far it has come."""
        return await self._post(f"/v1/orders/{_quoted(order_id)}/refunds", refund)

    def stock(self, **wanted: object) -> AsyncIterator[Document]:
        """Go through what is for sale: `channel`, `sku`."""
        return self.items("/v1/stock", **wanted)

    async def put_sku(self, sku: str, document: Body, etag: str = "") -> Reply:
        """Make or change a SKU."""
        return await self.put(f"/v1/skus/{_quoted(sku)}", document, etag)

    async def put_channel(self, channel: str, document: Body, etag: str = "") -> Reply:
        """Make or change a channel."""
        return await self.put(f"/v1/channels/{_quoted(channel)}", document, etag)

    async def put_node(self, node: str, document: Body, etag: str = "") -> Reply:
        """Make or change a node."""
        return await self.put(f"/v1/nodes/{_quoted(node)}", document, etag)

    async def put_campaign(self, campaign: str, document: Body, etag: str = "") -> Reply:
        """Make or change a campaign; one that has started needs the `etag` that was read."""
        return await self.put(f"/v1/campaigns/{_quoted(campaign)}", document, etag)

    async def put_supply_policy(self, policy: str, document: Body, etag: str = "") -> Reply:
        """Make or change a supply policy; one that is in force needs the `etag` that was read."""
        return await self.put(f"/v1/supply-policies/{_quoted(policy)}", document, etag)

    async def put(self, path: str, document: Body, etag: str = "") -> Reply:
        """Write a document; with `etag` only over the version that has it.

        Raises:
            Problem: `precondition_failed`: somebody changed it since. With `repeated` that may have
                been this very call, whose first answer was lost: read it.
        """
        headers = {"If-Match": etag} if etag else None
        return await self.request("PUT", path, document, headers=headers)

    async def change(self, path: str, edit: Callable[[Document], Body]) -> Reply:
        """Read a document, and write what `edit` makes of it, again if somebody came between."""
        for _ in range(_CHANGES_MAX):
            read = await self.request("GET", path)
            try:
                return await self.put(path, edit(read.document), read.etag)
            except Problem as problem:
                if problem.status != HTTPStatus.PRECONDITION_FAILED:
                    raise
        raise ClientError(f"PUT {path}: others changed it {_CHANGES_MAX} times meanwhile")

    def follow_orders(
        self, updated_since: Instant, *, poll_s: float = 1.0, **wanted: str
    ) -> Orders:
        """Follow what happens to orders from an instant on, at most 7 days ago, without an end."""
        return Orders(self._sender, updated_since, poll_s, wanted)

    def follow(
        self, path: str, key: str, *, resume: str = "", poll_s: float = 1.0, **wanted: str
    ) -> Changes:
        """Follow a list that answers `resume`; `key` is the field that tells its items apart."""
        return Changes(self._sender, path, key, poll_s, {**wanted, "cursor": resume})

    async def _many(
        self, path: str, orders: Sequence[Order | Body], kind: type[Item]
    ) -> list[Item]:
        """Send items until each has an answer or time is up; only those without are sent again."""
        found: dict[int, Item] = {}
        open_: Sequence[int] = range(len(orders))
        tries = self._sender.begin()
        while open_:
            asked = Asked(
                method="POST", path=path, body={"orders": [_body(orders[n]) for n in open_]}
            )
            try:
                reply = await self._sender.send(asked, tries)
            except OutcomeUnknown as lost:
                if not found:
                    raise
                told = kind(HTTPStatus.SERVICE_UNAVAILABLE, code=UNKNOWN, detail=str(lost))
                found |= dict.fromkeys(open_, told)
                break
            except ClientError:
                if not found:
                    raise
                break
            items = msgspec.convert(reply.document["results"], list[kind])  # type: ignore[valid-type]
            found |= dict(zip(open_, items, strict=True))
            open_ = [n for n in open_ if found[n].status in LATER]
            if not open_ or not await tries.again():
                break
        return [found[n] for n in range(len(orders))]

    async def _get(self, path: str) -> Document:
        document: Document = (await self.request("GET", path)).document
        return document

    async def _post(self, path: str, body: Any) -> Document:
        document: Document = (await self.request("POST", path, body)).document
        return document

    @property
    def _sender(self) -> Sender:
        assert self._opened is not None, "use the client as an asynchronous context"
        return self._opened


def _body(one: Any) -> Body:
    body: Body = one
    return body


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else str(msgspec.to_builtins(value))
