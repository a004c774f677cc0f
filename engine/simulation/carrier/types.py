"""How badly a carrier behaves, and what it tells of a parcel."""

from typing import Final, NamedTuple


class Rates(NamedTuple):
    """Shares from 0 to 1 of calls, or of parcels, that go wrong in a way."""

    error: float = 0.0  # nothing was done, and it says so by a 5xx: nobody can know
    reply_lost: float = 0.0  # it was done, and nobody hears of it
    refused: float = 0.0  # for good, of one request every time
    busy: float = 0.0  # refused now, not for good
    late: float = 0.0  # parcels that take longer than promised
    lost: float = 0.0  # parcels that never arrive
    returned: float = 0.0  # parcels that nobody takes in


GOOD: Final = Rates()


class Milestone(NamedTuple):
    """What is told of a parcel: the word, when it was, and where."""

    waybill: str
    milestone: str
    at_ms: int
    place: str
