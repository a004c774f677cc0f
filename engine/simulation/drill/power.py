"""Power loss: what a server wrote and had not synced is gone when it comes back.

`kill -9` alone proves nothing of that, the page cache survives it. So strace follows the writes and
syncs of the append-only file, and after the kill the file is cut to its last synced length.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.infra.servers.errors import Missing
from engine.kernel.errors import EngineError

_CALL: Final = re.compile(r"^(?P<pid>\d+) +(?P<name>write|fdatasync|fsync)\((?P<fd>\d+)")
_RESUMED: Final = re.compile(r"^(?P<pid>\d+) +<\.\.\. (?P<name>write|fdatasync|fsync) resumed>")
_RESULT: Final = re.compile(r"= (?P<result>-?\d+)")
_ENDS_WITHIN_S: Final = 20
_UNSYNCED_S: Final = 0.6
_POLL_S: Final = 0.02


class CannotWatch(EngineError):
    """The system calls of the cell's server cannot be followed here."""

    code = "cannot_watch"


def require() -> None:
    """Refuse to begin without strace.

    Raises:
        Missing: it is not installed.
    """
    if shutil.which("strace") is None:
        raise Missing("power-loss follows what the disk was told by strace: install strace.")


class Watch:
    """Follows one server's append-only file by its system calls, from now on."""

    def __init__(self, pid: int, out: Path) -> None:
        """Attach.

        Raises:
            CannotWatch: this system does not let us.
        """
        self._out = out
        links = {link: link.resolve() for link in Path(f"/proc/{pid}/fd").iterdir()}
        found = [(int(link.name), path) for link, path in links.items() if path.suffix == ".aof"]
        if not found:
            raise CannotWatch("the cell's server has no append-only file open")
        self._fd, self._file = found[0]
        self._strace = subprocess.Popen(  # noqa: S603 - a fixed command of ours
            ["strace", "-f", "-s0", "-etrace=write,fdatasync,fsync", f"-p{pid}", "-o", str(out)],  # noqa: S607 - wherever it is
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._strace.stderr
        told = self._strace.stderr.readline()
        if "attached" not in told:
            raise CannotWatch(f"strace cannot follow the cell's server: {told.strip()}")

    def wait_worst(self, within_s: float) -> None:
        """Wait until nothing was synced for a while; syncing before each answer, there is none."""
        ends, count = time.monotonic() + within_s, -1
        since = ends
        while (now := time.monotonic()) < ends and now - since < _UNSYNCED_S:
            if (found := self._out.read_bytes().count(b"sync(")) != count:
                count, since = found, now
            time.sleep(_POLL_S)

    def cut(self) -> int:
        """Once the server is dead: cut its file to what was on the disk; return the bytes lost."""
        self._strace.communicate(timeout=_ENDS_WITHIN_S)
        lost = self._unsynced()
        with self._file.open("r+b") as file:
            file.truncate(self._file.stat().st_size - lost)
        return lost

    def _unsynced(self) -> int:
        """Return the bytes written after the last sync that ended had begun."""
        written = synced = 0
        begun: dict[str, int] = {}  # how much was written when a thread's sync began
        for thread, name, result in self._calls():
            if name == "write":
                written += max(0, result or 0)
            elif result is None:
                begun[thread] = written
            elif result == 0:
                synced = max(synced, begun.pop(thread, written))
        return written - synced

    def _calls(self) -> Iterator[tuple[str, str, int | None]]:
        """Yield (thread, call, result) on our file; of one that was interrupted the start first."""
        waiting: dict[str, str] = {}
        for line in self._out.read_text(encoding="utf-8", errors="replace").splitlines():
            call, resumed = _CALL.match(line), _RESUMED.match(line)
            result = _RESULT.search(line.rpartition(")")[2])
            value = int(result["result"]) if result else None
            if call and int(call["fd"]) == self._fd:
                if "<unfinished" in line:
                    waiting[call["pid"]] = call["name"]
                    value = None
                yield call["pid"], call["name"], value
            elif resumed and resumed["pid"] in waiting:
                yield resumed["pid"], waiting.pop(resumed["pid"]), value
