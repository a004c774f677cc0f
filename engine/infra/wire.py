"""Commands to the server with little between: one write, one reading of the replies.

The library connects (addresses of every kind, TLS, authentication, the number of the database),
and from then on a connection is ours: its pool, retries, streams and timers cost 110 us a call,
which is 5 us an order at the size batches have. A connection has one caller at a time. Whoever
leaves before the replies are there closes it, so no reply is ever read by somebody else; nothing is
sent twice.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import hiredis
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import InvalidResponse

_MORE: Final = object()  # is what a reply that is not whole looks like

Command = tuple[Any, ...]  # of texts, bytes and numbers


class Wires:
    """Connections to one server, as many as have callers at once, up to a bound."""

    def __init__(self, make: Callable[[], Connection], *, most: int, timeout_s: float) -> None:
        """Take what makes a connection of the library; nothing is opened yet.

        `timeout_s` bounds a call: waiting for a free connection, connecting, and the replies.
        """
        self._make = make
        self._timeout_s = timeout_s
        self._free = asyncio.Semaphore(most)
        self._idle: list[_Wire] = []
        self._all: set[_Wire] = set()

    async def ask(self, *commands: Command) -> list[Any]:
        """Send commands in one piece; return their replies, a refusal among them as an exception.

        Raises:
            RedisError, OSError: no connection, or no reply in time; it may have been executed.
        """
        async with asyncio.timeout(self._timeout_s), self._free:
            wire = self._idle.pop() if self._idle else await self._open()
            try:
                replies = await wire.ask(commands)
            except BaseException:
                wire.close()
                raise
            if not wire.closed:
                self._idle.append(wire)
            return replies

    async def converse(
        self, first: Sequence[Command], then: Callable[[list[Any]], Sequence[Command]]
    ) -> list[Any]:
        """Send commands and, on the same connection, what `then` makes of their replies.

        Returned are the replies to the latter. Where `then` raises the connection is closed, so
        whatever the former began on it (a WATCH) is over.

        Raises:
            RedisError, OSError: as `ask`.
        """
        async with asyncio.timeout(self._timeout_s), self._free:
            wire = self._idle.pop() if self._idle else await self._open()
            try:
                replies = await wire.ask(then(await wire.ask(first)))
            except BaseException:
                wire.close()
                raise
            if not wire.closed:
                self._idle.append(wire)
            return replies

    @property
    def idle(self) -> int:
        """How many connections wait for a caller."""
        return len(self._idle)

    def close(self) -> None:
        """Close all; who waits for a reply learns that it will not come."""
        for wire in list(self._all):
            wire.close()

    async def _open(self) -> "_Wire":
        connection: Any = self._make()
        await connection.connect()
        wire = _Wire(connection, self._lost)
        self._all.add(wire)
        return wire

    def _lost(self, wire: "_Wire") -> None:
        self._all.discard(wire)
        with suppress(ValueError):
            self._idle.remove(wire)


class Pool(BlockingConnectionPool):
    """The library's pool, with wires beside it that are closed when it is."""

    def __init__(self, **named: Any) -> None:
        """As the library's."""
        super().__init__(**named)
        most, timeout_s = named["max_connections"], named["socket_timeout"]
        self.wires = Wires(self.make_connection, most=most, timeout_s=timeout_s)

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - the library's signature
        """Close the wires, too."""
        if inuse_connections:
            self.wires.close()
        await super().disconnect(inuse_connections)


def wires_of(redis: Redis) -> Wires:
    """Return the wires of a client over a `Pool`."""
    pool = redis.connection_pool
    assert isinstance(pool, Pool), "made by engine.infra.cell.client"
    return pool.wires


class _Wire(asyncio.Protocol):
    """One connection."""

    def __init__(self, connection: Connection, lost: "Callable[[_Wire], None]") -> None:
        """Take over what the library has connected."""
        self.closed = False
        self._errors: Any = connection._parser  # noqa: SLF001 - has the one table of what each means
        self._lost = lost
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._replies: list[Any] = []
        self._wanted = 0
        self._answered: asyncio.Future[list[Any]] | None = None
        # the library has no way to hand it over; what it let go of it does not close
        self._writer, connection._writer = connection._writer, None  # noqa: SLF001
        assert self._writer is not None, "it is connected"
        self._transport = cast("asyncio.Transport", self._writer.transport)
        self._transport.set_protocol(self)

    def ask(self, commands: Sequence[Command]) -> "asyncio.Future[list[Any]]":
        """Send; whoever does not wait for the replies must close."""
        answered: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._replies, self._wanted, self._answered = [], len(commands), answered
        packed = b"".join([hiredis.pack_command(command) for command in commands])
        try:
            self._transport.write(packed)
        except RuntimeError as error:  # uvloop's word for a server that has gone
            raise Disconnected("the server closed the connection") from error
        return answered

    def close(self) -> None:
        """Close, whatever is under way."""
        self.closed = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Collect replies, and hand them over when all are there."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _MORE:
                refused = isinstance(reply, hiredis.ReplyError)
                self._replies.append(self._refusal(reply) if refused else reply)
        except hiredis.ProtocolError as error:
            self._fail(InvalidResponse(str(error)))
        if self._answered is None or self._answered.done() or len(self._replies) > self._wanted:
            self.close()  # a reply that nobody asked for: the next one would be, too
        elif len(self._replies) == self._wanted:
            self._answered.set_result(self._replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits, and the others that it is no more."""
        self.closed = True
        self._lost(self)
        failure = Disconnected("the server closed the connection")
        failure.__cause__ = exc
        self._fail(failure)

    def _fail(self, failure: Exception) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(failure)

    def _refusal(self, reply: hiredis.ReplyError) -> Exception:
        refusal: Exception = self._errors.parse_error(str(reply))
        return refusal
