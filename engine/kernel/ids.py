"""Identifiers that are derived, so that no path can give one thing two of them."""

import hashlib
import secrets
from base64 import b32encode, b64encode

from engine.kernel.types import OrderId

_SEPARATOR = "\x1f"  # refused inside identifiers, so two different triples never join to one text


def order_id(tenant: str, channel: str, channel_order_id: str) -> OrderId:
    """Return the one id of a channel's order: 26 lower-case letters and digits."""
    text = _SEPARATOR.join((tenant, channel, channel_order_id))
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return OrderId(b32encode(digest)[:26].decode().lower())


def fingerprint(parts: bytes) -> str:
    """Return the short text by which two versions of one claim are told apart."""
    return b64encode(hashlib.blake2b(parts, digest_size=12).digest()).decode()


def line_id(order: str, line_no: int) -> str:
    """Return the stable id of a line; `line_no` counts from 1."""
    return f"{order}-{line_no}"


def token(size: int = 16) -> str:
    """Return unguessable text for names nobody derives: requests, processes, secrets."""
    return secrets.token_hex(size)
