"""Settings: every variable is explained, a wrong one names itself, a secret stays one."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from engine import settings as settings_of
from engine.settings import Settings

EXAMPLE = Path(__file__).parents[2] / "ops" / "env.example"


def test_every_setting_is_in_the_example_and_nothing_else_is():
    explained = set(re.findall(r"^#?(TIDEGATE_\w+)=", EXAMPLE.read_text(), re.MULTILINE))
    assert explained == {settings_of.variable(one.name) for one in fields(Settings)}


def test_the_example_shows_the_defaults():
    lines = re.findall(r"^(TIDEGATE_\w+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert settings_of.load(dict(lines) | {"HOME": "/h"}) == settings_of.load({"HOME": "/h"})


# fmt: off
REFUSED = {
    "TIDEGATE_HTTP_PORT='x' is not a whole number":                ("HTTP_PORT", "x"),
    "TIDEGATE_HTTP_PORT='65536' is not between 0 and 65535":       ("HTTP_PORT", "65536"),
    "TIDEGATE_HTTP_PORT='-1' is not a whole number":               ("HTTP_PORT", "-1"),
    "TIDEGATE_API_PROCESSES='0' is not between 1 and 256":         ("API_PROCESSES", "0"),
    "TIDEGATE_DURABILITY='ram' is not one of fsync, memory, repl": ("DURABILITY", "ram"),
    "TIDEGATE_CELL='a b' is not 1 to 32 letters, digits, - or _":  ("CELL", "a b"),
    "TIDEGATE_ADMIN_KEY_FILE='/none' cannot be read: No such fil": ("ADMIN_KEY_FILE", "/none"),
}
# fmt: on


@pytest.mark.parametrize(("sentence", "given"), REFUSED.items(), ids=REFUSED)
def test_a_wrong_value_is_refused_by_name(sentence, given):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        settings_of.load({"TIDEGATE_" + given[0]: given[1]})


def test_an_empty_variable_is_an_unset_one():
    assert settings_of.load({"TIDEGATE_HTTP_PORT": ""}).http_port == 8080


def test_the_data_directory_follows_the_state_home():
    assert settings_of.load({"XDG_STATE_HOME": "/s"}).data_dir == Path("/s/tidegate")
    assert settings_of.load({"HOME": "/h"}).data_dir == Path("/h/.local/state/tidegate")


def test_a_secret_may_be_a_file(tmp_path):
    secret = tmp_path / "key"
    secret.write_text("tg-secret\n")
    env = {"TIDEGATE_ADMIN_KEY_FILE": str(secret)}
    assert settings_of.load(env).admin_key == "tg-secret"
    with pytest.raises(ValueError, match="are both set"):
        settings_of.load(env | {"TIDEGATE_ADMIN_KEY": "other"})


def test_a_secret_is_never_shown():
    env = {"TIDEGATE_ADMIN_KEY": "tg-secret", "TIDEGATE_DATABASE_URL": "postgresql://u:pw@h/d"}
    shown = {one.name: one for one in settings_of.show(env)}
    assert shown["admin_key"].value == "***"
    assert shown["database_url"].value == "postgresql://u:***@h/d"
    assert shown["database_url"].origin == "TIDEGATE_DATABASE_URL"
    assert shown["http_port"].origin == "default"
    loaded = repr(settings_of.load(env))
    assert "tg-secret" not in loaded
    assert "pw" not in loaded


def test_a_child_loads_the_same_settings():
    given = settings_of.load(
        {"TIDEGATE_VALKEY_URL": "redis://h:1/0", "TIDEGATE_EPHEMERAL": "yes", "HOME": "/h"}
    )
    inherited = {"PATH": "/bin", "TIDEGATE_HTTP_PORT": "1", "TIDEGATE_ADMIN_KEY_FILE": "/gone"}
    child = settings_of.environment(given, inherited)
    assert child["PATH"] == "/bin"
    assert settings_of.load(child) == given


def test_a_mistyped_variable_is_noticed():
    env = {"TIDEGATE_HTPP_PORT": "1", "TIDEGATE_HTTP_PORT": "1", "TIDEGATE_ADMIN_KEY_FILE": "f"}
    assert settings_of.unknown(env) == ["TIDEGATE_HTPP_PORT"]
