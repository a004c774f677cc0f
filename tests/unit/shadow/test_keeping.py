"""Which facts are kept, in any order of arrival."""

from itertools import permutations

import pytest

from engine.shadow.rules.keeping import Candidate, rank, sort


@pytest.mark.parametrize(
    ("older", "newer"), [("9", "10"), ("", "1"), ("", "a"), ("a", "b"), ("2", "a"), ("B", "a")]
)
def test_versions_of_digits_are_numbers_and_all_others_bytes(older, newer):
    assert rank(older) < rank(newer)


def test_the_newest_version_counts_in_any_order_of_arrival():
    told = [Candidate(n, ("o-1",), str(n), (f"contents {n}",)) for n in (8, 9, 10)]
    for some in permutations(told):
        there = {}
        for one in some:
            found = sort([one], there)
            assert found.faults == []
            there |= {key: (fact[0].split()[1], fact) for key, fact in found.write.items()}
        assert there[("o-1",)][1] == ("contents 10",)


def test_the_same_again_changes_nothing_and_something_else_is_refused():
    there = {("o-1",): ("1", ("three",))}
    again = sort([Candidate(2, ("o-1",), "1", ("three",))], there)
    assert (again.write, again.counts["unchanged"], again.faults) == ({}, 1, [])
    other = sort([Candidate(2, ("o-1",), "1", ("four",))], there)
    assert other.write == {}
    assert other.faults == [(2, "", "was told before with other contents at version 1")]


def test_a_file_that_contradicts_itself_keeps_the_first():
    told = [Candidate(2, ("o-1",), "", ("three",)), Candidate(3, ("o-1",), "", ("four",))]
    found = sort(told, {})
    assert found.write == {("o-1",): ("three",)}
    assert [fault.n for fault in found.faults] == [3]
