"""CPU time of other processes, as Linux tells it: exact to the nanosecond, threads included.

/proc/PID/stat counts in hundredths of a second, too coarse for a load of one; the kernel's clock of
a process is not. What a process' children used that have ended is only in the coarse count.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

_SCHED: Final = 2  # CPUCLOCK_SCHED of the kernel's posix-timers.h
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat behind the name, which may hold anything: state is the first.
_PARENT: Final = 1
_DEAD_CHILDREN: Final = slice(13, 15)
_STEAL: Final = 7
_IDLE: Final = slice(3, 5)

Roles = Mapping[str, Sequence[int]]


def visible() -> bool:
    """Whether this system tells the CPU time of other processes."""
    return sys.platform == "linux" and (PROC / "self" / "stat").is_file()


def read(roles: Roles) -> dict[str, float]:
    """Return seconds of CPU by role; a role without processes of this machine is left out."""
    if not visible():
        return {}
    return {role: sum(map(_seconds, pids)) for role, pids in roles.items() if pids}


def tree(root: int) -> list[int]:
    """Return a process and all that descend from it: a Postgres is one for each connection."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        fields = _stat(pid)
        if fields:
            children.setdefault(int(fields[_PARENT]), []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def resident(pid: int) -> int:
    """Return the bytes of memory a process has; 0 where that cannot be seen."""
    try:
        pages = (PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * _PAGE


def cores() -> int:
    """Return how many cores we may use, which may be fewer than there are."""
    may = getattr(os, "sched_getaffinity", None)
    return len(may(0)) if may else os.cpu_count() or 1


def machine() -> float | None:
    """Return seconds of CPU that all processes together had, and other machines took from us."""
    if not visible():
        return None
    line = (PROC / "stat").read_text(encoding="ascii").split("\n", 1)[0]
    counts = [int(word) for word in line.split()[1 : 2 + _STEAL]]
    return (sum(counts) - sum(counts[_IDLE])) / _TICKS_PER_S


def _seconds(pid: int) -> float:
    try:
        own = time.clock_gettime(~pid << 3 | _SCHED)
    except OSError:
        return 0.0  # it ended; whoever reaped it has its time among its children's
    ended = sum(map(int, _stat(pid)[_DEAD_CHILDREN]))
    return own + ended / _TICKS_PER_S


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal())


def _stat(pid: int) -> list[str]:
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
