import pytest

from engine.kernel import traces

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{ID}-{SPAN}-01"


# what is given, and whether it is a traceparent by the specification
TABLE = [
    (GIVEN, True),
    (f"00-{ID}-{SPAN}-00", True),
    (f"00-{ID}-{SPAN}-01-more", False),  # nothing follows in this version
    (f"01-{ID}-{SPAN}-01", True),
    (f"cc-{ID}-{SPAN}-01-ab", True),  # of a version to come, more may
    (f"ff-{ID}-{SPAN}-01", False),
    (f"00-{'0' * 32}-{SPAN}-01", False),
    (f"00-{ID}-{'0' * 16}-01", False),
    (GIVEN.upper(), False),
    (f"00-{ID[:-1]}-{SPAN}-01", False),
    (f"{GIVEN}\n", False),
    ("", False),
]


@pytest.mark.parametrize(("given", "is_one"), TABLE)
def test_what_is_a_traceparent(given, is_one):
    assert traces.sane(given) is is_one
    assert traces.of({"traceparent": given}) == (given if is_one else "")


def test_a_request_without_one_has_none():
    assert traces.of({}) == ""


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)]
)
def test_whoever_began_it_says_whether_it_is_sampled(flags, sampled):
    assert traces.sampled(f"00-{ID}-{SPAN}-{flags}") is sampled


def test_no_trace_is_not_sampled():
    assert not traces.sampled("")


def test_its_id():
    assert traces.trace_id(GIVEN) == ID
