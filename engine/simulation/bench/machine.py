"""Where and with what a bench ran: figures without it say nothing."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec
from redis.asyncio import Redis

from engine import settings as settings_of
from engine.infra.postgres import Pool
from engine.simulation.bench import cpu

_PACKAGES: Final = ("aiohttp", "uvloop", "asyncpg", "redis", "hiredis", "msgspec", "orjson")
_GIT_WITHIN_S: Final = 5


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine as it was before anything was started."""

    cpu: str
    cores: int
    system: str
    load: list[float]
    commit: str


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What took part."""

    python: str
    valkey: str
    postgres: str
    packages: dict[str, str]


def look() -> Machine:
    """Look at the machine."""
    return Machine(
        cpu=_cpu_name(),
        cores=cpu.cores(),
        system=f"{platform.system()} {platform.release()}",
        load=[round(one, 2) for one in os.getloadavg()],
        commit=_commit(),
    )


async def versions(redis: Redis, pool: Pool) -> Versions:
    """Ask the servers what they are."""
    told = await redis.info("server")
    name = "valkey" if "valkey_version" in told else "redis"
    return Versions(
        python=platform.python_version(),
        valkey=f"{name} {told[f'{name}_version']}",
        postgres=str(await pool.fetchval("SHOW server_version")).split()[0],
        packages={name: metadata.version(name) for name in _PACKAGES},
    )


def _cpu_name() -> str:
    info = cpu.PROC / "cpuinfo"
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """Return the commit of the checkout we run from, `+` if it was changed; "" when there is none.

    Only a checkout of ours counts: an installed package may lie inside somebody else's.
    """
    folder = Path(__file__).resolve().parents[3]
    if not (folder / ".git").exists():
        return ""
    head = _git(folder, "rev-parse", "--short", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return head + "+" if head and changed else head


def _git(folder: Path, *words: str) -> str:
    try:
        return subprocess.run(  # noqa: S603 - fixed words of ours
            ["git", "-C", str(folder), *words],  # noqa: S607 - whichever git there is
            capture_output=True,
            text=True,
            check=True,
            timeout=_GIT_WITHIN_S,
            env=settings_of.environment(settings_of.Settings()) | {"GIT_OPTIONAL_LOCKS": "0"},
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
