"""Identifiers that are derived, so that no path can give one thing two of them."""

import hashlib
import secrets

from engine.kernel.types import OrderId

_SEPARATOR = "\x1f"  # refused inside identifiers, so two different triples never join to one text


def order_id(tenant: str, channel: str, channel_order_id: str) -> OrderId:
    """Return the one id of a channel's order: 26 hexadecimal digits."""
    text = _SEPARATOR.join((tenant, channel, channel_order_id))
    return OrderId(hashlib.blake2b(text.encode(), digest_size=13).hexdigest())


def fingerprint(parts: bytes) -> str:
    """Return the short text by which two versions of one claim are told apart."""
    return hashlib.blake2b(parts, digest_size=8).hexdigest()


def line_id(order: str, line_no: int) -> str:
    """Return the stable id of a line; `line_no` counts from 1."""
    return f"{order}-{line_no}"


def token(size: int = 16) -> str:
    """Return unguessable text for names nobody derives: requests, processes, secrets."""
    return secrets.token_hex(size)
