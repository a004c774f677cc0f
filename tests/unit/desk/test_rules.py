"""Which remedy helps against what, and what a bulk run has to say of itself."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.desk import rules
from engine.desk.types import COUNT_MAX, Item, RemedyIn, Sum
from engine.kernel.codec import Money
from engine.kernel.errors import InConflict, ValidationFailed

NOW = datetime(2026, 11, 11, tzinfo=UTC)
HOUR = timedelta(hours=1)


def item(code="review", **more):
    fields = {
        "id": f"block:{code}:o1", "code": code, "order_id": "o1", "channel": "mall",
        "channel_order_id": "T1", "line_id": "", "sku": "", "subject": "", "since": NOW - HOUR,
        "ship_by": None, "amount": 300, "currency": "CNY", "reason": "odd",
    }  # fmt: skip
    return Item(**(fields | more))


def judge(asked):
    rules.check(asked)
    return rules.codes_for(asked)


@pytest.mark.parametrize("code", rules.CODES)
def test_against_everything_something_helps(code):
    assert rules.remedies_of(item(code))


def test_every_name_is_a_remedy_and_every_remedy_names_known_codes():
    assert set(rules.NAMES) == rules.REMEDIES.keys()
    assert {code for one in rules.REMEDIES.values() for code in one.codes} == set(rules.CODES)


@pytest.mark.parametrize(
    ("given", "calls"),
    [
        (item(), ["DELETE /v1/orders/o1/blocks/review?reason=", "POST /v1/orders/o1/cancel"]),
        (item("price"), ["DELETE /v1/orders/o1/blocks/price?reason=", "POST /v1/orders/o1/cancel"]),
        (item("dead_job", id="letter:job-7"), ["POST /v1/dead-letters/job-7/retry"]),
        (item("refund_due"), ["POST /v1/orders/o1/refunds"]),
        (
            item("rejected"),
            [
                "POST /v1/routing-queue/o1/retry",
                "POST /v1/orders/o1/blocks",
                "POST /v1/orders/o1/cancel",
            ],
        ),
    ],
)
def test_the_calls_are_those_of_this_very_thing(given, calls):
    assert [one.call for one in rules.remedies_of(given)] == calls


@pytest.mark.parametrize("code", ["refund_requested", "unmapped_sku", "short"])
def test_what_ends_with_its_cause_is_not_let_pass_in_bulk(code):
    assert not {"approve", "lift_block"} & {one.remedy for one in rules.remedies_of(item(code))}


def test_what_had_to_leave_before_now_is_overdue():
    late, soon = rules.shown(item(ship_by=NOW - HOUR), NOW), rules.shown(item(ship_by=NOW), NOW)
    assert (late.overdue, soon.overdue, rules.shown(item(), NOW).overdue) == (True, False, False)
    assert (late.age_seconds, late.at_risk) == (3_600, Money(300, "CNY"))
    assert rules.shown(item(amount=None), NOW).at_risk is None


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"remedy": "approve"}, "/code"),
        ({"remedy": "approve", "code": "manual"}, "/code"),
        ({"remedy": "book_refund", "code": "refund_due"}, "/remedy"),
        ({"remedy": "approve", "code": "review", "dry_run": False}, "/remedy_id"),
        ({"remedy": "approve", "ids": ["x"], "dry_run": False, "remedy_id": "r"}, "/expect_max"),
        (
            {
                "remedy": "approve",
                "ids": ["x"],
                "dry_run": False,
                "remedy_id": "r",
                "expect_max": 1,
            },
            "/reason",
        ),
    ],
)
def test_what_says_too_little_is_refused(fields, pointer):
    asked = RemedyIn(**fields)
    with pytest.raises(ValidationFailed) as refused:
        judge(asked)
    assert refused.value.extra["errors"][0]["pointer"] == pointer


def test_without_a_code_all_that_it_helps_against():
    assert rules.codes_for(RemedyIn("lift_block", ids=["x"])) == rules.REMEDIES["lift_block"].codes
    assert rules.codes_for(RemedyIn("lift_block", code="price")) == ("price",)


@pytest.mark.parametrize(("touches", "expected"), [(0, 0), (3, 3), (3, None), (2, 3)])
def test_as_many_as_were_reckoned_with_are_touched(touches, expected):
    rules.require_expected(touches, expected)


@pytest.mark.parametrize(("touches", "said"), [(4, "4"), (COUNT_MAX + 1, "more than 10000")])
def test_more_than_were_reckoned_with_are_not(touches, said):
    with pytest.raises(InConflict, match=f"touch {said},") as refused:
        rules.require_expected(touches, 3)
    assert refused.value.extra["touches"] == min(touches, COUNT_MAX)


def test_currencies_of_one_code_and_channel_are_one_row():
    rows = [
        Sum("short", "jd", "CNY", 2, 1, 300, NOW - HOUR, NOW + HOUR, COUNT_MAX + 1),
        Sum("short", "jd", "USD", 1, 0, 50, NOW, None, COUNT_MAX + 1),
        Sum("review", "jd", "CNY", 4, 0, None, NOW, None, 4),
    ]
    review, short = rules.summed(rows, NOW)
    assert (short.count, short.capped, short.overdue, short.oldest_seconds) == (3, True, 1, 3_600)
    assert short.at_risk == [Money(300, "CNY"), Money(50, "USD")]
    assert short.next_ship_by == "2026-11-11T01:00:00.000Z"
    assert (review.code, review.capped, review.at_risk, review.next_ship_by) == (
        "review", False, [], None,
    )  # fmt: skip
