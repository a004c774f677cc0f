"""An embedded Valkey: its configuration and how it is started."""

import os
import signal
from pathlib import Path
from typing import Final

from engine.infra.servers.binaries import ValkeyBinary
from engine.infra.servers.errors import CannotStart
from engine.infra.servers.home import Home, write_private
from engine.infra.servers.ports import LOOPBACK
from engine.infra.servers.process import Recipe
from engine.settings import Settings

NAME: Final = "valkey"

# `save ""`: the append-only file is the one truth; a snapshot beside it would only cost a fork.
# `aof-load-truncated yes`: a torn last write was never acknowledged.
# `latency-monitor-threshold` (ms): with `appendfsync always` nothing else tells of a slow fsync.
# `hash-max-listpack-entries`: a short hash is a list that is searched from its start, and a batch
# asks for a hundred rules and pools at once, half of them (pauses) not there: 4 % of a claim's CPU.
_CONFIGURATION: Final = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir {folder}
daemonize no
databases 1
io-threads 1
appendonly yes
appendfsync {appendfsync}
no-appendfsync-on-rewrite no
aof-load-truncated yes
save ""
latency-monitor-threshold 100
maxmemory {maxmemory_mb}mb
maxmemory-policy noeviction
hash-max-listpack-entries 32
tcp-backlog 511
timeout 0
"""


def url(port: int, password: str) -> str:
    """Return the address of an embedded Valkey."""
    return f"redis://:{password}@{LOOPBACK}:{port}/0"


def recipe(binary: ValkeyBinary, home: Home, settings: Settings, port: int) -> Recipe:
    """Write the configuration and return how to start the server.

    Raises:
        CannotStart: the durability profile needs a second server.
    """
    if settings.durability == "replica":
        raise CannotStart(
            "TIDEGATE_DURABILITY=replica needs a Valkey with a replica: start them yourself and "
            "set TIDEGATE_VALKEY_URL."
        )
    folder = home.path / NAME
    folder.mkdir(exist_ok=True, mode=0o700)
    write_private(folder / "valkey.conf", _configuration(folder, home, settings, port))
    return Recipe(
        name=NAME,
        command=(str(binary.path), str(folder / "valkey.conf")),
        log=home.log(NAME),
        environment={"PATH": os.defpath, "LC_ALL": "C"},
        orphan_signal=signal.SIGKILL,  # it could be inside a long script, deaf to anything softer
        stop_seconds=20.0,
    )


def _configuration(folder: Path, home: Home, settings: Settings, port: int) -> str:
    return _CONFIGURATION.format(
        host=LOOPBACK,
        port=port,
        password=home.secret("valkey.password"),
        folder=f'"{folder}"',
        appendfsync="everysec" if settings.durability == "memory" else "always",
        maxmemory_mb=settings.valkey_maxmemory_mb,
    )
