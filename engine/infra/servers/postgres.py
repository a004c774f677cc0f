"""An embedded Postgres: whose account it runs under, its cluster, and how it is started.

Postgres refuses to run as root. Root starts it as `nobody`; where that account cannot reach the
binaries or the data directory (a private home), as `nobody` inside a user namespace, so that no
directory's permissions are widened for it.
"""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.infra.servers.binaries import PostgresBinaries
from engine.infra.servers.errors import CannotStart
from engine.infra.servers.home import Home, write_private
from engine.infra.servers.ports import LOOPBACK
from engine.infra.servers.process import Account, Recipe, run_once

NAME: Final = "postgres"
USER: Final = "tidegate"
DATABASE: Final = "tidegate"
NOBODY: Final = 65_534
SOCKET_PATH_MAX: Final = 107

_MB: Final = 1 << 20
_SHARED_BUFFERS_MIN_MB: Final = 64
_SHARED_BUFFERS_MAX_MB: Final = 4_096
_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")

_CONFIGURATION: Final = """\
# Written at every start; put your own settings into postgresql.conf, after the include.
listen_addresses = '{host}'
port = {port}
unix_socket_directories = '{sockets}'
max_connections = 100
shared_buffers = '{shared_buffers_mb}MB'
max_wal_size = '2GB'
fsync = on
synchronous_commit = on
full_page_writes = on
log_timezone = 'UTC'
timezone = 'UTC'
"""
_INCLUDE: Final = "\ninclude 'tidegate.conf'\n"


def url(port: int, password: str, database: str = DATABASE) -> str:
    """Return the address of a database of an embedded Postgres."""
    return f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{database}"


def recipe(binaries: PostgresBinaries, home: Home, port: int) -> Recipe:
    """Make the cluster if there is none, write its configuration, return how to start it.

    Raises:
        CannotStart: the cluster is of another major version, or no account can run it.
    """
    cluster = home.path / NAME
    refuse_other_major(cluster, binaries)
    account = _account(binaries.folder, home.path)
    if not (cluster / "PG_VERSION").exists():
        _initialise(binaries, home, account, cluster)
    _give(cluster, account)
    _configure(cluster, port, account)
    return Recipe(
        name=NAME,
        command=(str(binaries.folder / "postgres"), "-D", str(cluster)),
        log=home.log(NAME),
        environment={"PATH": os.defpath, "LC_ALL": "C"},
        account=account,
        orphan_signal=signal.SIGINT,  # a fast shutdown; its backends end with it
        stop_signals=(signal.SIGINT, signal.SIGQUIT),
        stop_seconds=20.0,
    )


def refuse_other_major(cluster: Path, binaries: PostgresBinaries) -> None:
    """Raise CannotStart if this cluster was made by another major version of Postgres."""
    version = cluster / "PG_VERSION"
    found = version.read_text(encoding="utf-8").strip() if version.exists() else ""
    if found and found != str(binaries.major):
        raise CannotStart(
            f"{cluster} was made by Postgres {found} and the binaries in {binaries.folder} are of "
            f"{binaries.major}: set TIDEGATE_PG_BIN to a Postgres {found}, or TIDEGATE_DATA_DIR "
            "to another directory."
        )


def _account(binaries: Path, home: Path) -> Account:
    if os.geteuid() != 0:
        return Account()
    direct = Account(uid=NOBODY)
    if _works(direct, "test", "-x", binaries / "postgres") and _works(direct, "test", "-x", home):
        return direct
    unshare = shutil.which("unshare")
    if unshare:
        mapped = Account(
            wrapper=(unshare, "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
        )
        if _works(mapped, "test", "-x", binaries / "postgres"):
            return mapped
    raise CannotStart(
        f"Postgres does not run as root, and the account {NOBODY} can reach {binaries} or {home} "
        "neither directly nor in a user namespace: run Tidegate as an ordinary user, set "
        "TIDEGATE_DATA_DIR and TIDEGATE_PG_BIN to places it can read, or give "
        "TIDEGATE_DATABASE_URL."
    )


def _works(account: Account, *command: str | Path) -> bool:
    try:
        run_once(account, list(command))
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _initialise(binaries: PostgresBinaries, home: Home, account: Account, cluster: Path) -> None:
    """Make the cluster beside its place and move it there when it is whole."""
    draft, password = cluster.with_name("postgres.new"), cluster.with_name("postgres.init")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    write_private(password, home.secret("postgres.password"))
    _give(draft, account)
    _give(password, account)
    try:
        run_once(account, [
            binaries.folder / "initdb", "--pgdata", draft, "--username", USER,
            "--pwfile", password, "--auth", "scram-sha-256", "--encoding", "UTF8",
            "--locale", "C", "--data-checksums", *(["--no-sync"] if home.ephemeral else []),
        ])  # fmt: skip
        # Single-user mode needs neither a port nor psql, which not every package brings.
        run_once(
            account,
            [binaries.folder / "postgres", "--single", "-D", draft, "postgres"],
            told=f"CREATE DATABASE {DATABASE}\n",
        )
    except subprocess.CalledProcessError as error:
        told = (error.output or "").strip().splitlines() or ["(nothing)"]
        raise CannotStart(f"Postgres could not make {cluster}; it said: {told[-1]}") from None
    finally:
        password.unlink(missing_ok=True)
    with (draft / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(_INCLUDE)
    draft.rename(cluster)


def _configure(cluster: Path, port: int, account: Account) -> None:
    socket = cluster / f".s.PGSQL.{port}"
    path = cluster / "tidegate.conf"
    write_private(
        path,
        _CONFIGURATION.format(
            host=LOOPBACK,
            port=port,
            shared_buffers_mb=_shared_buffers_mb(),
            # A longer path does not fit into a socket's address; TCP is what we use anyway.
            sockets=cluster if len(os.fsencode(socket)) <= SOCKET_PATH_MAX else "",
        ),
    )
    _give(path, account)


def _shared_buffers_mb() -> int:
    """Return an eighth of the memory there is; other servers and the file cache need the rest.

    The keys of orders are digests, so each order touches other pages of an index than the last.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no such file, or "max"
        memory = min(memory, int(_CGROUP_LIMIT.read_text(encoding="ascii")))
    return min(max(memory // 8 // _MB, _SHARED_BUFFERS_MIN_MB), _SHARED_BUFFERS_MAX_MB)


def _give(path: Path, account: Account) -> None:
    """Make the files the account's; a data directory may have been made under another one."""
    if os.geteuid() != 0:
        return
    owner = account.uid if account.uid is not None else 0
    for each in [path, *(path.rglob("*") if path.is_dir() else [])]:
        if each.lstat().st_uid != owner:
            os.chown(each, owner, owner, follow_symlinks=False)
