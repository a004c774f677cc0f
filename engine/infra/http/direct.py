"""Requests of the hot routes, answered beside aiohttp's own loop of a connection.

aiohttp makes a task, a request, a writer and a response of each request, which costs more than all
that an order asks of this process. Its parser stays, and with it all that is refused before there
is a request. One that came whole, for a route of the `Front`, while nothing else of its connection
is under way, is answered from here; every other one goes the ordinary way, in its turn.

What aiohttp has of a connection (`_waiter`, `_messages`) is used as it is in the version that
`pyproject.toml` pins.
"""

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Any, cast

from aiohttp import web
from aiohttp.http import RawRequestMessage

from engine.infra.http.admission import UNLIMITED, Admission
from engine.infra.http.fast import Front, Handler
from engine.infra.http.request import Whole


class Direct(web.RequestHandler):
    """A connection with that lane; who inherits calls `_receive` and `_serve`."""

    __slots__ = ("_answering", "_busy", "_front", "_held", "_late", "_link")

    def __init__(self, manager: web.Server, **named: Any) -> None:
        super().__init__(manager, **named)
        handler = manager.request_handler
        self._front = handler if isinstance(handler, Front) else None
        self._link: asyncio.Transport | None = None  # aiohttp forgets its own before it is closed
        self._busy = False  # with a request of this lane
        self._answering: asyncio.Task[None] | None = None
        self._held = False  # not read, as orders were refused here
        self._late = False  # what comes has waited in a connection that was not read

    def _receive(self, data: bytes) -> None:
        """Parse what came, and wake nobody yet."""
        waiter, self._waiter = self._waiter, None
        super().data_received(data)
        self._waiter = waiter

    def _serve(self) -> None:
        """Answer the next request, if there is one and its turn has come."""
        waiter = self._waiter
        if not self._messages or self._busy or waiter is None or waiter.done() or self._held:
            return
        message, body = self._messages[0]
        whole = isinstance(message, RawRequestMessage) and body.is_eof()
        handler = self._handler_of(cast("RawRequestMessage", message)) if whole else None
        if handler is None:
            waiter.set_result(None)
            return
        front = cast("Front", self._front)
        if handler is front.handler:
            gate = front.admission
            if gate.in_flight >= gate.limit or self._late:
                self._turn_away(gate)
                return
            gate.in_flight += 1
        self._busy = True  # to take a body may make room for more, and that comes back here
        request = Whole(cast("RawRequestMessage", message), self._taken())
        # it belongs to its connection, which ends it
        self._answering = self._loop.create_task(self._answer(handler, request))

    def _taken(self) -> bytes:
        """Take the first request out of its queue and return its body."""
        _, body = self._messages.popleft()
        taken: bytes = body.read_nowait()
        cast("web.Server", self._manager).requests_count += 1
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return taken

    def _turn_away(self, gate: Admission) -> None:
        """Refuse the order that is next, or let it wait for that, and read no more for a while."""
        late, self._late = self._late, False
        if gate.may_refuse(monotonic()):
            self._refuse()
            if late:
                self._serve()
                return
        self._held = True
        gate.hold(self)
        if self._link is not None:
            self._link.pause_reading()

    def came_in_time(self) -> None:
        """Take what comes from now on for what it is: just sent."""
        self._late = False

    def _refuse(self) -> None:
        message, _ = self._messages[0]
        self._taken()
        front, link = cast("Front", self._front), self._link
        if link is not None and self.transport is not None:
            with suppress(RuntimeError):
                link.write(front.refusal(cast("RawRequestMessage", message).headers))
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def go_on(self) -> None:
        """Read again; what is here by now has waited, and so has what comes at once."""
        self._held = False
        if self.transport is None or self._link is None:
            return
        self._late = cast("Front", self._front).admission.limit < UNLIMITED
        self._serve()
        if not (self._held or self._reading_paused or self._buffer_paused):
            self._link.resume_reading()

    def _handler_of(self, message: Any) -> Handler | None:
        if (
            self._front is None
            or not isinstance(message, RawRequestMessage)
            or message.should_close
            or message.compression
            or message.upgrade
            or self._paused  # a client that sends and never reads waits in the ordinary way
        ):
            return None
        return self._front.handler_of(
            message.method, message.version, message.path, message.headers
        )

    async def _answer(self, handler: Handler, request: Whole) -> None:
        assert self._front is not None, "else there is no handler"
        assert self._link is not None, "who asks is connected"
        try:
            _, raw = await self._front.answer(handler, request)
        except BaseException:
            self.force_close()  # the next answer would be taken for this one's
            raise
        finally:
            self._busy, self._answering = False, None
            if handler is self._front.handler:
                self._front.admission.in_flight -= 1
        if self.transport is None:
            return  # the client left
        with suppress(RuntimeError):  # uvloop's word for a client that is just leaving
            self._link.write(raw)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._front.admission.draining:
            self.force_close()
        elif self._close:
            super().close()
        else:
            self._serve()

    def _is_idle(self) -> bool:
        waiting = self._waiter is not None and not self._waiter.done()
        return waiting and not self._busy

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the loop of the connection, which may just have been woken for a request."""
        if self._waiter is not None and self._waiter.done() and self._task_handler is not None:
            self._task_handler.cancel()
        super().connection_lost(exc)

    def _process_keepalive(self) -> None:
        if self._busy or self._held:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def close(self) -> None:
        """Take no further request; end when the one that is under way has its answer."""
        if self._busy:
            self._close = True
        else:
            super().close()
