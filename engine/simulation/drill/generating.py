"""The generator: Locust in processes of its own, told by files what to do and when to begin."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

import msgspec

from engine import settings as settings_of
from engine.kernel import codec
from engine.kernel.clock import Clock
from engine.kernel.errors import EngineError
from engine.settings import Settings
from engine.simulation.drill import scenarios
from engine.simulation.drill.plan import Plan
from engine.simulation.drill.tally import Seen

NAME: Final = "Locust"

_READY_WITHIN_S: Final = 60.0
_BEGINS_AFTER_S: Final = 0.1
_POLL_S: Final = 0.02
_STOPS_WITHIN_S: Final = 20.0


class GeneratorFailed(EngineError):
    """The generator could not be started, or ended without a result."""

    code = "generator_failed"


class Progressed(msgspec.Struct):
    """What one process tells each second."""

    at_s: float = 0.0
    cpu: float = 0.0
    counts: dict[str, int] = {}


class Generator:
    """So many Locust processes; they are started early, because importing Locust takes a second."""

    def __init__(self, folder: Path, processes: int, key: str, settings: Settings) -> None:
        """Start them; they wait for their plan."""
        self._folder = folder.absolute()
        own = replace(settings, admin_key=key, database_url=None, valkey_url=None)
        environment = settings_of.environment(own)
        self._children = [self._start(shard, environment) for shard in range(processes)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()

    @property
    def pids(self) -> list[int]:
        """The processes, for their CPU."""
        return [child.pid for child in self._children]

    async def prepare(self, plan: Plan, clock: Clock) -> None:
        """Give each its part of the plan and wait until all are ready.

        Raises:
            GeneratorFailed: one is not; the sentence has its last words.
        """
        for shard in self._shards():
            part = msgspec.structs.replace(
                plan,
                shard=shard,
                shards=len(self._children),
                folder=str(self._folder),
                in_flight_max=max(1, plan.in_flight_max // len(self._children)),
            )
            self._write(f"plan-{shard}.json", codec.encode(part))
        until = clock.monotonic() + _READY_WITHIN_S
        while not all((self._folder / f"ready-{shard}").exists() for shard in self._shards()):
            self._refuse_dead()
            if clock.monotonic() > until:
                raise GeneratorFailed(f"Locust was not ready within {_READY_WITHIN_S:.0f} s")
            await asyncio.sleep(_POLL_S)

    def go(self, clock: Clock) -> float:
        """Say when the first arrival may come, and return that instant of the monotonic clock."""
        began = clock.monotonic() + _BEGINS_AFTER_S
        self._write("go", f"{began!r}".encode("ascii"))
        return began

    def told(self) -> list[Progressed]:
        """Return what each process told last."""
        found = []
        for shard in self._shards():
            try:
                raw = (self._folder / f"progress-{shard}.json").read_bytes()
                found.append(msgspec.json.decode(raw, type=Progressed))
            except (OSError, msgspec.MsgspecError):
                continue  # none yet, or it is being written
        return found

    async def finish(self, clock: Clock, within_s: float) -> list[Seen]:
        """Wait until all is sent and answered, and return what each process saw.

        Raises:
            GeneratorFailed: one ended without a result, or did not end.
        """
        until = clock.monotonic() + within_s
        paths = [self._folder / f"seen-{shard}.json" for shard in self._shards()]
        while not all(path.exists() for path in paths):
            self._refuse_dead(unless=paths)
            if clock.monotonic() > until:
                raise GeneratorFailed(f"Locust did not end within {within_s:.0f} s")
            await asyncio.sleep(_POLL_S)
        return [msgspec.json.decode(path.read_bytes(), type=Seen) for path in paths]

    def _refuse_dead(self, unless: Iterable[Path] = ()) -> None:
        if any(path.exists() for path in unless):
            return
        for shard, child in enumerate(self._children):
            if child.poll() is not None:
                log = (self._folder / f"locust-{shard}.log").read_text(errors="replace").strip()
                words = log.splitlines()[-1] if log else "(nothing)"
                raise GeneratorFailed(f"Locust ended ({child.returncode}); its log ends: {words}")

    def _start(self, shard: int, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        command = [
            sys.executable, "-P", "-m", "locust", "-f", str(scenarios.folder() / "openload.py"),
            "--headless", "--only-summary", "-L", "WARNING", "--stop-timeout", "1",
        ]  # fmt: skip
        own = {"TIDEGATE_DRILL_PLAN": str(self._folder / f"plan-{shard}.json")}
        with (self._folder / f"locust-{shard}.log").open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - a fixed command of ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,  # a locust.conf of the caller's is none of ours
                env=_importable(environment | own),
                start_new_session=True,
            )

    def _shards(self) -> range:
        return range(len(self._children))

    def _write(self, name: str, body: bytes) -> None:
        """Write a file so that who sees it sees all of it."""
        part = self._folder / f"{name}.part"
        part.write_bytes(body)
        part.rename(self._folder / name)


def _importable(environment: dict[str, str]) -> dict[str, str]:
    """Let the child find this very package, from wherever it was imported."""
    ours = str(Path(__file__).parents[3])
    paths = [ours, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return environment | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
