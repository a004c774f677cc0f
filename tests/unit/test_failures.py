"""Each failure that others met has a test here; the table that says so names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "FAILURES.md"
ROW = re.compile(r"^\| (\d+) \|(.*)\|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows():
    return {number: TEST.findall(rest) for number, rest in ROW.findall(TABLE.read_text())}


def names_in(path):
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize("number", rows())
def test_a_failure_has_tests_that_exist(number):
    named = rows()[number]
    assert named, "no test is named"
    for path, name in named:
        assert name in names_in(path), f"{path} has no {name}"


def test_control_a_test_that_is_not_there_is_noticed():
    assert "test_that_nobody_wrote" not in names_in("tests/unit/test_failures.py")
    assert len(rows()) >= 37
