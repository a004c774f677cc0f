"""Starts children, starts them again when they die, stops them.

Every fork is made by one thread that lives until the last child is gone: the parent-death signal
of a child fires when the thread that forked it ends (process.py). So a keeper may be called from
any thread, and from asyncio by `asyncio.to_thread`.
"""

import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final

from engine.infra.servers import process
from engine.infra.servers.errors import CannotStart
from engine.infra.servers.process import Recipe

RESTART_FIRST_SECONDS: Final = 0.1
RESTART_SECONDS_MAX: Final = 2.0
# A child that lived this long had really started: its next death begins the back-off anew.
SETTLED_SECONDS: Final = 10.0
DEATHS_ARE_A_PATTERN: Final = 3

_POLL_SECONDS: Final = 0.05


class _Child:
    """One child and what is known of its lives."""

    def __init__(self, recipe: Recipe, running: subprocess.Popen[bytes], *, wanted: bool) -> None:
        self.recipe = recipe
        self.running = running
        self.wanted = wanted
        self.started = time.monotonic()
        self.due: float | None = None
        self.restarts = 0
        self.deaths_in_a_row = 0

    @property
    def alive(self) -> bool:
        return self.running.poll() is None


class Keeper:
    """The children of this process, by name."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Start the forking thread; `tell` gets a sentence when a child dies or comes back."""
        self._tell = tell
        self._children: dict[str, _Child] = {}
        self._lock = threading.RLock()
        self._tasks: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._thread.start()

    def launch(self, recipe: Recipe, *, wanted: bool = True) -> None:
        """Start a child; with `wanted=False` it is not started again until `want`.

        Raises:
            CannotStart: it could not even be executed.
        """

        def begin() -> None:
            self._children[recipe.name] = _Child(recipe, process.spawn(recipe), wanted=wanted)

        try:
            self._in_thread(begin)
        except OSError as error:
            raise CannotStart(f"{recipe.command[0]} cannot be run: {error.strerror}.") from None

    def want(self, name: str) -> None:
        """From now on start this child again whenever it dies."""
        self._children[name].wanted = True

    def names(self) -> list[str]:
        """Return the names of all children, in the order they were first started."""
        return list(self._children)

    def recipe_of(self, name: str) -> Recipe:
        """Return how a child is started."""
        return self._children[name].recipe

    def pid_of(self, name: str) -> int | None:
        """Return a child's process id; None while it is dead."""
        running = self._children[name].running
        return running.pid if running.poll() is None else None

    def restarts_of(self, name: str) -> int:
        """Return how often a child was started again."""
        return self._children[name].restarts

    def kill(self, name: str, word: signal.Signals, *, restart: bool) -> int:
        """Send a child a signal and return the pid it went to."""
        with self._lock:
            child = self._children[name]
            child.wanted = restart
            child.running.send_signal(word)
            return child.running.pid

    def start_again(self, name: str) -> int:
        """Start a dead child now, without waiting for the back-off; return its pid."""
        child = self._children[name]
        process.until(lambda: not child.alive, within_s=10.0)
        self._in_thread(lambda: None if child.alive else self._revive(child))
        child.wanted = True
        return child.running.pid

    def stop(self, names: Sequence[str]) -> None:
        """Stop these children together and wait for the last of them."""
        with self._lock:
            children = [self._children[name] for name in names]
            for child in children:
                child.wanted = False
                if child.alive:
                    child.running.send_signal(child.recipe.stop_signals[0])
        for child in children:
            if not process.stop(child.running, child.recipe):
                self._tell(f"{child.recipe.name} did not stop when asked and was killed.")

    def close(self) -> None:
        """End the forking thread; every child must have been stopped."""
        self._closing = True
        self._thread.join()

    def _in_thread(self, task: Callable[[], Any]) -> None:
        done: Future[Any] = Future()
        self._tasks.put((task, done))
        done.result()

    def _keep(self) -> None:
        while not self._closing:
            try:
                task, done = self._tasks.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                self._tend()
                continue
            try:
                done.set_result(task())
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
                done.set_exception(error)

    def _tend(self) -> None:
        for child in list(self._children.values()):
            with self._lock:
                if child.wanted and not child.alive:
                    self._tend_dead(child)

    def _tend_dead(self, child: _Child) -> None:
        now = time.monotonic()
        if child.due is None:
            quick = now - child.started < SETTLED_SECONDS
            child.deaths_in_a_row = child.deaths_in_a_row + 1 if quick else 1
            wait = RESTART_FIRST_SECONDS * 2.0 ** (child.deaths_in_a_row - 1)
            child.due = now + min(wait, RESTART_SECONDS_MAX)
            self._tell(_obituary(child))
        elif now >= child.due:
            try:
                self._revive(child)
            except OSError as error:
                child.due = now + RESTART_SECONDS_MAX
                self._tell(f"{child.recipe.name} cannot be started again: {error.strerror}.")

    def _revive(self, child: _Child) -> None:
        child.running = process.spawn(child.recipe)
        child.started, child.due = time.monotonic(), None
        child.restarts += 1
        self._tell(f"{child.recipe.name} was started again.")


def _obituary(child: _Child) -> str:
    code = child.running.returncode
    cause = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    if child.deaths_in_a_row < DEATHS_ARE_A_PATTERN:
        return f"{child.recipe.name} {cause}."
    words = process.last_words(child.recipe.log)
    return (
        f"{child.recipe.name} {cause}, the {child.deaths_in_a_row}. time in a row; "
        f"its log {child.recipe.log} ends: {words}"
    )
