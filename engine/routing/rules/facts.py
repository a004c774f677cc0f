"""An order as it waits to be routed: bytes, with the version of their form before them.

Only ever added to: what an older process wrote, a newer one reads. A field is added at the end of
`Order` or `Line`, with a default.
"""

from typing import Final

import msgspec

from engine.routing.types.core import Order

_VERSION: Final = b"\x01"
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Order).decode


class UnreadableFacts(Exception):
    """Bytes that this process cannot read: they are to be made anew."""


def pack(order: Order) -> bytes:
    """Return an order's bytes."""
    return _VERSION + _encode(order)


def unpack(facts: bytes) -> Order:
    """Return the order that was packed.

    Raises:
        UnreadableFacts: it is of another form.
    """
    if facts[:1] != _VERSION:
        raise UnreadableFacts(f"facts of form {facts[:1].hex()}")
    try:
        order = _decode(memoryview(facts)[1:])
    except (msgspec.DecodeError, msgspec.ValidationError) as failure:
        raise UnreadableFacts(str(failure)) from failure
    return order
