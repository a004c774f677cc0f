"""How JSON is signed that goes to and comes from systems of others; pure.

`X-Tidegate-Signature: t=<seconds>,v1=<hex of HMAC-SHA256(secret, "<t>." + body)>`.
"""

import hmac
from collections.abc import Sequence
from typing import Final

from engine.kernel.errors import Unauthorised

SIGNATURE: Final = "X-Tidegate-Signature"
SKEW_MAX_S: Final = 900
_SECONDS_LENGTH: Final = 12


def sign(secret: str, body: bytes, at_s: int) -> str:
    """Return the value of the header of a message that is sent at this second."""
    digest = hmac.digest(secret.encode(), b"%d." % at_s + body, "sha256")
    return f"t={at_s},v1={digest.hex()}"


def verify(secrets: Sequence[str], header: str, body: bytes, now_ms: int) -> None:
    """Check who sent a message, and that it is not an old one.

    Raises:
        Unauthorised: no secret in force signed these bytes, or not now.
    """
    parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
    at = parts.get("t", "")
    if not (at.isascii() and at.isdecimal() and len(at) < _SECONDS_LENGTH):
        raise Unauthorised(f"{SIGNATURE}: t=<seconds>,v1=<hex> is needed")
    holds = False
    for secret in secrets:  # all of them, so that time tells nothing of which one it was
        wanted = f"t={at},v1={parts.get('v1', '').lower()}"
        holds |= hmac.compare_digest(sign(secret, body, int(at)).encode(), wanted.encode())
    if not holds:
        raise Unauthorised("the signature does not fit")
    if abs(int(at) * 1_000 - now_ms) > SKEW_MAX_S * 1_000:
        raise Unauthorised("the signature's time is too far from now")
