"""Where the library has no wheel, everything else runs, and who needs it is told what to do."""

import subprocess
import sys

import pytest

from engine.kernel.errors import NotInstalled
from engine.kernel.expressions import checking
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
