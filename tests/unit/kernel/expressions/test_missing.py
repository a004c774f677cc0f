"""Where the library has no wheel, everything else runs, and who needs it is told what to do."""

import subprocess
import sys

import pytest

from engine.kernel.errors import NotInstalled
from engine.kernel.expressions import checking
from engine.kernel.expressions.judging import compile_conditions
from engine.kernel.expressions.schemas import ORDER_SCHEMA

WITHOUT = """
import sys
sys.modules["cel_expr_python"] = None
import engine.app, engine.worker, engine.__main__
from engine.kernel.expressions import checking, judging
assert checking.cel is None
"""


def test_everything_can_be_imported_without_it():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_a_checker_says_what_to_install(monkeypatch):
    monkeypatch.setattr(checking, "cel", None)
    with pytest.raises(NotInstalled, match="pip install cel-expr-python"):
        checking.Checker(ORDER_SCHEMA)


def test_what_has_no_conditions_needs_no_library(monkeypatch):
    monkeypatch.setattr(checking, "cel", None)
    assert compile_conditions([], ORDER_SCHEMA).count == 0
    with pytest.raises(NotInstalled):
        compile_conditions(["cod > 1"], ORDER_SCHEMA)
