"""One child process: how it is started so that it never outlives us, and how it is stopped.

Linux sends a child its parent-death signal when the *thread* that forked it ends, so children are
forked only by a thread that lives as long as the process (supervisor.py). Elsewhere there is no
such signal and a parent killed with -9 leaves its servers running.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1

_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who runs a child: ourselves, or another uid, directly or inside a user namespace."""

    uid: int | None = None
    wrapper: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to start and stop one child, again and again.

    `orphan_signal` is what it gets when we are killed; `stop_signals` are sent in turn, each given
    `stop_seconds`, before SIGKILL.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str]
    account: Account = field(default_factory=Account)
    orphan_signal: signal.Signals = signal.SIGKILL
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM,)
    stop_seconds: float = 10.0


def spawn(recipe: Recipe) -> subprocess.Popen[bytes]:
    """Start the child in a session of its own: Ctrl-C reaches us alone, and we stop in order."""
    owner = recipe.account
    with recipe.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - a fixed command of ours
            [*owner.wrapper, *recipe.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=dict(recipe.environment),
            start_new_session=True,
            preexec_fn=_die_with(os.getpid(), recipe.orphan_signal),  # noqa: PLW1509 - two syscalls, no locks
            user=owner.uid,
            group=owner.uid,
            extra_groups=None if owner.uid is None else [],
        )


def run_once(account: Account, command: list[str | Path], *, told: str = "") -> str:
    """Run a short command under an account and return what it printed.

    Raises:
        subprocess.CalledProcessError: it failed; `output` has its words.
    """
    return subprocess.run(  # noqa: S603 - a fixed command of ours
        [*account.wrapper, *command],
        input=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        check=True,
        timeout=60,
        user=account.uid,
        group=account.uid,
        extra_groups=None if account.uid is None else [],
    ).stdout


def stop(child: subprocess.Popen[bytes], recipe: Recipe) -> bool:
    """Ask, wait, ask harder, kill; say whether it went before it had to be killed."""
    for word in recipe.stop_signals:
        if child.poll() is None:
            child.send_signal(word)
        try:
            child.wait(timeout=recipe.stop_seconds)
        except subprocess.TimeoutExpired:
            continue
        return True
    child.kill()
    child.wait()
    return False


def last_words(log: Path, *, bytes_max: int = 4_096) -> str:
    """Return the last line of a child's log, for a message that says why it died."""
    if not log.is_file():
        return "(nothing)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - bytes_max))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "(nothing)")


def until(condition: Callable[[], bool], *, within_s: float, every_s: float = 0.02) -> bool:
    """Ask until it is so; False when the time is over."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)
    return True


def _die_with(parent: int, word: signal.Signals) -> Callable[[], None] | None:
    if _LIBC is None:
        return None
    libc = _LIBC

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(word))
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)

    return ask
