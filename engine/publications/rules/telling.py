"""What a shop's word about a number counts for."""

from typing import Final, Literal, TypeAlias

from engine.publications.types import LAG_SECONDS_MAX, Ack, Acked, Known

Result: TypeAlias = Literal["acked", "superseded", "refused", "repeated", "stale"]

_WEIGHT: Final = (
    0.2  # of the latest delay; a shop that was away for once does not double every buffer
)


def word(known: Known, ack: Ack) -> Result:
    """Say what an ack is.

    It counts for the present number, or for the last one that was given out, while no later one is
    confirmed: only of these is known which quantity the shop took. One that was confirmed cannot be
    refused any more, but one that was refused may still be taken.
    """
    if ack.number == known.acked_number or (
        not ack.accepted and ack.number == known.refused_number
    ):
        return "repeated"
    if ack.number < known.acked_number or ack.number not in {known.number, known.sent_number}:
        return "stale"
    if not ack.accepted:
        return "refused"
    return "acked" if ack.number == known.number else "superseded"


def acked(known: Known, number: int) -> Acked:
    """Return what an ack that counts comes to."""
    if number == known.number:
        quantity, made_at = known.published, known.published_at
    else:
        quantity, made_at = known.sent, known.sent_made_at or known.now
    delay_s = min(float(LAG_SECONDS_MAX), max(0.0, (known.now - made_at).total_seconds()))
    if known.lag_s is None:
        return Acked(number, quantity, delay_s)
    return Acked(number, quantity, known.lag_s + _WEIGHT * (delay_s - known.lag_s))
