"""The one way to a cell's scripts: a batch in, one reply out, never sent twice by itself.

A call that gets no reply may have been executed; the caller is told so and repeats it with the same
ids when it wants to know. Cancelling the caller closes the connection it waited on, so no reply is
ever read by somebody else.
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, cast

import msgspec
import structlog
from redis.asyncio import Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import (
    NoScriptError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)

from engine.infra import keys, metrics, scripts
from engine.infra.wire import Command, Pool, wires_of
from engine.kernel import limits
from engine.kernel.clock import Clock
from engine.kernel.errors import Closed, OutcomeUnknown
from engine.kernel.types import CellId

log: Final = structlog.get_logger()


class CallReply(msgspec.Struct, array_like=True, gc=False):
    """What a script answered: a word, cell time (ms), a log id, and one result per claim.

    `log_id` is the entry this call wrote or, if it wrote none, the last one before it.
    """

    word: str
    now_ms: int
    log_id: str
    results: list[Any]


class State(msgspec.Struct, frozen=True):
    """The cell's own record of itself, as read without a script."""

    epoch: int
    phase: str
    reason: str
    identity: str
    now_ms: int
    last_id: str
    accepted: int
    trimmed_to: str


_reply: Final = msgspec.msgpack.Decoder(CallReply)
_pack: Final = msgspec.msgpack.Encoder().encode
_REPLICA_WAIT_MS: Final = 2_000  # below the client's own time-out, so that the numbers arrive


