"""What Postgres is to know of a claim beside what the cell tells of it.

Ingest has read the order already, so it packs what the recorder needs: the recorder decodes no
order a second time. The cell only carries it, as the payload of the claim.
"""

from typing import Final

import msgspec

from engine.reservation import rules
from engine.reservation.types import Claim, OrderIn, decode_order


class ClaimFacts(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """`placed_at` is ms, 0 if the order does not say; `lines` are the claim's.

    `document` is the order as posted, as it is kept; `trace` the traceparent of its request, or "".
    """

    channel_order_id: str
    kind: str
    placed_at: int
    lines: list[tuple[str, int, int, str]]
    document: bytes
    trace: str = ""


_pack: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(ClaimFacts).decode


def payload_of(order: OrderIn, claim: Claim, document: bytes, trace: str = "") -> bytes:
    """Return what goes to the cell with a claim, for the recorder."""
    placed_at = 0 if order.placed_at is None else claim.placed_at
    facts = (order.channel_order_id, order.kind, placed_at, claim.lines, document)
    return _pack((*facts, trace) if trace else facts)


def facts_of(payload: bytes) -> ClaimFacts:
    """Return what a payload tells; that of a log entry of version 1 is the order as posted.

    Raises:
        MsgspecError, ValidationFailed: it is neither.
    """
    if payload[:1] != b"{":
        return _decode(payload)
    order = decode_order(payload)
    payables, _ = rules.payable(order)
    lines: list[tuple[str, int, int, str]] = [
        (line.sku, line.quantity, units, line.on_short)
        for line, units in zip(order.lines, payables, strict=True)
    ]
    placed_at = 0 if order.placed_at is None else rules.codec_ms(order, 0)
    return ClaimFacts(order.channel_order_id, order.kind, placed_at, lines, payload)
