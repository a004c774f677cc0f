"""The data directory: whose it is, what is in it, and that only one instance uses it.

    lock                the instance's flock, held as long as it lives
    run.json            the run file (engine/infra/runfile.py)
    admin.key           generated once, 0600
    postgres.password   generated once, 0600; valkey.password likewise
    postgres/ valkey/   the servers' own directories
    log/                one file a child, one older one kept
    metrics/            one socket a process, where TIDEGATE_METRICS_PORT is set

An ephemeral one lies in a directory of this user under the system's temporary directory and goes
when its owner stops; one left behind by kill -9 goes when the next ephemeral instance starts.
"""

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path
from typing import IO, Final

from engine.infra.servers.errors import CannotStart

# Root's Postgres runs as another account, which must pass through but not list.
_FOLDER_MODE: Final = 0o711


def shared_temporary() -> Path:
    """Return this user's folder for ephemeral instances; refuse one that somebody else made."""
    folder = Path(tempfile.gettempdir()) / f"tidegate-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise CannotStart(f"{folder} belongs to somebody else: remove it or set TMPDIR.")
    folder.chmod(_FOLDER_MODE)
    return folder


class Home:
    """One locked data directory."""

    def __init__(self, path: Path, *, ephemeral: bool) -> None:
        """Make the directory if need be and lock it.

        Raises:
            CannotStart: it cannot be written, or another instance holds it.
        """
        self.ephemeral = ephemeral
        try:
            self.path, self._lock = _temporary() if ephemeral else _lasting(path)
            (self.path / "log").mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise CannotStart(
                f"The data directory {path} cannot be used ({error.strerror}): set "
                "TIDEGATE_DATA_DIR to one you may write to."
            ) from None
        if self._lock is None:
            raise CannotStart(
                f"The data directory {self.path} is in use by another Tidegate: stop that one, or "
                "set TIDEGATE_DATA_DIR to another directory."
            )

    def log(self, name: str) -> Path:
        """Return a child's log file; what an earlier run wrote is kept beside it, once."""
        path = self.path / "log" / f"{name}.log"
        if path.exists():
            path.replace(path.with_suffix(".log.1"))
        return path

    def secret(self, name: str) -> str:
        """Return a secret of this instance, generated the first time."""
        path = self.path / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24))
        return path.read_text(encoding="utf-8").strip()

    def close(self) -> None:
        """Let go of the lock; an ephemeral directory is removed."""
        if self._lock is None:
            return
        if self.ephemeral:
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()
        self._lock = None


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner reads, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _locked(path: Path) -> IO[bytes] | None:
    """Return the lock file, held; None if another process holds it."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _lasting(path: Path) -> tuple[Path, IO[bytes] | None]:
    path.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
    return path, _locked(path / "lock")


def _temporary() -> tuple[Path, IO[bytes] | None]:
    parent = shared_temporary()
    # Held while one is made, so that the sweep of another start does not take it for a ruin.
    with (parent / "sweep").open("ab") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for ruin in parent.glob("run-*"):
            lock = _locked(ruin / "lock") if (ruin / "lock").exists() else None
            if lock is not None:
                shutil.rmtree(ruin, ignore_errors=True)
                lock.close()
        made = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        made.chmod(_FOLDER_MODE)
        return made, _locked(made / "lock")
