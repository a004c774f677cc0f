"""`tidegate doctor`: what this machine, the settings and the running servers lack."""

import asyncio
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import asyncpg
import redis.asyncio
from redis.exceptions import RedisError

from engine import settings as settings_of
from engine.infra import preflight, runfile
from engine.infra.servers import binaries, ports
from engine.infra.servers.errors import CannotStart
from engine.settings import Settings

FILES_MIN: Final = 4_096
_OVERCOMMIT: Final = Path("/proc/sys/vm/overcommit_memory")

Finding = tuple[bool, str]


def examine(settings: Settings, tell: Callable[[str], None]) -> int:
    """Tell one line per thing looked at; return 1 if something has to be mended."""
    found = [*_environment(), *_machine(), *_servers(settings), *_instance(settings)]
    for well, sentence in found:
        tell(f"{'ok  ' if well else 'MEND'} {sentence}")
    return 0 if all(well for well, _ in found) else 1


def _environment() -> Iterator[Finding]:
    for name in settings_of.unknown():
        yield False, f"{name} is set and is no setting: see `tidegate config show`."
    yield True, "The settings can be read."


def _machine() -> Iterator[Finding]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    plenty = files >= FILES_MIN
    yield plenty, f"{files} open files are allowed" + ("." if plenty else ": set ulimit -n 65535.")
    if _OVERCOMMIT.is_file():
        generous = _OVERCOMMIT.read_text(encoding="ascii").strip() == "1"
        yield (
            True,
            "Memory overcommit is on."
            if generous
            else "Memory overcommit is off; rewriting a large append-only file may fail: "
            "sysctl vm.overcommit_memory=1.",
        )


def _servers(settings: Settings) -> Iterator[Finding]:
    if settings.valkey_url is None:
        yield _binary(lambda: binaries.find_valkey(settings.valkey_bin))
    if settings.database_url is None:
        yield _binary(lambda: binaries.find_postgres(settings.pg_bin))


def _binary(find: Callable[[], object]) -> Finding:
    try:
        return True, f"Found {find()}."
    except CannotStart as refusal:
        return False, str(refusal)


def _instance(settings: Settings) -> Iterator[Finding]:
    try:
        attached = runfile.attach(settings)
    except CannotStart:
        yield True, f"No instance runs in {settings.data_dir}."
        yield _port(settings)
        return
    try:
        wrong = asyncio.run(_preflight(attached))
    except (OSError, RedisError, asyncpg.PostgresError) as error:
        yield False, f"The servers of the instance do not answer: {error}"
        return
    yield not wrong, f"The servers' settings keep durability {attached.durability}."
    for finding in wrong:
        yield False, finding.sentence


def _port(settings: Settings) -> Finding:
    try:
        ports.refuse_taken(settings.http_host, settings.http_port)
    except CannotStart as refusal:
        return False, str(refusal)
    return True, f"Port {settings.http_port} of {settings.http_host} is free."


async def _preflight(settings: Settings) -> list[preflight.Finding]:
    database = await asyncpg.connect(settings.database_url, timeout=5)
    try:
        async with redis.asyncio.from_url(settings.valkey_url or "", protocol=2) as valkey:
            return await preflight.check(database, valkey, settings.durability)
    finally:
        await database.close()
