"""The rule: what a code for collecting goods looks like, and what a try with one comes to."""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final, Literal

TRIES_MAX: Final = 5
LASTS: Final = timedelta(days=7)
_DIGITS: Final = 8

Verdict = Literal["right", "wrong", "spent", "expired", "redeemed"]


def code_of(secret: int) -> str:
    """Return the digits that a buyer reads out, of a secret number."""
    return f"{secret % 10**_DIGITS:0{_DIGITS}d}"


def digest(shipment_id: str, code: str) -> str:
    """Return what is kept of a code: bound to its shipment, so two alike differ."""
    return hashlib.blake2b(f"{shipment_id}\x1f{code}".encode(), digest_size=16).hexdigest()


def judged(
    kept: str,
    tried: str,
    tries: int,
    *,
    redeemed: bool,
    expires_at: datetime,
    now: datetime,
) -> Verdict:
    """Return what a try comes to; after five wrong ones the right one is worth nothing either."""
    if redeemed:
        return "redeemed"
    if tries >= TRIES_MAX:
        return "spent"
    if now >= expires_at:
        return "expired"
    return "right" if hmac.compare_digest(kept, tried) else "wrong"
