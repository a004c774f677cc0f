"""What Postgres is to know of a claim beside what the cell tells of it.

Ingest has read the order already, so it packs what the recorder needs: the recorder decodes no
order a second time. The cell only carries it, as the payload of the claim.
"""

from typing import Final

import msgspec

from engine.reservation.types import Claim, OrderIn


class ClaimFacts(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """`placed_at` is ms, 0 if the order does not say; `lines` are the claim's.

    `document` is the order as posted, as it is kept.
    """

    channel_order_id: str
    kind: str
    placed_at: int
    lines: list[tuple[str, int, int, str]]
    document: bytes


_pack: Final = msgspec.msgpack.Encoder().encode
decode_claim_facts: Final = msgspec.msgpack.Decoder(ClaimFacts).decode


def payload_of(order: OrderIn, claim: Claim, document: bytes) -> bytes:
    """Return what goes to the cell with a claim, for the recorder."""
    placed_at = 0 if order.placed_at is None else claim.placed_at
    return _pack((order.channel_order_id, order.kind, placed_at, claim.lines, document))
