"""What a log line tells of a failure: what and where, and nothing of what was sent."""

import subprocess
import sys

import msgspec
import pytest

from engine.infra import logs

CRASH = """
import logging, warnings
from engine.infra import logs
logs.configure("info", "one")
try:
    raise KeyError("SECRET")
except KeyError:
    logging.getLogger("a.library").exception("it broke\\nfuture: SECRET")
logging.getLogger("a.library").error("a value: %s", "SECRET")
logging.getLogger("a.library").info("not told")
logging.getLogger("a.library").critical("bad")
"""


def test_a_failure_is_told_by_its_kinds_and_places():
    try:
        try:
            int("SECRET")
        except ValueError as inner:
            raise KeyError("SECRET") from inner
    except KeyError as outer:
        told = logs.without_words(outer)
    assert told["error"] == "KeyError, from ValueError"
    assert "test_logs.py" in told["where"]
    assert told["where"].index('int("SEC') < told["where"].index("raise KeyError"), (
        "the first first"
    )


def test_what_postgres_refused_keeps_its_code():
    class Refused(Exception):
        sqlstate = "23505"

    assert logs.without_words(Refused("SECRET")) == {"error": "Refused 23505", "where": ""}


def test_no_failure_is_told_as_nothing():
    assert logs.without_words(None) == {}


@pytest.fixture(scope="module")
def lines():
    done = subprocess.run(
        [sys.executable, "-c", CRASH], capture_output=True, text=True, check=True, timeout=30
    )
    return [msgspec.json.decode(line) for line in done.stderr.splitlines()]


def test_what_a_library_warns_of_is_a_line_of_ours_without_its_words(lines):
    assert [(one["told"], one["level"]) for one in lines] == [
        ("it broke", "error"), ("a value: %s", "error"), ("bad", "error"),
    ]  # fmt: skip
    assert {(one["event"], one["logger"], one["process"]) for one in lines} == {
        ("library", "a.library", "one")
    }
    assert lines[0]["error"] == "KeyError"
    assert "SECRET" not in str([one | {"where": ""} for one in lines])
