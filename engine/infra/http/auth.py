"""Who calls: bearer keys `tgk_<key id>_<secret>`, what each may do, and for which channel.

Postgres keeps only digests. Every process holds all live keys in memory and reads them again each
second, so that a request never waits for Postgres and a revoked key ends within two seconds.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from engine.infra import queries
from engine.infra.http.rates import Buckets, Rate, per_second
from engine.infra.http.rates import require as take
from engine.infra.http.request import Request
from engine.infra.postgres import UNAVAILABLE, Connection, Pool
from engine.infra.tasks import sleep
from engine.kernel.clock import Clock
from engine.kernel.errors import Forbidden, Misconfigured, NotFound, Overloaded, Unauthorised
from engine.kernel.ids import token
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.infra.http")

ADMIN: Final = "admin"
SCOPES: Final = frozenset(
    {"orders:write", "orders:sync", "orders:read", "stock:write", "stock:read", ADMIN}
)
_SOLD_ELSEWHERE: Final = "orders:sync"  # what was sold is to be known, whoever tells it
SETTINGS_KEY_ID: Final = "admin"  # the key given in the settings; it may be any text

REFRESH_SECONDS: Final = 1.0
_UNKNOWN_REFRESH_SECONDS: Final = 0.25  # a new key works at once, guessing costs Postgres 4/s
_SEEN_MAX: Final = 10_000
_ADMIN_KEY_LENGTH_MIN: Final = 16
_PREFIX: Final = "tgk_"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a key. An empty `channel` means: not bound to one; no `rate`: not limited."""

    key_id: str
    tenant: Tenant
    scopes: frozenset[str]
    channel: str = ""
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class LiveKey:
    """A key as Postgres knows it."""

    digest: bytes
    principal: Principal


