"""Documents of people: what they mean, where each value stands, what is refused."""

import json
import random
import re

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.limits import BODY_BYTES_MAX
from engine.kernel.located import Malformed, Place, read

PLAN = """\
# a comment
plan: main
stages:
  - seq: 10
    match: channel == 'a' &&
      totl > 3
    rules:
      - {seq: 1, when: "tier == \\"x\\" && totl > 1", name: 'it''s here: totl'}
      - seq: 2
        when: |
          remote &&
            totl > 2
      - seq: 3
        when: >-
          remote

          && totl > 2
"""


def test_values_stand_where_they_were_written():
    found = read(PLAN)
    assert found.value["stages"][0]["match"] == "channel == 'a' && totl > 3"
    assert found.place("/plan") == Place(2, 1)
    assert found.place("/stages") == Place(3, 1)
    assert found.place("/stages/0") == Place(4, 5)
    assert found.place("/stages/0/seq") == Place(4, 5)
    assert found.place("/stages/0/rules/0/when") == Place(8, 18)
    assert found.place("/stages/0/rules/1") == Place(9, 9)


def test_what_is_missing_stands_where_it_is_missed():
    assert read(PLAN).place("/stages/0/rules/1/name/x") == Place(9, 9)
    assert read("").place("/plan") == Place(1, 1)


@pytest.mark.parametrize("text", [PLAN, json.dumps(yaml.safe_load(PLAN), indent=1)])
def test_a_place_in_a_text_is_a_place_in_the_file(text):
    """Folded, quoted, escaped or as a block: the word is found where it is written."""
    found, lines = read(text), text.split("\n")
    for pointer in ("/stages/0/match", *(f"/stages/0/rules/{n}/when" for n in range(3))):
        value = found.value["stages"][0]
        for step in pointer.split("/")[3:]:
            value = value[int(step) if step.isdigit() else step]
        before = value[: value.index("totl")]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        place = found.inside(pointer, line, column)
        assert lines[place.line - 1][place.column - 1 :].startswith("totl"), pointer
        end = found.inside(pointer, value.count("\n") + 1, len(value) + 1)
        assert end > place


@pytest.mark.parametrize("style", ['"', "'", "|", ">", None])
def test_places_in_texts_of_any_style(style):
    rnd = random.Random(7)
    words = ["totl", "'京'", "&&", "(a", '"q"', "\\x", "==", "it's", "😀", "b)"]
    for _ in range(200):
        rnd.shuffle(words)
        value = "".join(one + rnd.choice((" ", " ", "  ", "\n", "\n  ")) for one in words).strip()
        document = yaml.safe_dump(
            {"a": {"b": [value]}}, default_style=style, allow_unicode=True, width=24
        )
        document = document.replace("!!str ", "")
        found = read(document)
        if found.value["a"]["b"][0] != value:
            continue  # a block that begins with a space, and others that YAML writes by a tag
        before = value[: value.index("totl")]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        place = found.inside("/a/b/0", line, column)
        assert document.split("\n")[place.line - 1][place.column - 1 :].startswith("totl"), document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: no", "no"), ("a: NO", "NO"), ("a: on", "on"), ("a: 007", "007"), ("a: 1_000", "1_000"),
        ("a: 1:30", "1:30"), ("a: 0x10", "0x10"), ("a: 2026-11-11", "2026-11-11"), ("a: .5", ".5"),
        ("a: ~", None), ("a:", None), ("a: null", None), ("a: true", True), ("a: -12", -12),
        ("a: 1.5", 1.5), ("a: '12'", "12"), ('a: "true"', "true"), ("a: 440305", 440305),
        ("a: [1, x]", [1, "x"]), ("a: {1: 2}", {"1": 2}), ('{"a": "\\ud83d\\ude00"}', "😀"),
        ('{"a": 1e3}', 1000.0),
    ],
)  # fmt: skip
def test_a_scalar_is_what_it_looks_like(text, value):
    found = read(text).value["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("a: 1\nb: 2\na: 3", (3, 1), "a is given twice"),
        ('{"a": 1,\n "a": 2}', (2, 2), "a is given twice"),
        ("a: &x 1\nb: *x", (1, 4), "anchors and aliases"),
        ("a: 1\nb: *x", (2, 4), "anchors and aliases"),
        ("a: !!python/object/apply:os.system ['id']", (1, 4), "tags are not read"),
        ("a: !x 1", (1, 4), "tags are not read"),
        ("a: 1\n---\nb: 2", (2, 1), "one document"),
        ("a: [1", (1, 6), "expected"),
        ("a: b: c", (1, 5), "mapping values"),
        ("\ta: 1", (1, 1), "cannot start any token"),
        ("[1, 2]: 3", (1, 1), "the name of a member is a text"),
        ('{"a": 1,}', (1, 8), "is not JSON"),
        ('{"a": NaN}', (1, 7), "is not JSON"),
        ("a: \x07", (1, 4), "a character that YAML has not"),
        ("a: '\ud800'", (1, 5), "surrogate"),
        ("a: " + "[" * 40 + "]" * 40, (1, 27), "24 levels deep"),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}", (1, 30), "24 levels deep"),
        ("a: [" + "1, " * 21_000 + "1]", None, "at most 20000 values"),
        ("a: " + "x" * BODY_BYTES_MAX, (1, 1), "more than"),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(text, place, told):
    with pytest.raises(Malformed, match=told) as refused:
        read(text)
    if place:
        assert refused.value.place == place


def test_bombs_are_refused_at_once():
    for text in ("[" * 500_000, "a: " + "{a: " * 100_000, '{"a":' * 100_000, "? " * 100_000,
                 "- " * 200_000, "&a [*a]"):  # fmt: skip
        with pytest.raises(Malformed):
            read(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_json_is_read_as_json(value):
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    assert read(text).value == value


@given(st.text(max_size=60))
def test_any_text_is_a_document_or_refused_at_a_place_in_it(text):
    breaks = len(re.findall("\r\n|[\n\r\x85\u2028\u2029]", text))
    try:
        place = read(text).place("/x")
    except Malformed as malformed:
        place = malformed.place
    assert 1 <= place.line <= breaks + 1
    assert 1 <= place.column <= len(text) + 1
