"""Calls to systems of others over HTTP; each ends within its time.

A call that was not answered, was cut, or was answered by something that is no answer (5xx, a page
of a proxy) is UNKNOWN: it may have been done. Only an answer of theirs is one.
"""

import asyncio
from typing import Final, Literal, NamedTuple

import aiohttp

from engine.kernel.limits import BODY_BYTES_MAX

TIMEOUT_S: Final = 10.0
_SERVER_ERROR: Final = 500
_OK: Final = 200
# Some answer of these may have come from something in between, after the call had passed it.
_PERHAPS: Final = frozenset({408, 425})
_BUSY: Final = 429


class NoAnswer(NamedTuple):
    """Why there is none: nobody knows what became of the call, or something refused it."""

    outcome: Literal["UNKNOWN", "REFUSED"]
    code: str = ""
    text: str = ""


def session() -> aiohttp.ClientSession:
    """Return what all calls of a process share; to be closed by its owner.

    It keeps no cookies and unpacks nothing: a small answer cannot become a large one.
    """
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "tidegate"},
    )  # fmt: skip


async def post(
    http: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: dict[str, str],
    *,
    query: list[tuple[str, str]] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> bytes | NoAnswer:
    """Send once; a redirect is not followed: what is signed is for this address."""
    try:
        async with http.post(
            url, data=body, headers=headers, params=query,
            timeout=aiohttp.ClientTimeout(total=timeout_s), allow_redirects=False,
        ) as response:  # fmt: skip
            answer = await _bounded(response)
            status = response.status
    except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as cut:
        return NoAnswer("UNKNOWN", text=type(cut).__name__)
    if status == _OK:
        return answer
    if status >= _SERVER_ERROR or status in _PERHAPS:
        return NoAnswer("UNKNOWN", text=f"HTTP {status}")
    return NoAnswer("REFUSED", code="busy" if status == _BUSY else f"http_{status}")


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return an answer's body; of one that is too large only so much that nobody can read it."""
    parts, size = list[bytes](), 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > BODY_BYTES_MAX:
            return b""
    return b"".join(parts)
