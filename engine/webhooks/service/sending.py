"""Sending one message: signed, in bounded time, to an address that may be called.

A name is looked up when a connection is made, and each address is judged right there, before
anything goes to it: a name that leads elsewhere than when it was looked at leads nowhere.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ssl import SSLError
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from engine.infra.runtime import Runtime
from engine.kernel import urls
from engine.kernel.clock import Clock, instant
from engine.webhooks.rules import retrying, signing, targets
from engine.webhooks.types.webhooks import Answer, Endpoint, Item

ANSWER_BYTES_MAX: Final = 65_536
_LOOKUPS_AT_ONCE: Final = 16
_NAMES_KEPT_S: Final = 30
_NO_CONTENT: Final = 204


class PrivateAddress(OSError):
    """A name led to an address that may not be called."""


class _Resolver(AbstractResolver):
    """Looks names up in threads of its own: names that nobody knows take long, and nobody waits."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return all addresses of a name."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, _addresses, host, port, family
        )
        return [
            ResolveResult(
                hostname=host, host=address[0], port=address[1], family=kind, proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, address in found
        ]  # fmt: skip

    async def close(self) -> None:
        """Let the threads end when they are done."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Sender:
    """What all deliveries of a process share."""

    def __init__(self, runtime: Runtime) -> None:
        """Take settings and clock; `async with` opens it."""
        self._clock: Clock = runtime.clock
        self._timeout = aiohttp.ClientTimeout(total=runtime.settings.webhook_timeout_seconds)
        self._plain = urls.hosts(runtime.settings.plain_http_hosts)
        self._private = urls.hosts(runtime.settings.webhook_private_hosts)
        self._resolver = _Resolver()
        self._guarded: aiohttp.ClientSession
        self._open: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """Open it."""
        self._guarded = _session(self._resolver, guarded=True)
        self._open = _session(self._resolver, guarded=False)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Close all connections."""
        await self._guarded.close()
        await self._open.close()
        await self._resolver.close()

    def fault(self, url: str) -> str:
        """Return what is wrong with an address as it is written."""
        return targets.fault(url, self._plain, self._private)

    async def leads_astray(self, url: str) -> str:
        """Return what is wrong with where an address leads now."""
        host = targets.host_of(url)
        if host in self._private:
            return ""
        try:
            found = await self._resolver.resolve(host)
        except (OSError, UnicodeError):
            return "must have a name that can be looked up"
        return targets.leads_astray([one["host"] for one in found])

    async def send(self, endpoint: Endpoint, item: Item) -> Answer:
        """Try once; never raises for what others do."""
        began, now_ms = self._clock.monotonic(), self._clock.now_ms()
        if self.fault(endpoint.url):  # the settings say otherwise than when it was created
            return Answer(0, 0.0, "address_refused")
        try:
            status, retry_after = await self._post(endpoint, item, now_ms)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as failed:
            return Answer(0, self._clock.monotonic() - began, _word(failed))
        seconds = self._clock.monotonic() - began
        return Answer(status, seconds, "", retrying.retry_after_s(retry_after, now_ms))

    async def _post(self, endpoint: Endpoint, item: Item, now_ms: int) -> tuple[int, str]:
        session = self._open if targets.host_of(endpoint.url) in self._private else self._guarded
        async with session.post(
            URL(endpoint.url), data=item.body, headers=_headers(endpoint, item, now_ms),
            timeout=self._timeout, allow_redirects=False,
        ) as response:  # fmt: skip
            if response.status != _NO_CONTENT:
                await _drain(response)
            return response.status, response.headers.get("Retry-After", "")


def _headers(endpoint: Endpoint, item: Item, now_ms: int) -> dict[str, str]:
    now, at_s = instant(now_ms), now_ms // 1_000
    secrets = [one for one in endpoint.secrets if one.expires_at is None or one.expires_at > now]
    keys = [signing.key_of(one.text) for one in secrets]
    headers = {
        "Content-Type": "application/json",
        "webhook-id": item.message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": signing.signatures(keys, item.message_id, at_s, item.body),
    }
    if item.trace:
        headers["traceparent"] = item.trace
    return headers


def _session(resolver: AbstractResolver, *, guarded: bool) -> aiohttp.ClientSession:
    """Connections are bounded by who sends: by one bound for all the slow would starve the rest."""
    connector = aiohttp.TCPConnector(
        limit=0,
        resolver=resolver,
        ttl_dns_cache=_NAMES_KEPT_S,
        socket_factory=_public if guarded else None,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept",),
        headers={"Accept-Encoding": "identity", "User-Agent": "tidegate-webhooks"},
    )


def _public(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket for one address, which is the one that is connected to."""
    family, kind, protocol, _, where = address
    if targets.is_forbidden(where[0]):
        raise PrivateAddress("this address may not be called")
    return socket.socket(family, kind, protocol)


def _addresses(host: str, port: int, family: int) -> list[tuple[int, tuple[Any, ...]]]:
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    return [(one[0], one[4]) for one in found]


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read what was answered, so that the connection is used again; one that goes on is cut."""
    left = ANSWER_BYTES_MAX
    async for part in response.content.iter_any():
        left -= len(part)
        if left < 0:
            response.close()
            return


def _word(failed: BaseException) -> str:
    """Return what went wrong in a word: no address, and nothing that the other side wrote."""
    inner = getattr(failed, "os_error", None)
    for kind, word in _WORDS:
        if isinstance(failed, kind) or isinstance(inner, kind):
            return word
    return "no_answer"


_WORDS: Final[list[tuple[type[BaseException], str]]] = [
    (PrivateAddress, "private_address"),
    (TimeoutError, "timeout"),
    (aiohttp.ClientConnectorDNSError, "no_such_host"),
    (aiohttp.ClientSSLError, "tls"),
    (SSLError, "tls"),
    (aiohttp.ClientConnectorError, "no_connection"),
    (aiohttp.ServerDisconnectedError, "cut"),
    (aiohttp.ClientPayloadError, "cut"),
    (ConnectionError, "cut"),
]
