"""One call until it is answered: what may be tried again is, under the same name."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from random import Random  # noqa: TID251 - the kind of what is taken
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec

from engine.client.errors import ClientError, OutcomeUnknown, Problem, Unreachable
from engine.client.retries import Budget, RetryPolicy, Tries, retry_after_s
from engine.client.types import Body, Reply
from engine.kernel.clock import Clock

LATER: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
UNKNOWN: Final = "outcome_unknown"

_PROXIES: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
_NOT_DONE: Final = frozenset(
    {"overloaded", "closed", "deadline_passed"}
)  # a 503 of ours that says so
_NOT_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_NAMES: Final = ("channel_order_id", "payment_id", "cancel_id", "refund_id", "reference", "move_id")
_PATIENCE: Final = "Tidegate-Deadline-Ms"  # an order that waits longer is refused, not held
_PATIENCE_MAX_MS: Final = 9_999_999
_TEXT_SHOWN_MAX: Final = 300


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A call. `repeatable` is False for what has no name of its caller's (`POST /v1/keys`)."""

    method: str
    path: str
    body: Body | None = None
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    repeatable: bool = True

    @property
    def name(self) -> str:
        """What its caller calls it, "" for what has no such name."""
        body: Any = msgspec.to_builtins(self.body) if self.body is not None else {}
        return next((str(body[name]) for name in _NAMES if name in body), "")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class _Failed(NamedTuple):
    """A try that may be repeated; `unknown`: what it asked may have been done."""

    error: ClientError
    unknown: bool
    wait_s: float = 0.0


class Sender:
    """Sends calls and repeats them, within one policy and one budget for all."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        policy: RetryPolicy,
        clock: Clock,
        chance: Random,
        trace: Callable[[], str] | None,
    ) -> None:
        """Take whom to ask, and the session of the client that closes it."""
        self._session, self._base_url = session, base_url.rstrip("/")
        self._policy, self._clock, self._chance = policy, clock, chance
        self._budget = Budget(policy, clock)
        self._trace = trace

    def begin(self) -> Tries:
        """Begin the tries of a call."""
        return Tries(self._policy, self._budget, self._clock, self._chance)

    async def send(self, asked: Asked, tries: Tries | None = None) -> Reply:
        """Return the answer.

        Raises:
            Problem: it was refused; after 429, 503 and the like only at the deadline.
            OutcomeUnknown: it was sent and may have been done.
            Unreachable: it was never sent.
        """
        tries = tries or self.begin()
        request_id = f"{self._chance.getrandbits(64):016x}"
        unknown = False
        while True:
            done = await self._once(asked, tries, f"{request_id}-{tries.n}", repeated=unknown)
            if isinstance(done, Reply):
                tries.answered()
                return done
            unknown = unknown or done.unknown
            final = unknown and not asked.repeatable
            if final or not await tries.again(done.wait_s):
                if unknown:
                    raise OutcomeUnknown(str(asked), asked.name, str(done.error)) from done.error
                raise done.error

    async def _once(
        self, asked: Asked, tries: Tries, request_id: str, *, repeated: bool
    ) -> Reply | _Failed:
        """Try once; a refusal that stands is raised."""
        try:
            status, headers, body = await self._exchange(asked, tries, request_id)
        except aiohttp.InvalidURL:
            raise
        except _NOT_SENT as error:
            return _Failed(Unreachable(f"{asked}: {error}"), unknown=False)
        except (aiohttp.ClientError, TimeoutError) as error:
            why = str(error) or f"no answer within {self._policy.try_s:g} s"
            return _Failed(OutcomeUnknown(str(asked), asked.name, why), unknown=True)
        shown = headers.get("X-Request-Id", request_id)
        if status < HTTPStatus.BAD_REQUEST:
            return _reply(status, headers, body, shown)
        problem = Problem(status, _document(body), shown, repeated=repeated)
        if status in LATER or status in _PROXIES:
            wait_s = retry_after_s(headers.get("Retry-After", ""), self._clock.now_ms())
            done = status == HTTPStatus.TOO_MANY_REQUESTS or problem.code in _NOT_DONE
            return _Failed(problem, unknown=not done, wait_s=wait_s)
        tries.answered()
        raise problem

    async def _exchange(
        self, asked: Asked, tries: Tries, request_id: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        this_s = tries.this_s
        waits_ms = min(_PATIENCE_MAX_MS, max(1, int(this_s * 1_000)))
        headers = {"X-Request-Id": request_id, _PATIENCE: str(waits_ms), **asked.headers}
        if self._trace is not None and (trace := self._trace()):
            headers["traceparent"] = trace
        data = None
        if asked.body is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(asked.body)
        async with self._session.request(
            asked.method,
            self._base_url + asked.path,
            params=asked.query,
            data=data,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=this_s),
            allow_redirects=False,
        ) as answer:
            return answer.status, answer.headers, await answer.read()


def _reply(status: int, headers: Mapping[str, str], body: bytes, request_id: str) -> Reply:
    return Reply(
        status=status,
        document=msgspec.json.decode(body) if body else None,
        request_id=request_id,
        etag=headers.get("ETag", ""),
        durability=headers.get("Tidegate-Durability", ""),
        replayed=headers.get("Idempotency-Replayed") == "true",
        date=headers.get("Date", ""),
    )


def _document(body: bytes) -> dict[str, Any]:
    """Return a problem document; what a proxy says in its own words becomes its detail."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {"detail": body[:_TEXT_SHOWN_MAX].decode("utf-8", "replace")}
