"""The rule: when a channel is told of a parcel again, and what its answer comes to."""

from datetime import timedelta
from typing import Final, Literal

from engine.logistics.types import AckState

ATTEMPTS_MAX: Final = 12
ALARM_BEFORE: Final = timedelta(hours=1)
FIRST: Final = timedelta(seconds=60)  # as long as an adapter has for one round
LONGEST: Final = timedelta(hours=1)

Outcome = Literal["acked", "again", "failed", "repeated", "stale"]


def wait(attempts: int) -> timedelta:
    """Return how long after it was given out, for the `attempts`th time, it is given out again."""
    return min(LONGEST, FIRST * (1 << min(max(attempts, 1) - 1, 16)))


def answered(
    state: AckState,
    version: int,
    attempts: int,
    *,
    of_version: int,
    accepted: bool,
    permanent: bool,
) -> tuple[AckState, Outcome]:
    """Return the state and what became of an answer.

    That a channel has taken a parcel stays true, whatever it says later; and it counts also of one
    that had failed. An answer to another version is about what it was told before.
    """
    if of_version != version:
        return state, "stale"
    if state == "acked" or (state == "failed" and not accepted):
        return state, "repeated"
    if accepted:
        return "acked", "acked"
    if permanent or attempts >= ATTEMPTS_MAX:
        return "failed", "failed"
    return "pending", "again"
