"""What names, texts and times of the day in documents may be; no I/O."""

from collections.abc import Iterator, Mapping

from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Fault
from engine.places.rules.calendars import minute_of
from engine.places.types.calendars import DAY_MINUTES


def name_faults(named: Mapping[str, str]) -> Iterator[Fault]:
    """Yield what is wrong with names, which are given by where they stand."""
    for pointer, text in named.items():
        try:
            codec.identifier(text, pointer)
        except ValidationFailed:
            yield Fault(pointer, "must be a name without control characters")


def text_faults(told: Mapping[str, str]) -> Iterator[Fault]:
    """Yield what is wrong with texts, which are given by where they stand."""
    for pointer, text in told.items():
        if any(one < " " or one == "\x7f" or "\ud800" <= one <= "\udfff" for one in text):
            yield Fault(pointer, "must not contain control characters")


def clock_faults(told: Mapping[str, str]) -> Iterator[Fault]:
    """Yield what is wrong with times of the day, which are given by where they stand."""
    for pointer, text in told.items():
        if not 0 <= minute_of(text) < DAY_MINUTES:
            yield Fault(pointer, "must be a time of the day, as 16:30")
