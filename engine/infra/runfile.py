"""The run file: how every other command finds the instance that `up`, `demo` … started.

It lies in the data directory. An ephemeral instance has no directory one could know, so its file
lies in this user's temporary folder, named by its HTTP port.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from engine.infra.servers.errors import Missing
from engine.infra.servers.home import shared_temporary, write_private
from engine.kernel.clock import SystemClock, rfc3339
from engine.settings import Settings

NAME: Final = "run.json"


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one running instance; it holds passwords, so only its owner reads it."""

    pid: int
    database_url: str
    valkey_url: str
    http_host: str
    http_port: int
    started_at: str


def write(folder: Path, settings: Settings) -> None:
    """Tell the others that this process runs an instance."""
    told = RunFile(
        pid=os.getpid(),
        database_url=settings.database_url or "",
        valkey_url=settings.valkey_url or "",
        http_host=settings.http_host,
        http_port=settings.http_port,
        started_at=rfc3339(SystemClock().now_ms()),
    )
    text = msgspec.json.format(msgspec.json.encode(told)).decode()
    write_private(_place(folder, settings), text + "\n")


def remove(folder: Path, settings: Settings) -> None:
    """Take our own run file away; another process' one stays."""
    path = _place(folder, settings)
    found = _read(path)
    if found is not None and found.pid == os.getpid():
        path.unlink(missing_ok=True)


def find(settings: Settings) -> RunFile | None:
    """Return the running instance meant: the one on this port, else the lasting one."""
    lasting = _alive(_read(settings.data_dir / NAME))
    if lasting is not None and lasting.http_port == settings.http_port:
        return lasting
    passing = _alive(_read(_place(settings.data_dir, replace(settings, ephemeral=True))))
    return passing or lasting


def attach(settings: Settings, *, database: bool = True, valkey: bool = True) -> Settings:
    """Return settings with the addresses of a running instance; given ones win.

    `database` and `valkey` say which of the two the command needs.

    Raises:
        Missing: one that is needed is neither given nor running (exit code 3).
    """
    needed = {"database_url": database, "valkey_url": valkey}
    missing = [name for name, need in needed.items() if need and getattr(settings, name) is None]
    if not missing:
        return settings
    found = find(settings)
    if found is None:
        variables = " and ".join(f"TIDEGATE_{name.upper()}" for name in missing)
        raise Missing(
            f"No Tidegate runs in {settings.data_dir} or, for a moment, on port "
            f"{settings.http_port}: start one with `tidegate up`, or set {variables}."
        )
    return replace(
        settings,
        database_url=settings.database_url or found.database_url,
        valkey_url=settings.valkey_url or found.valkey_url,
        http_host=found.http_host,
        http_port=found.http_port,
    )


def _place(folder: Path, settings: Settings) -> Path:
    if settings.ephemeral:
        return shared_temporary() / f"port-{settings.http_port}.json"
    return folder / NAME


def _read(path: Path) -> RunFile | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunFile)
    except (OSError, msgspec.MsgspecError):
        return None


def _alive(found: RunFile | None) -> RunFile | None:
    if found is None:
        return None
    try:
        os.kill(found.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # it lives, under another account
        return found
    return found
