"""Whether a webhook is ours, unaltered and of now (Standard Webhooks, signature v1)."""

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.client.errors import ClientError
from engine.kernel.clock import Clock, SystemClock

TOLERANCE_S: Final = 300

_PREFIX: Final = "whsec_"
_VERSION: Final = "v1"
_SECONDS_LENGTH_MAX: Final = 12


class NotGenuine(ClientError):
    """A webhook that must not be believed: the message says why."""


def verify(
    secrets: Sequence[str] | str,
    headers: Mapping[str, str],
    body: bytes,
    tolerance_s: int = TOLERANCE_S,
    clock: Clock | None = None,
) -> Any:
    """Return the document of a webhook, whose `body` must be the very bytes that came.

    `secrets` are all that are in force, as `whsec_…`: two while one replaces the other. A repeated
    `webhook-id` is the same event again: that its caller has to keep in mind.

    Raises:
        NotGenuine: a header is missing, no secret signed this, or not within `tolerance_s` of now.
        ValueError: a secret is none.
    """
    keys = [_key(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not keys:
        raise ValueError("at least one secret is needed")
    named = {name.lower(): value for name, value in headers.items()}
    webhook_id, at = _header(named, "webhook-id"), _header(named, "webhook-timestamp")
    given = [
        signature.encode()
        for version, _, signature in (
            one.partition(",") for one in _header(named, "webhook-signature").split()
        )
        if version == _VERSION
    ]
    if not (at.isascii() and at.isdecimal() and len(at) <= _SECONDS_LENGTH_MAX):
        raise NotGenuine("webhook-timestamp: must be seconds since 1970")
    if not _signed(keys, f"{webhook_id}.{at}.".encode() + body, given):
        raise NotGenuine("webhook-signature: no secret in force signed these bytes")
    early_s = int(at) - (clock or SystemClock()).now_ms() / 1_000
    if abs(early_s) > tolerance_s:
        raise NotGenuine(
            f"webhook-timestamp: {abs(early_s):.0f} s {'ahead of' if early_s > 0 else 'behind'}"
            f" now, more than {tolerance_s} s"
        )
    return msgspec.json.decode(body)


def _signed(keys: Iterable[bytes], content: bytes, given: Sequence[bytes]) -> bool:
    """Compare each with each, so that the time it takes does not tell which one was near."""
    holds = False
    for key in keys:
        wanted = base64.b64encode(hmac.digest(key, content, "sha256"))
        for one in given:
            holds |= hmac.compare_digest(wanted, one)
    return holds


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError) as failure:
        raise ValueError(f"a secret must be {_PREFIX}<base64>") from failure
    if not key:
        raise ValueError("a secret must not be empty")
    return key


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise NotGenuine(f"{name}: is missing")
    return value
