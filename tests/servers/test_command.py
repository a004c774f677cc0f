"""The command line: quick help, exit codes, sentences instead of tracebacks."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = ("aiohttp", "redis", "asyncpg", "uvloop", "rich", "structlog", "msgspec", "asyncio")


def tidegate(*words, **env):
    return subprocess.run(
        [sys.executable, "-m", "engine", *words],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_loads_nothing_heavy():
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "engine", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stderr
    modules = {line.rsplit("|", 1)[-1].strip() for line in loaded.splitlines()}
    assert "typer" in modules
    assert not modules & set(HEAVY)


def test_the_names_of_the_commands_are_fixed():
    told = tidegate("--help").stdout
    for name in ("up", "api", "worker", "migrate", "verify", "demo", "doctor", "openapi"):
        assert f"\n  {name} " in told


@pytest.mark.parametrize("words", [["verify"], ["migrate"], ["api"], ["key", "list"]])
def test_without_an_instance_the_answer_is_3_and_what_to_start(words, tmp_path):
    told = tidegate(*words, TIDEGATE_DATA_DIR=str(tmp_path), TIDEGATE_HTTP_PORT="1")
    assert told.returncode == 3
    assert "start one with `tidegate up`, or set TIDEGATE_DATABASE_URL" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_wrong_setting_is_a_usage_error():
    told = tidegate("config", "show", TIDEGATE_HTTP_PORT="x")
    assert told.returncode == 2
    assert told.stderr == "TIDEGATE_HTTP_PORT='x' is not a whole number\n"


def test_config_show_tells_origins_and_hides_secrets():
    told = tidegate("config", "show", TIDEGATE_ADMIN_KEY="tg-secret", TIDEGATE_CELL="7")
    assert told.returncode == 0
    assert "tg-secret" not in told.stdout
    assert [line.split() for line in told.stdout.splitlines() if "CELL" in line] == [
        ["TIDEGATE_CELL", "7", "(environment)"]
    ]


def test_the_doctor_prints_one_document_and_finds_a_mistyped_setting(tmp_path):
    told = tidegate("doctor", "--json", TIDEGATE_DATA_DIR=str(tmp_path), TIDEGATE_HTPP_PORT="1")
    assert told.returncode == 1
    assert told.stderr == ""
    (finding, *_) = json.loads(told.stdout)["findings"]
    assert (finding["area"], finding["level"]) == ("settings", "mend")
    assert "did you mean TIDEGATE_HTTP_PORT?" in finding["remedy"]


def test_an_unknown_command_is_a_usage_error():
    assert tidegate("ups").returncode == 2