class _Link(Connection):
    """A connection whose server may go at any moment, also between connecting and the first word.

    uvloop then raises a RuntimeError at the write, which neither the library nor we would expect.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - the library's signature
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise Disconnected("the server closed the connection") from error


def client(url: str, *, connections: int = 8) -> Redis:
    """Open a client that never retries; connections are made when first needed.

    The library's default is ten retries, also of scripts that may have been executed.
    """
    pool = Pool.from_url(
        url,
        connection_class=_Link,
        max_connections=connections,
        timeout=limits.CELL_CALL_TIMEOUT_S,
        socket_timeout=limits.CELL_CALL_TIMEOUT_S,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        protocol=2,
    )
    return Redis.from_pool(pool)


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


class Cell:
    """One cell, as one process sees it: its epoch, whether it is open, and its clock."""

    def __init__(
        self, redis: Redis, cell: CellId, clock: Clock, *, replicated: bool = False
    ) -> None:
        """Bind to a client made by `client`; nothing is sent yet.

        `replicated`: an answer counts only when it is on the disk of a replica too.
        """
        self._replicated = replicated
        self.id = cell
        self.redis = redis
        self.epoch = 0
        self.is_open = False
        self._clock = clock
        self._offset_ms = 0.0
        self._fenced_epoch = -1
        self._keys = keys.every(cell)
        self._wires = wires_of(redis)
        self._opened = asyncio.Event()

    def now_ms(self) -> int:
        """Return cell time as far as this process knows it: never behind by more than a reply."""
        return int(self._clock.monotonic() * 1_000 + self._offset_ms)

    async def call(
        self,
        script: str,
        claims: Sequence[object],
        payloads: Sequence[bytes] = (),
        *,
        argument: str | None = None,
        epoch: int | None = None,
    ) -> CallReply:
        """Run one script over a batch, under this process' epoch and with a deadline.

        `argument` replaces the deadline for the few scripts that take something else there.

        Raises:
            Closed: fenced, too late, or refused by the server; nothing was changed.
            OutcomeUnknown: no reply came; it may have been executed.
        """
        if argument is None:
            argument = str(self.now_ms() + limits.BATCH_DEADLINE_MS) if self._offset_ms else "0"
        under = self.epoch if epoch is None else epoch
        metrics.BATCH_CLAIMS.of(script).add(len(claims))
        began = time.monotonic()
        try:
            raw = await self._send(script, [under, argument, _pack(claims), *payloads])
        finally:
            metrics.CELL_CALL.of(script).add(time.monotonic() - began)
        reply = _reply.decode(raw)
        self._offset_ms = reply.now_ms - self._clock.monotonic() * 1_000
        if reply.word == "FENCED":
            if under == self.epoch:  # else a newer epoch was adopted meanwhile
                self._shut()
            if epoch is None:
                self._fenced_epoch = under
            raise Closed
        if reply.word == "TOO_LATE":
            raise Closed("the cell met this call after its deadline; nothing was changed")
        return reply

    async def call_with(
        self, script: str, claims: Sequence[object], writes: Sequence[Command], *, epoch: int
    ) -> CallReply | None:
        """Run a script and plain writes as one; None where memory is over, and nothing was done.

        For values in bulk: through a script's arguments they cost twice. Writes know no epoch, so
        they are done only if the cell's record is this epoch's, and nobody changed it meanwhile.

        Raises:
            Closed: it is another epoch's, or became so; nothing was changed.
            OutcomeUnknown: no reply came; all of it may have been done, or none.
        """
        source, sha = _source(script)
        run = ("EVALSHA", sha, len(self._keys), *self._keys, epoch, "0", _pack(claims))
        first = (
            ("WATCH", self._keys[0]), ("HGET", self._keys[0], "epoch"), ("SCRIPT", "LOAD", source),
        )  # fmt: skip

        def then(replies: list[Any]) -> Sequence[Command]:
            _raise_refusal(replies)
            if _text(replies[1]) != str(epoch):
                raise Closed
            return [("MULTI",), run, *writes, ("EXEC",)]

        try:
            replies = await self._wires.converse(first, then)
            if any(isinstance(one, OutOfMemoryError) for one in replies):
                return None  # it was refused before anything was done
            _raise_refusal(replies)
            if replies[-1] is None:
                raise Closed
            _raise_refusal(replies[-1])
        except (RedisError, OSError) as error:
            raise OutcomeUnknown from error
        reply = _reply.decode(replies[-1][0])
        self._offset_ms = reply.now_ms - self._clock.monotonic() * 1_000
        if reply.word == "FENCED":
            raise Closed
        return reply

    async def ask(self, *command: Any) -> Any:
        """Send one command that changes nothing, and return its reply.

        Raises:
            OutcomeUnknown: the server does not answer.
        """
        try:
            (reply,) = await self._wires.ask(command)
        except (RedisError, OSError) as error:
            raise OutcomeUnknown("the cell does not answer") from error
        if isinstance(reply, Exception):
            raise OutcomeUnknown("the cell does not answer") from reply
        return reply

    async def read(self, *commands: Command, at_once: bool = True) -> list[Any]:
        """Send commands that change nothing, and return their replies.

        `at_once`: nothing else happens in the cell between the first and the last of them.

        Raises:
            OutcomeUnknown: the server does not answer, or refuses one of them.
        """
        asked = [("MULTI",), *commands, ("EXEC",)] if at_once else list(commands)
        try:
            replies = await self._wires.ask(*asked)
        except (RedisError, OSError) as error:
            raise OutcomeUnknown("the cell does not answer") from error
        if at_once and not isinstance(replies[-1], Exception):
            replies = list(replies[-1])
        for reply in replies:
            if isinstance(reply, Exception):
                raise OutcomeUnknown("the cell does not answer") from reply
        return replies

    async def refresh(self) -> State | None:
        """Read the cell's record and adopt its epoch if it is open; None when it has no record.

        Raises:
            OutcomeUnknown: the server did not answer.
        """
        fields = (
            "epoch", "phase", "reason", "identity", "now", "last", "accepted", "trimmed_to",
        )  # fmt: skip
        try:
            values = await self.ask("HMGET", self._keys[0], *fields)
        except OutcomeUnknown:
            self._shut()
            raise
        if values[0] is None:
            self._shut()
            return None
        text = [_text(value) for value in values]
        state = State(
            int(text[0]), text[1], text[2], text[3], int(text[4] or 0), text[5] or "0-0",
            int(text[6] or 0), text[7] or "0-0",
        )  # fmt: skip
        if state.phase == "open" and state.epoch != self._fenced_epoch:
            self.epoch, self.is_open = state.epoch, True
            self._opened.set()
        else:
            self._shut()
        return state

    async def wait_open(self) -> None:
        """Wait until a refresh found the cell open; somebody must refresh meanwhile."""
        await self._opened.wait()

    def _shut(self) -> None:
        self.is_open = False
        self._opened.clear()

    async def _send(self, script: str, arguments: list[object]) -> bytes:
        try:
            return await self._run(script, arguments)
        except ResponseError as error:
            log.warning("cell_refused", script=script, error=str(error)[:200])
            raise Closed(f"the cell refused: {str(error).split(' ', 1)[0]}") from error
        except (RedisError, OSError) as error:
            raise OutcomeUnknown from error

    async def _run(self, script: str, arguments: list[object]) -> bytes:
        """Run a script; with a replica, wait on the same connection until that has it on its disk.

        WAITAOF answers how many disks have it and never fails by itself: the numbers are the proof.
        """
        source, sha = _source(script)
        asked: list[Command] = [("EVALSHA", sha, len(self._keys), *self._keys, *arguments)]
        if self._replicated:
            asked.append(("WAITAOF", 1, 1, _REPLICA_WAIT_MS))
        for _ in range(2):
            raw, *disks = await self._wires.ask(*asked)
            if isinstance(raw, NoScriptError):  # nothing was executed
                (raw,) = await self._wires.ask(("SCRIPT", "LOAD", source))
                if not isinstance(raw, Exception):
                    continue
            if isinstance(raw, Exception):
                raise raw
            if disks and (isinstance(disks[0], Exception) or min(disks[0]) < 1):
                raise OutcomeUnknown("done, but no replica has it on its disk yet")
            return cast("bytes", raw)
        raise OutcomeUnknown("the script does not stay loaded")


def _raise_refusal(replies: Sequence[Any]) -> None:
    for one in replies:
        if isinstance(one, Exception):
            raise one


@cache
def _source(script: str) -> tuple[str, str]:
    """Return a script and the name under which the server knows it."""
    source = scripts.source(script)
    return source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
