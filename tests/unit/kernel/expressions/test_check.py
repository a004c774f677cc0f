"""Faults that were planted in conditions are told with line and column, all at once."""

import pytest

from engine.kernel.expressions.checking import Checker
from engine.kernel.expressions.judging import InvalidConditions, compile_conditions
from engine.kernel.expressions.schemas import NODE_SCHEMA, ORDER_SCHEMA
from engine.kernel.expressions.types import Invalid
from engine.kernel.limits import EXPRESSION_BYTES_MAX, EXPRESSIONS_BYTES_MAX

CHECKER = Checker(ORDER_SCHEMA)

FAULTS = {
    "a name": ("totl > 3", [(1, 1, "no field or function totl: is it total?")]),
    "no name near": ("xyzzy == 1", [(1, 1, "fields are channel, campaign")]),
    "two lines": (
        "channel == 'a' &&\n  (total > 3 ||\n  wieght_g < 3)",
        [(3, 3, "no field or function wieght_g")],
    ),
    "all at once": (
        "totl > 3 && tier > 4 && remote > 's'",
        [(1, 1, "total"), (1, 18, "> is not for (string, int)"), (1, 32, "(bool, string)")],
    ),
    "characters, not bytes": ("'北京😀' == tier && totl == 3", [(1, 18, "total")]),
    "a number for a text": ("tags.exists(t, t == 3)", [(1, 18, "== is not for (string, int)")]),
    "a call": ("region.startsWith(3)", [(1, 18, "startsWith is not for (string, int)")]),
    "no such call": ("channel.lower() == 'a'", [(1, 14, "no field or function lower")]),
    "no condition": ("total", [(1, 1, "must be true or false (bool), and is int")]),
    "half of it": ("total >", [(1, 8, "ends too soon")]),
    "nothing": ("", [(1, 1, "ends too soon")]),
    "too much": ("total > 3 3", [(1, 11, "3 is not expected here")]),
    "an open text": ("channel == 'a", [(1, 12, "'a is not expected here"), (1, 14, "ends")]),
    "a pattern": ("remote ||\n region.matches('(a+')", [(2, 17, "invalid regular expression")]),
    "a pattern from a field": ("region.matches(tier)", [(1, 16, "must be written there")]),
    "a repeated pattern": (r"region.matches('(?i)\\pL{1000}')", [(1, 16, "no {n}")]),
    "a map": ("{'a': 1}.a == 1", [(1, 9, "not available")]),
    "a message": ("google.protobuf.Int64Value{value: 1} == 1", [(1, 1, "not available")]),
    "no types": ("type(total) == int", [(1, 5, "type is not available")]),
    "a type": ("total == 1 || int == int", [(1, 15, "the type int is not available")]),
    "dyn": ("dyn(total) == 'x'", [(1, 4, "dyn is not available")]),
    "a member": ("total.__class__ == 3", [(1, 6, "type 'int'")]),
    "a control character": ("channel == '\n\x07'", [(2, 1, "U+0007 has no place here")]),
    "half a pair": ("channel == '\ud800'", [(1, 13, "U+D800 has no place here")]),
    "a NUL": ("channel == '\x00'", [(1, 13, "U+0000")]),
    "a tower": ("(" * 500 + "remote" + ")" * 500, [(1, 1, "nested too deeply")]),
    "a long sum": ("1+" * 500 + "1 == total", [(1, 1, "nested too deeply")]),
    "a large number": ("9223372036854775808 == total", [(1, 1, "invalid int literal")]),
}


@pytest.mark.parametrize(("text", "told"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_told_with_its_place(text, told):
    with pytest.raises(Invalid) as refused:
        CHECKER.check(text)
    found = refused.value.mistakes
    assert [(one.line, one.column) for one in found] == [one[:2] for one in told]
    for mistake, (_, _, detail) in zip(found, told, strict=True):
        assert detail in mistake.detail
        assert "INVALID_ARGUMENT" not in mistake.detail
        assert "\n" not in mistake.detail


def test_a_condition_has_a_greatest_length():
    CHECKER.check("remote".ljust(EXPRESSION_BYTES_MAX))
    with pytest.raises(Invalid, match="more than 2048 bytes"):
        CHECKER.check("remote".ljust(EXPRESSION_BYTES_MAX + 1))
    with pytest.raises(Invalid, match="more than 2048 bytes"):
        CHECKER.check("channel == '" + "京" * 700 + "'")


def test_mistakes_of_several_conditions_come_together():
    with pytest.raises(InvalidConditions) as refused:
        compile_conditions(["remote", "totl > 3", "hops == 0", "total >"], ORDER_SCHEMA)
    assert [(n, one.line, one.column) for n, one in refused.value.mistakes] == [
        (1, 1, 1),
        (3, 1, 8),
    ]


def test_all_conditions_together_have_a_greatest_length():
    long = "remote".ljust(EXPRESSION_BYTES_MAX)
    fits = EXPRESSIONS_BYTES_MAX // EXPRESSION_BYTES_MAX
    compile_conditions([long] * fits, ORDER_SCHEMA)
    with pytest.raises(InvalidConditions) as refused:
        compile_conditions([*[long] * fits, "remote"], ORDER_SCHEMA)
    assert refused.value.mistakes[0][0] == fits


def test_a_node_is_asked_about_other_fields():
    judge = compile_conditions(["kind == 'STORE' && 'COLD' in tags"], NODE_SCHEMA)
    assert judge(NODE_SCHEMA.facts({"kind": "STORE", "tags": {"COLD", "X"}})) == 1
    with pytest.raises(InvalidConditions, match="no field or function total"):
        compile_conditions(["total > 1"], NODE_SCHEMA)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"totl": 1}, "totl is not a field"),
        ({"total": "1"}, "total must be int"),
        ({"total": True}, "total must be int"),
        ({"total": 1.0}, "total must be int"),
        ({"total": 10**14 + 1}, "at most 100000000000000"),
        ({"remote": 1}, "remote must be bool"),
        ({"channel": "a" * 129}, "at most 128"),
        ({"tags": "FRESH"}, r"tags must be list\(string\)"),
        ({"tags": ["a"] * 65}, "at most 64"),
        ({"tags": [1]}, r"tags must be list\(string\)"),
        ({"tags": ["a" * 129]}, r"tags must be list\(string\)"),
    ],
)
def test_facts_that_no_field_takes_are_refused(values, told):
    with pytest.raises(ValueError, match=told):
        ORDER_SCHEMA.facts(values)