class Directory:
    """All live keys of the instance, in memory."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._keys: dict[str, LiveKey] = {}
        # Header text -> principal. Finding a text in a dict compares a randomised hash first, so
        # its time tells nothing about a secret; every entry got here by a constant-time compare.
        self._seen: dict[str, Principal] = {}
        self._loaded = False
        self._refreshed_at = float("-inf")
        self._one = asyncio.Lock()
        self.buckets: Final = Buckets()  # of limited keys, in this process

    def known(self, header: str) -> Principal | None:
        """Return whose key stands in an Authorization header; no wait, no I/O."""
        if principal := self._seen.get(header):
            return principal
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer":
            return None
        principal = self._compare(secret.strip())
        if principal is not None:
            if len(self._seen) >= _SEEN_MAX:
                self._seen.clear()
            self._seen[header] = principal
        return principal

    async def authenticate(self, header: str | None) -> Principal:
        """Return whose key it is; an unknown one is looked up once more, at most 4 times a second.

        Raises:
            Unauthorised: no key, or one that is unknown or revoked.
            Overloaded: this process has not been able to read the keys yet.
        """
        if header is None:
            raise Unauthorised
        if principal := self.known(header):
            return principal
        await self._refresh_for_unknown()
        if principal := self.known(header):
            return principal
        raise Unauthorised("this key is not known or was revoked")

    async def refresh(self) -> None:
        """Read all live keys."""
        rows = await self._pool.fetch(SQL["live_keys"])
        keys = {
            row["key_id"]: LiveKey(
                row["digest"],
                Principal(
                    row["key_id"],
                    Tenant(row["tenant"]),
                    frozenset(row["scopes"]),
                    row["channel"],
                    _rate(row["rate_per_s"], row["burst"]),
                ),
            )
            for row in rows
        }
        if keys != self._keys:
            self._keys = keys
            self._seen.clear()
        self._loaded = True

    async def run(self) -> None:
        """Refresh every second until cancelled; while Postgres is away the last known keys hold."""
        while True:
            try:
                async with asyncio.timeout(REFRESH_SECONDS * 5):
                    await self.refresh()
            except UNAVAILABLE as failure:
                _log.warning("keys_not_refreshed", reason=repr(failure))
            await sleep(REFRESH_SECONDS)

    def _compare(self, text: str) -> Principal | None:
        digest = digest_of(text)
        found = None
        for key_id in (_key_id(text), SETTINGS_KEY_ID):
            key = self._keys.get(key_id)
            if key is not None and hmac.compare_digest(key.digest, digest):
                found = key.principal
        return found

    async def _refresh_for_unknown(self) -> None:
        async with self._one:
            now = self._clock.monotonic()
            if self._loaded and now - self._refreshed_at < _UNKNOWN_REFRESH_SECONDS:
                return
            self._refreshed_at = now
            try:
                await self.refresh()
            except UNAVAILABLE as failure:
                if not self._loaded:
                    raise Overloaded("the keys cannot be read yet") from failure


DIRECTORY: Final = web.AppKey("directory", Directory)


async def principal_of(request: web.Request, scope: str) -> Principal:
    """Return who calls, when they may; the first line of every handler under /v1.

    Raises:
        Unauthorised: no live key.
        Forbidden: the key lacks the scope.
        RateLimited: the key's limit is reached.
    """
    return await caller(request.app, request, scope)


async def unbound_of(request: web.Request, scope: str) -> Principal:
    """Return who calls something that touches or shows all channels, as `principal_of` does.

    Raises:
        Forbidden: also for a key that is bound to a channel.
    """
    principal = await principal_of(request, scope)
    if principal.channel:
        raise Forbidden("this key is bound to one channel")
    return principal


async def caller(
    app: web.Application, request: Request, scope: str, *, limited: bool = True
) -> Principal:
    """Return who calls, as `principal_of`, for routes that no application leads to.

    A call that must not be put off, of money or of what was sold elsewhere, is not `limited`.
    """
    directory, header = app[DIRECTORY], request.headers.get("Authorization")
    principal = directory.known(header) if header else None
    if principal is None:
        principal = await directory.authenticate(header)
    require(principal, scope)
    if principal.rate is not None and limited and scope != _SOLD_ELSEWHERE:
        take(directory.buckets, (principal.tenant, principal.key_id), principal.rate, request)
    return principal


def require(principal: Principal, scope: str) -> None:
    """Refuse a key that lacks the scope; `admin` holds every scope."""
    if scope not in principal.scopes and ADMIN not in principal.scopes:
        raise Forbidden(f"this key lacks the scope {scope}")


def require_channel(principal: Principal, channel: str, *, reading: bool = False) -> None:
    """Refuse a channel-bound key on another channel; to a reader the others do not exist."""
    if principal.channel and principal.channel != channel:
        raise NotFound if reading else Forbidden("this key is bound to another channel")


def digest_of(key: str) -> bytes:
    """Return what Postgres keeps of a key; secrets are random, so one plain hash is enough."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def make_key() -> tuple[str, str]:
    """Return a new key's id and its full text."""
    key_id = token(6)
    return key_id, f"{_PREFIX}{key_id}_{token(24)}"


async def ensure_admin_key(connection: Connection, secret: str, tenant: Tenant) -> None:
    """Make the text of the settings a live admin key; a former one stops working.

    Raises:
        Misconfigured: shorter than 16 characters, or not sendable in a header.
    """
    sendable = secret.isascii() and secret.isprintable() and " " not in secret
    if len(secret) < _ADMIN_KEY_LENGTH_MIN or not sendable:
        raise Misconfigured(
            f"TIDEGATE_ADMIN_KEY needs at least {_ADMIN_KEY_LENGTH_MIN} visible ASCII characters"
            " without spaces"
        )
    await connection.execute(
        SQL["upsert_settings_key"],
        SETTINGS_KEY_ID,
        "given in the settings",
        digest_of(secret),
        tenant,
        [ADMIN],
    )


def unknown_scopes(scopes: Iterable[str]) -> list[str]:
    """Return the scopes that do not exist."""
    return sorted(set(scopes) - SCOPES)


def _rate(per_s: int, burst: int) -> Rate | None:
    return per_second(per_s, burst) if per_s else None


def _key_id(text: str) -> str:
    if not text.startswith(_PREFIX):
        return ""
    return text.removeprefix(_PREFIX).partition("_")[0]
