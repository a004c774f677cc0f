"""Signatures after the Standard Webhooks specification, version 1; pure.

`v1,<base64 of HMAC-SHA256(secret, "<id>.<timestamp>.<body>")>`, one for each secret in force, the
newest first, with spaces between them.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def text_of(key: bytes) -> str:
    """Return a secret as people copy it."""
    return PREFIX + b64encode(key).decode()


@lru_cache(maxsize=1_024)
def key_of(secret: str) -> bytes:
    """Return what is signed with."""
    return b64decode(secret.removeprefix(PREFIX), validate=True)


def signatures(keys: Iterable[bytes], message_id: str, at_s: int, body: bytes) -> str:
    """Return the value of `webhook-signature`."""
    signed = b"%s.%d.%s" % (message_id.encode(), at_s, body)
    return " ".join("v1," + b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
