"""Claims on their way to `reserve`: the plain ones as columns, all others as rows.

Most claims of a sale are plain, and a table for each is what costs the cell most; what it only
copies into the hold and the log comes packed (`lua/include/plain.lua`).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from engine.reservation.types import Claim

_PLAIN: Final = 0  # stands for the claim in the list of claims
_NONE: Final = msgspec.Raw(b"\xa0")  # an empty text
_pack: Final = msgspec.msgpack.Encoder().encode


def as_asked(
    claims: Sequence[Claim], payloads: Sequence[bytes]
) -> tuple[list[Claim | int], list[bytes]]:
    """Return what `reserve` takes: its claims, and its payloads with the columns behind them."""
    rows: list[Claim | int] = [_PLAIN if _is_plain(claim) else claim for claim in claims]
    if _PLAIN not in rows:
        return rows, list(payloads)
    columns = zip(*(_row(claim, row) for claim, row in zip(claims, rows, strict=True)), strict=True)
    return rows, [*payloads, _pack(list(columns))]


def _is_plain(claim: Claim) -> bool:
    return (
        len(claim.lines) == 1
        and claim.lines[0][1] > 0
        and not (claim.settle or claim.replace or claim.split_from or claim.payment or claim.ticket)
    )


def _row(claim: Claim, row: Claim | int) -> tuple[object, ...]:
    if row is not _PLAIN:
        return (claim.order_id, "", "", 0, "", "", 0, _NONE, _NONE, _NONE, _NONE)
    ((sku, quantity, _, _),) = claim.lines
    return (
        claim.order_id,
        f"{claim.tenant}\x1f{claim.campaign}\x1f{claim.channel}",
        sku,
        quantity,
        claim.buyer,
        claim.method,
        claim.total,
        _text(_pack(claim[1:8])[1:]),  # fingerprint to total, without the head of their list
        _packed(claim.lines),
        _packed(claim.buyer_keys),
        _packed(claim.actor),
    )


@lru_cache(maxsize=4_096)
def _packed(value: object) -> msgspec.Raw:
    return _text(_pack(value))


def _text(packed: bytes) -> msgspec.Raw:
    """Return bytes as a msgpack text: the scripts know no other type for them."""
    size = len(packed)
    if size < 1 << 8:
        return msgspec.Raw(b"\xd9%c%b" % (size, packed))
    return msgspec.Raw(b"\xdb" + size.to_bytes(4, "big") + packed)
