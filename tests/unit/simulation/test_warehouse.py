"""The simulated warehouse: the same seed does the same, every knob does what it says."""

from itertools import pairwise

import pytest

from engine.simulation.warehouse import Books, Knobs
from engine.simulation.warehouse.languages import plain_report, qimen_report
from engine.wms.rules import plain, qimen
from engine.wms.types import Item
from tests.unit.wms.samples import NOW, NOW_MS, QIMEN

LINES = (Item("A", 3, "o-1", owner="OWN"), Item("B", 1, "o-2", owner="OWN"))
LONG_MS = 1_000_000


def play(knobs, codes=40, cancel_after=None):
    """Ask for some consignments, cancel each after a while, and let all of it happen."""
    books = Books(knobs)
    asked = []
    for n in range(codes):
        at = NOW_MS + 10 * n
        asked.append((at, "create", f"c{n}"))
        if cancel_after is not None:
            asked.append((at + cancel_after, "cancel", f"c{n}"))
    answers = {}
    for at, call, code in sorted(asked):
        if call == "create":
            answers[call, code] = books.create(code, LINES, "SF", "", at)
        else:
            answers[call, code] = books.cancel(code, at)
    return books, books.tell(NOW_MS + LONG_MS), answers


def kinds(reports, code):
    return [report.kind for report in reports if report.consignment_id == code]


def shipped(books, code):
    return sum(item.units for _, item in books.held[code].left)


def test_a_good_one_ships_everything_once_and_tells_so_in_its_order():
    books, reports, _ = play(Knobs())
    for code in books.held:
        assert kinds(reports, code) == ["ACCEPTED", "PROGRESS", "PROGRESS", "SHIPPED"]
        told = [report for report in reports if report.consignment_id == code]
        assert all(one.at <= after.at for one, after in pairwise(told))
        assert books.held[code].left[0][0] == int(told[-1].at.timestamp() * 1_000)
        assert shipped(books, code) == 4
    assert len({report.packages[0].waybill for report in reports if report.packages}) == 40
    assert books.next_ms() is None


def test_the_seed_decides_whatever_the_order_of_calls():
    knobs = Knobs(seed=5, reject=0.2, lack=0.3, partial=0.4, split_parcels=0.3, reorder=0.3)
    one, two = Books(knobs), Books(knobs)
    codes = [f"c{n}" for n in range(30)]
    for books, order in ((one, codes), (two, codes[::-1])):
        for code in order:
            books.create(code, LINES, "SF", code, NOW_MS)
        books.run(NOW_MS + LONG_MS)
    assert one.held == two.held
    other = Books(knobs._replace(seed=6))
    for code in codes:
        other.create(code, LINES, "SF", code, NOW_MS)
    other.run(NOW_MS + LONG_MS)
    assert one.held != other.held


def test_a_code_begins_one_consignment_however_often_it_is_asked_for():
    books = Books(Knobs())
    assert books.create("c", LINES, "SF", "", NOW_MS).code == ""
    assert books.create("c", LINES, "SF", "", NOW_MS).code == "exists"
    books.run(NOW_MS + LONG_MS)
    assert books.create("c", LINES, "SF", "", NOW_MS + LONG_MS).code == "exists"
    assert (books.held["c"].made, books.held["c"].asked, shipped(books, "c")) == (1, 3, 4)


def test_a_cancel_in_time_stops_it_and_a_late_one_does_not():
    books, reports, answers = play(Knobs(cancel_until="shipped"), cancel_after=1)
    assert all(answers["cancel", code].code == "" for code in books.held)
    assert all(shipped(books, code) == 0 for code in books.held)
    assert not {report.kind for report in reports} & {"SHIPPED", "PARTLY_SHIPPED"}
    assert books.cancel("c0", NOW_MS + LONG_MS).code == "cancelled"
    assert books.create("c0", LINES, "SF", "", NOW_MS + LONG_MS).code == "cancelled"

    books, _, answers = play(Knobs(), cancel_after=400)
    assert all(answers["cancel", code].code == "too_late" for code in books.held)
    assert all(shipped(books, code) == 4 for code in books.held)
    assert books.cancel("never", NOW_MS).code == "no_such_order"


@pytest.mark.parametrize("after", range(0, 160, 20))
def test_whoever_was_told_that_it_is_cancelled_gets_nothing(after):
    for more in ({}, {"cancels_later": True}, {"late_cancel": 0.5, "cancels_later": True}):
        books, reports, answers = play(Knobs(seed=after, partial=0.5, **more), cancel_after=after)
        for code, held in books.held.items():
            assert held.left_after_said == 0
            told = kinds(reports, code)
            cancelled = "CANCELLED" in told or (
                not answers["cancel", code].code and not answers["cancel", code].pending
            )
            assert cancelled == (held.state == "cancelled")
            assert cancelled != bool(held.left)


