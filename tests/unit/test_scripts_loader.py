"""Lua files are put together from fragments: once each, one level deep, and never silently not."""

import pytest

from engine.infra import scripts


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "one.lua").write_text("local one = 1\n")
    (tmp_path / "include" / "two.lua").write_text("local two = 2\n")
    return tmp_path


def put(folder, name, text):
    (folder / f"{name}.lua").write_text(text)
    return name


def test_fragments_are_pasted_where_they_are_named(folder):
    text = 'before\n--- @include "two"\nbetween\n--- @include "one"\nafter\n'
    found = scripts.source(put(folder, "script", text), folder)
    assert found == "before\nlocal two = 2\n\nbetween\nlocal one = 1\n\nafter\n"


def test_a_script_without_fragments_is_as_it_stands(folder):
    assert scripts.source(put(folder, "plain", "return 1\n"), folder) == "return 1\n"


# fmt: off
NOT_AN_INCLUDE = {
    "not at the start of a line": ' --- @include "one"\n',
    "an ordinary comment":        '-- @include "one"\n',
    "another name":               '--- @include "One"\n',
    "something behind it":        '--- @include "one" please\n',
}
# fmt: on


@pytest.mark.parametrize("text", NOT_AN_INCLUDE.values(), ids=NOT_AN_INCLUDE)
def test_what_only_looks_like_an_include_stays_a_comment(folder, text):
    assert scripts.source(put(folder, "script", text), folder) == text


WRONG = {
    "missing": ('--- @include "three"\n', 'includes "three", which is not in'),
    "twice": ('--- @include "one"\n--- @include "one"\n', "includes a fragment twice"),
    "nested": ('--- @include "deep"\n', "one level only"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_include_is_an_error(folder, text, said):
    (folder / "include" / "deep.lua").write_text('--- @include "one"\n')
    with pytest.raises(ValueError, match=said):
        scripts.source(put(folder, "script", text), folder)


def test_a_script_that_is_not_there_is_an_error(folder):
    with pytest.raises(FileNotFoundError):
        scripts.source("nothing", folder)


def test_without_any_scripts_the_installation_says_what_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setattr(scripts, "_PLACES", (tmp_path / "lua",))
    with pytest.raises(FileNotFoundError, match="reinstall"):
        scripts.root.__wrapped__()


def test_every_script_is_known_by_its_name_and_is_complete():
    names = scripts.names()
    assert names == sorted(names)
    assert {"reserve", "confirm", "release", "expire"} <= set(names)
    for name in names:
        assert "@include" not in scripts.source(name)
