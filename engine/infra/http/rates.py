"""Limits of requests by key and by buyer, and what their holders are told of them.

Each is a bucket of integers (GCRA): the instant at which it is full again, in nanoseconds. They are
of one process: where there are several, each lets as many through.
"""

from collections.abc import Mapping
from time import monotonic_ns
from typing import Final, NamedTuple

from aiohttp import web

from engine.infra.http.request import Request, Whole
from engine.infra.metrics import SHED
from engine.kernel.errors import RateLimited

_SECOND: Final = 1_000_000_000
_BUCKETS_MAX: Final = 100_000
_TOLD: Final = web.RequestKey("rate_told", dict)


class Rate(NamedTuple):
    """So many in such a time, all at once if they like."""

    quota: int
    window_ns: int

    @property
    def policy(self) -> str:
        """As the header field tells it."""
        return f'"default";q={self.quota};w={_up(self.window_ns)}'


class Taken(NamedTuple):
    """What became of one request: how many are left, and when what."""

    granted: bool
    left: int
    full_in_s: int
    again_in_s: int


class Buckets:
    """Who has taken how much, the last `most` of them; who is not there has a full bucket."""

    def __init__(self, most: int = _BUCKETS_MAX) -> None:
        """Begin with everybody's bucket full."""
        self._most = most
        self._full_at: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._full_at)

    def take(self, who: tuple[str, str], rate: Rate, now_ns: int) -> Taken:
        """Take one, if there is one."""
        each = rate.window_ns // rate.quota
        full_at = max(self._full_at.get(who, 0), now_ns)
        over = full_at + each - now_ns - each * rate.quota
        if over > 0:
            until_full, again = _up(full_at - now_ns), _up(over)
            return Taken(granted=False, left=0, full_in_s=until_full, again_in_s=again)
        if who not in self._full_at and len(self._full_at) >= self._most:
            self._forget(now_ns)
        self._full_at[who] = full_at = full_at + each
        left = rate.quota + (now_ns - full_at) // each
        return Taken(granted=True, left=left, full_in_s=_up(full_at - now_ns), again_in_s=0)

    def _forget(self, now_ns: int) -> None:
        """Forget full buckets, and of the others the older half, should that not be enough."""
        self._full_at = {who: at for who, at in self._full_at.items() if at > now_ns}
        if len(self._full_at) > self._most // 2:
            kept = list(self._full_at.items())[-(self._most // 2) :]
            self._full_at = dict(kept)


BUYERS: Final = web.AppKey("buyers", Buckets)


def per_second(rate: int, burst: int) -> Rate:
    """Return the rate of so many a second, with that many at once."""
    return Rate(burst, burst * _SECOND // rate)


def per_minute(quota: int) -> Rate:
    """Return the rate of so many a minute."""
    return Rate(quota, 60 * _SECOND)


def require(buckets: Buckets, who: tuple[str, str], rate: Rate, request: Request) -> None:
    """Take one from a key's bucket, and note what its holder is to be told with the answer.

    Raises:
        RateLimited: nothing was done.
    """
    taken = buckets.take(who, rate, monotonic_ns())
    told = {
        "RateLimit-Policy": rate.policy,
        "RateLimit": f'"default";r={taken.left};t={taken.full_in_s}',
    }
    if isinstance(request, Whole):
        request.told = told
    else:
        request[_TOLD] = told
    if not taken.granted:
        SHED.add("rate_key")
        raise RateLimited("this key's limit is reached", taken.again_in_s)


def require_buyer(buckets: Buckets, tenant: str, buyer: str, rate: Rate) -> None:
    """Take one from a buyer's bucket.

    Raises:
        RateLimited: nothing was taken.
    """
    taken = buckets.take((tenant, buyer), rate, monotonic_ns())
    if not taken.granted:
        SHED.add("rate_buyer")
        raise RateLimited("this buyer sent too many orders; nothing was taken", taken.again_in_s)


def told(request: Request) -> Mapping[str, str] | None:
    """Return the header fields that the answer to a request has for its key's limit."""
    if isinstance(request, Whole):
        return request.told
    return request.get(_TOLD)


def _up(nanoseconds: int) -> int:
    return -(-nanoseconds // _SECOND)