def test_taken_note_of_and_answered_when_it_has_left():
    books, reports, answers = play(Knobs(late_cancel=1, cancels_later=True), cancel_after=1)
    assert all(answers["cancel", code].pending for code in books.held)
    for code in books.held:
        assert kinds(reports, code)[-2:] == ["SHIPPED", "CANCEL_FAILED"]
    _, _, answers = play(Knobs(late_cancel=1), cancel_after=1)
    assert {one.code for (call, _), one in answers.items() if call == "cancel"} == {"busy"}


def test_no_such_order_though_it_is_there():
    books, _, answers = play(Knobs(cancel_unknown=1), cancel_after=1)
    assert all(answers["cancel", code].code == "no_such_order" for code in books.held)
    assert all(shipped(books, code) == 4 for code in books.held)


def test_a_cancelled_one_is_begun_again_only_where_the_knob_says_so():
    books, _, _ = play(Knobs(recreates=1, cancel_until="shipped"), cancel_after=1)
    assert books.create("c0", LINES, "SF", "", NOW_MS + LONG_MS).code == ""
    books.run(NOW_MS + 2 * LONG_MS)
    assert (books.held["c0"].made, shipped(books, "c0")) == (2, 4)
    assert books.held["c0"].left_after_said == 4


def test_lies_are_seen_in_the_books():
    books, _, answers = play(Knobs(lies=1, cancel_until="shipped"), cancel_after=1)
    assert all(answers["cancel", code].code == "" for code in books.held)
    assert all(held.left_after_said == 4 for held in books.held.values())


def test_rejected_ones_do_not_leave():
    books, reports, _ = play(Knobs(reject=1))
    assert all(kinds(reports, code) == ["REJECTED"] for code in books.held)
    assert all(shipped(books, code) == 0 for code in books.held)


def test_what_is_lacking_does_not_leave():
    books, reports, _ = play(Knobs(lack=1, partial=0.5))
    for code in books.held:
        [lack] = [r for r in reports if r.kind == "LACK" and r.consignment_id == code]
        assert shipped(books, code) + lack.lines[0].units == 4
    books = Books(Knobs(lack=1))
    books.create("one", LINES[1:], "SF", "", NOW_MS)
    assert kinds(books.tell(NOW_MS + LONG_MS), "one")[-2:] == ["LACK", "REJECTED"]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_told_sums_up_to_what_left(seed):
    knobs = Knobs(seed=seed, partial=0.6, split_parcels=0.6, lack=0.3)
    books, reports, _ = play(knobs)
    boxes = 0
    for code in books.held:
        told = [r for r in reports if r.consignment_id == code and r.packages]
        packed = sum(i.units for r in told for package in r.packages for i in package.items)
        assert packed == sum(item.units for r in told for item in r.lines) == shipped(books, code)
        assert [r.kind for r in told][-1] == "SHIPPED"
        boxes += sum(len(r.packages) for r in told)
    waybills = {package.waybill for r in reports for package in r.packages}
    assert len(waybills) == boxes > 40


def test_what_is_told_twice_late_and_in_another_order_is_the_same_set():
    usual = {report.report_id: report for report in play(Knobs(seed=2))[1]}
    knobs = Knobs(seed=2, repeat_callback=0.5, reorder=0.5, lost_callback=0.5)
    _, reports, _ = play(knobs)
    assert len(reports) > len(usual)
    assert {report.report_id: report for report in reports} == usual
    places = [[r.report_id for r in reports if r.consignment_id == f"c{n}"] for n in range(40)]
    assert any(place != sorted(place) for place in places)


def test_nothing_is_told_before_it_may_be():
    books = Books(Knobs(silent_until=NOW_MS + LONG_MS))
    books.create("c", LINES, "SF", "", NOW_MS)
    assert books.tell(NOW_MS + LONG_MS - 1) == []
    assert shipped(books, "c") == 4
    assert len(books.tell(NOW_MS + LONG_MS)) == 4


def test_what_is_told_is_read_as_it_was_meant_in_both_languages():
    knobs = Knobs(seed=1, reject=0.2, lack=0.4, partial=0.5, split_parcels=0.5, late_cancel=0.5,
                  cancels_later=True)  # fmt: skip
    _, reports, _ = play(knobs, cancel_after=30)
    assert {report.kind for report in reports} >= {
        "ACCEPTED", "PROGRESS", "SHIPPED", "PARTLY_SHIPPED", "CANCELLED", "CANCEL_FAILED",
        "REJECTED", "LACK",
    }  # fmt: skip
    for report in reports:
        whole = report._replace(at=NOW)
        [read] = plain.told(plain_report(whole), "HZ", NOW)
        assert read == whole
        [read] = qimen.told(*qimen_report(whole, QIMEN), "HZ", NOW)
        if report.kind in {"SHIPPED", "PARTLY_SHIPPED", "LACK"}:
            assert read.report_id == whole.report_id
        lines = tuple(item._replace(line="") for item in read.lines)
        wanted = tuple(item._replace(line="") for item in whole.lines)
        if report.kind == "LACK":
            wanted = tuple(item._replace(owner="") for item in wanted)
        assert lines == wanted
        assert read._replace(report_id="", lines=(), text="") == whole._replace(
            report_id="", lines=(), text=""
        )
