"""Nothing that an author writes is run as Python."""

import ast
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel.expressions import generating
from engine.kernel.expressions.checking import Checker
from engine.kernel.expressions.judging import Judge
from engine.kernel.expressions.schemas import ORDER_SCHEMA
from engine.kernel.expressions.types import Invalid
from tests.unit.kernel.expressions.made import Author, quoted

CHECKER = Checker(ORDER_SCHEMA)
OURS = re.compile(r"f\d+|s\d+|v|found|facts|any|all|len")
NODES = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.AugAssign, ast.If,
    ast.Return, ast.Name, ast.Constant, ast.Tuple, ast.Set, ast.BoolOp, ast.UnaryOp, ast.BinOp,
    ast.Compare, ast.IfExp, ast.Call, ast.Attribute, ast.GeneratorExp, ast.comprehension,
    ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
PAYLOADS = (
    "__import__('os').system('id')", "');__import__('os').abort();('", "{0.__class__}", "\\x27",
    '"""', "'''", "\n\nraise SystemExit", "f15", "facts", "lambda: 0", "#", "%s", "${x}", "\\",
    "\u2028import os", "\ufeff", "\u202e",
)  # fmt: skip
NAMES = (
    "__import__", "exec", "eval", "open", "globals", "facts", "judge", "found", "f0", "any",
    "__builtins__", "__class__", "os", "print", "breakpoint", "None", "lambda", "await", "s0",
)  # fmt: skip


def checked(text):
    """What a text is: a condition, or mistakes."""
    try:
        return CHECKER.check(text), ()
    except Invalid as invalid:
        return None, invalid.mistakes


def inspected(conditions):
    """The tree of some conditions, after looking at every node of it."""
    terms = {n: one.term for n, one in enumerate(conditions) if one.term}
    made = generating.tree(terms, ORDER_SCHEMA)
    for node in ast.walk(made):
        assert isinstance(node, NODES), node
        if isinstance(node, ast.Name):
            assert OURS.fullmatch(node.id), node.id
        if isinstance(node, ast.Attribute):
            assert node.attr in {"startswith", "endswith"}
        if isinstance(node, ast.Constant):
            assert type(node.value) in {bool, int, str}
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Attribute) or node.func.id in {"any", "all", "len"}
    return made


def test_random_conditions_make_none_but_our_own_names():
    author, found = Author(random.Random(6)), []
    while len(found) < 500:
        try:
            found.append(CHECKER.check(author.condition()))
        except Invalid:
            continue
    assert len(list(ast.walk(inspected(found)))) > 5_000


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_pythons_is_no_field_and_only_a_variable(name):
    for text in (name, f"{name}('id') == 1", f"channel.{name} == 'a'", f"{name}.system('id')"):
        with pytest.raises(Invalid):
            CHECKER.check(text)
    one, _ = checked(f"tags.exists({name}, {name} == 'GIFT' && '{name}' != channel)")
    if one is None:
        return  # reserved in CEL
    inspected([one])
    judge = Judge([one], ORDER_SCHEMA)
    assert judge(ORDER_SCHEMA.facts({"tags": ["GIFT"]})) == 1
    assert judge(ORDER_SCHEMA.facts({"tags": ["COLD"]})) == 0


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.sampled_from(PAYLOADS), st.text(max_size=60)),
    st.one_of(st.sampled_from(PAYLOADS), st.text(max_size=60)),
)
def test_a_text_is_compared_and_never_run(text, other):
    written = (
        f"channel == {quoted(text)} || {quoted(text)} in tags || tier.startsWith({quoted(text)})"
    )
    one, mistakes = checked(written)
    if one is None:
        assert "has no place here" in mistakes[0].detail
        return
    inspected([one])
    judge = Judge([one], ORDER_SCHEMA)
    for facts in (
        {"channel": text}, {"tags": [text]}, {"tier": text + "x"}, {"channel": other, "tier": "-"},
    ):  # fmt: skip
        values = ORDER_SCHEMA.facts(facts)
        holds = (
            facts.get("channel", "") == text
            or text in facts.get("tags", ())
            or str(facts.get("tier", "")).startswith(text)
        )
        assert judge(values) == judge.by_library(values) == int(holds)


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=80))
def test_any_text_at_all_is_a_condition_or_refused_with_a_place(text):
    one, mistakes = checked(text)
    if one is not None:
        inspected([one])
    for mistake in mistakes:
        assert mistake.line >= 1
        assert mistake.column >= 1
        assert mistake.detail


def test_a_judge_has_no_builtins_but_three():
    one = CHECKER.check("tags.exists(t, size(t) > 3)")
    made = generating.judge({0: one.term}, ORDER_SCHEMA)
    assert set(made.__globals__["__builtins__"]) == {"any", "all", "len"}
