"""`tidegate route check` as it is run: by its exit code, its output and its time."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLANS = sorted((ROOT / "plans").glob("*.yaml"))
GOOD = """\
plan: main
stages: [{seq: 1, rules: [{seq: 1, when: total > 0, scorers: [{metric: distance}]}]}]
world: {nodes: {A: {}}, stock: {S: {A: 1}}}
examples:
  - order: {lines: {S: 1}}
    expect: {parts: {A: {"1": 1}}}
"""


def check(path, *flags, code=""):
    command = [sys.executable, "-m", "engine", "route", "check", str(path), *flags]
    if code:
        command[1:3] = ["-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("TIDEGATE_DATABASE_URL", "TIDEGATE_VALKEY_URL"):
        environment.pop(name, None)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def test_a_good_plan_is_told_in_a_line_and_within_a_second(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(GOOD)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = check(path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout == "main: 1 stages, 1 rules, 1 of 1 examples as expected\n"
    assert (done.returncode, done.stderr) == (0, "")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 1.0


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_plans_that_come_along_hold(path):
    done = check(path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_plan_in_the_readme_holds(page, tmp_path):
    text = (ROOT / page).read_text(encoding="utf-8")
    path = tmp_path / "plan.yaml"
    path.write_text("plan:" + text.partition("```yaml\nplan:")[2].partition("```")[0])
    done = check(path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 of 2 examples as expected" in done.stdout


def test_a_fault_has_the_files_line_and_column(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(GOOD.replace("total > 0", "totl > 0"))
    done = check(path)
    assert done.returncode == 1
    assert done.stderr == (
        f"{path}:2:42: stages.0.rules.0.when: there is no field or function totl: is it total?\n"
    )
    told = json.loads(check(path, "--json").stdout)
    assert told == {
        "valid": False,
        "errors": [
            {
                "pointer": "/stages/0/rules/0/when",
                "detail": "there is no field or function totl: is it total?",
                "line": 2,
                "column": 42,
            }
        ],
    }


def test_an_example_that_fails_is_exit_1(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(GOOD.replace('{"1": 1}', '{"1": 2}'))
    done = check(path)
    assert done.returncode == 1
    assert done.stderr == (
        f'{path}:5:5: example 1: parts: expected {{"A":{{"1":2}}}}, decided {{"A":{{"1":1}}}};'
        " rule 1 placed\n"
    )
    told = json.loads(check(path, "--json").stdout)
    assert (told["valid"], told["examples"], len(told["failed"])) == (False, 1, 1)


def test_what_is_no_text_is_exit_2(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_bytes(b"\xff\xfe")
    done = check(path)
    assert done.returncode == 2
    assert "no text in UTF-8" in done.stderr
    assert check(tmp_path / "none.yaml").returncode == 2


def test_without_the_library_it_is_exit_3_and_a_sentence(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(GOOD)
    code = (
        "import sys; sys.modules['cel_expr_python'] = None;"
        "from engine.__main__ import main; sys.argv[0] = 'tidegate'; main()"
    )
    done = check(path, code=code)
    assert done.returncode == 3
    assert done.stderr.startswith("Conditions need the library cel-expr-python, which is not")
    assert "Traceback" not in done.stderr
