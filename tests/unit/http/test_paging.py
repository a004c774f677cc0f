"""Cursors are ours, whatever comes back."""

import base64

import pytest

from engine.infra.http.paging import Page, cursor, read_page
from engine.kernel.errors import ValidationFailed


def _raw(text):
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def test_a_page_ends_with_the_cursor_of_the_next():
    answer = Page(2, None).answer(["a", "b", "c"], lambda row: [row], str.upper)
    assert answer["items"] == ["A", "B"]
    assert read_page({"cursor": answer["next_cursor"]}, str).after == ["b"]


def test_the_last_page_has_no_cursor():
    answer = Page(2, None).answer(["a", "b"], lambda row: [row], str)
    assert answer == {"items": ["a", "b"], "next_cursor": None}


@pytest.mark.parametrize("key", [["双11", 7], ["", -1], ["a" * 128, 2**62]])
def test_a_cursor_carries_the_key(key):
    assert read_page({"cursor": cursor(key), "limit": "500"}, str, int).after == key


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "-1"},
        {"limit": "x"},
        {"limit": "9" * 5_000},
        {"limit": "\u0661"},
        {"cursor": "!"},
        {"cursor": "é"},
        {"cursor": "a"},
        {"cursor": "a" * 9_999},
        {"cursor": cursor([1])},
        {"cursor": cursor([True])},
        {"cursor": cursor(["a", "b"])},
        {"cursor": _raw(b"{}")},
        {"cursor": _raw(b'["a\\u0000"]')},
        {"cursor": _raw(b'["\xff"]')},
        {"cursor": _raw(b"[" * 1_000)},
    ],
    ids=lambda query: str(query)[:40],
)
def test_anything_else_is_refused(query):
    with pytest.raises(ValidationFailed):
        read_page(query, str)


def test_a_number_too_large_for_postgres_is_refused():
    with pytest.raises(ValidationFailed):
        read_page({"cursor": _raw(b"[99999999999999999999]")}, int)
