"""When what may be sold changes by time alone: a rule begins or ends, a batch passes its window."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final

from engine.logical.types.bases import Applied, Held, Place

_FAR: Final = timedelta(days=50_000)  # nobody waits for that, and dates have an end
_DAY: Final = timedelta(days=1)


def next_change(place: Place, held: Sequence[Held], applied: Applied) -> datetime | None:
    """Return the next instant at which the chain of a SKU at a node may be another.

    None: never, unless something is told. It lies after the instant that `applied` is of.
    """
    more = _FAR
    for one in held:
        if one.expires_on is not None and one.expires_on >= applied.needed and one.sellable > 0:
            more = min(more, one.expires_on - applied.needed)
    if more >= _FAR:
        return applied.changes_at
    gone = datetime.combine(applied.today + more + _DAY, time(), place.zone).astimezone(UTC)
    return min(gone, applied.changes_at or gone)
