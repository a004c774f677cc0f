"""What a desk answers, read: what nobody can read or keep leaves the outcome unknown."""

from datetime import UTC, datetime

import pytest

from engine.carriers.rules import asking
from engine.carriers.types.desks import News, Tracked
from engine.kernel import codec

ONE = {"waybill": "W1", "milestone": "collected", "at": "2026-11-11T08:00:00+08:00"}
AT = datetime(2026, 11, 11, tzinfo=UTC)


def answer(*milestones, **more):
    return codec.encode({"outcome": "done", "milestones": milestones} | more)


def test_news_are_read_and_more_than_that_is_let_be():
    told = answer(ONE | {"place": "杭州", "raw": "50", "courier": "a person"}, later="thing")
    assert asking.tracked(told) == Tracked("DONE", (News("W1", "collected", AT, "杭州", "50"),))


@pytest.mark.parametrize(
    "more",
    [{"place": "a\0b"}, {"raw": "a\0b"}, {"place": "x" * 129}, {"milestone": "gone"},
     {"at": "2026-11-11T08:00:00"}, {"at": "1970-01-01T00:00:00Z"}],
)  # fmt: skip
def test_one_that_nobody_can_keep_leaves_all_unknown(more):
    assert asking.tracked(answer(ONE, ONE | more)) == Tracked("UNKNOWN")


def test_a_refusal_says_its_code():
    assert asking.tracked(answer(outcome="refused", code="E9")) == Tracked("REFUSED", code="E9")
    assert asking.tracked(b"<html>") == Tracked("UNKNOWN")
