"""Builds that are broken on purpose: a copy of the package with one thing undone."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.simulation.drill.summary import Summary

ROOT = Path(__file__).parents[2]
WITHIN_S = 120

Break = Callable[[Path], None]


def copy(folder: Path) -> Path:
    """Return a folder with a copy of everything that runs."""
    for name in ("engine", "lua", "loadtest"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def guard_removed(build: Path) -> None:
    """Plain claims are taken without a look at what is there."""
    undo(build / "lua/include/plain.lua", " or pool[AVAILABLE] < units then", " then")


def everysec(build: Path) -> None:
    """The cell's server syncs once a second, and nobody looks whether it does."""
    undo(build / "engine/infra/servers/valkey.py", 'else "always"', 'else "everysec"')
    undo(build / "engine/infra/preflight.py", '"fsync": ("always",)', '"fsync": ("everysec",)')


def retries_on(build: Path) -> None:
    """Calls that got no answer are sent again by the client, as redis-py does by default."""
    undo(
        build / "engine/infra/cell.py",
        "            raw, *disks = await self._wires.ask(*asked)\n",
        "            for again in range(10):\n"
        "                try:\n"
        "                    raw, *disks = await self._wires.ask(*asked)\n"
        "                    break\n"
        "                except (RedisError, OSError):\n"
        "                    if again == 9:\n"
        "                        raise\n"
        "                    await asyncio.sleep(0.01)\n",
    )


def undo(path: Path, what: str, instead: str) -> None:
    """Replace a piece of code that must be there once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(what) == 1, f"{path}: {what!r}"
    path.write_text(text.replace(what, instead), encoding="utf-8")


def drill(scenario: str, runs: Path, build: Path = ROOT) -> tuple[int, Summary, str]:
    """Run a short drill with a build; return its exit code, its summary and what it said."""
    environment = {key: value for key, value in os.environ.items() if "TIDEGATE" not in key}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine", "drill", "run", scenario, "--short", "--json",
         "--runs", str(runs)],
        env=environment | {"PYTHONPATH": str(build)},
        cwd=runs,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, msgspec.json.decode(done.stdout, type=Summary), done.stderr
