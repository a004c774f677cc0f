"""When what failed is tried again, and when an endpoint is left alone; pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

# A little over three days, in seconds; a fifth of each is left to chance.
WAITS_S: Final[list[float]] = [
    5.0, 60.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0,
    43_200.0, 43_200.0, 43_200.0, 43_200.0, 43_200.0,
]  # fmt: skip
JITTER: Final = 0.2
DISABLED_AFTER_S: Final = 3 * 86_400.0  # of nothing but failures
RETRY_AFTER_LONGEST_S: Final = 3_600.0

# A circuit opens at this weight of failures in a row. Nobody there weighs more than a refusal: of
# those a few in a row may well be of bad luck with what is told.
OPEN_AT: Final = 50
NO_ANSWER_WEIGHT: Final = 10
REFUSAL_WEIGHT: Final = 1
PROBE_FIRST_S: Final = 5.0
PROBE_LONGEST_S: Final = 600.0

GONE: Final = 410
_BUSY: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500
_LENGTH_MAX: Final = 64


def wait_s(attempts: int, chance: float) -> float | None:
    """Return how long to wait after so many tries, None when that was the last one.

    `chance` is a number from 0 to 1.
    """
    if attempts > len(WAITS_S):
        return None
    return WAITS_S[attempts - 1] * (1 - JITTER + 2 * JITTER * chance)


def retry_after_s(header: str, now_ms: int) -> float:
    """Return for how many seconds an answer asks to be left alone; 0 where it does not."""
    text = header.strip()[:_LENGTH_MAX]
    if text.isascii() and text.isdecimal():
        return min(float(text), RETRY_AFTER_LONGEST_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    later = (moment - datetime.fromtimestamp(now_ms / 1_000, UTC)).total_seconds()
    return max(0.0, min(later, RETRY_AFTER_LONGEST_S))


def weight_of(status: int) -> int:
    """Return how much a failure counts against its endpoint; 0 is no answer at all."""
    if not status or status in _BUSY or status >= _SERVER_ERROR:
        return NO_ANSWER_WEIGHT
    return REFUSAL_WEIGHT


def is_open(failures: int) -> bool:
    """Tell whether an endpoint is only probed now and then."""
    return failures >= OPEN_AT


def probe_s(failures: int, chance: float) -> float:
    """Return when an endpoint whose circuit is open is probed next."""
    again = min((failures - OPEN_AT) // NO_ANSWER_WEIGHT, 10)
    return min(PROBE_FIRST_S * 2.0**again, PROBE_LONGEST_S) * (1 - JITTER * chance)
