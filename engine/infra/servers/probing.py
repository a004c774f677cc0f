"""What the doctor looks at: this machine and the servers, changing nothing but a file that goes."""

import os
import platform
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from importlib import metadata
from pathlib import Path
from typing import Final

import asyncpg
import redis.asyncio
from redis.exceptions import RedisError

from engine import settings as settings_of
from engine.infra import preflight, runfile
from engine.infra.migrate import require_head
from engine.infra.servers import binaries, ports
from engine.infra.servers.errors import CannotStart, Missing
from engine.infra.servers.seen import Clocks, Machine, Port, Room, Seen, Servers, Syncs
from engine.kernel.clock import Clock, to_ms
from engine.kernel.errors import Misconfigured
from engine.settings import Settings

SYNCS: Final = 100
SYNC_SECONDS_MAX: Final = 2.0

_WITHIN_S: Final = 5.0
_BLOCK: Final = b"\0" * 4_096
_PACKAGES: Final = ("uvloop", "aiohttp", "asyncpg", "redis")
_PROC: Final = Path("/proc")
_HUGE_PAGES: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_CPU_LIMIT: Final = Path("/sys/fs/cgroup/cpu.max")
_MEMORY_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
_LISTENS: Final = "0A"


async def look(settings: Settings, clock: Clock) -> Seen:
    """Look at everything; what cannot be seen is left out."""
    wall, steady = clock.now_ms(), clock.monotonic()
    attached, ahead, servers, unreachable = _attached(settings), dict[str, float](), None, None
    if attached is not None:
        try:
            servers = await _servers(attached, clock, ahead)
        except (OSError, ValueError, RedisError, asyncpg.PostgresError) as error:
            unreachable = str(error) or type(error).__name__
    ours = settings.valkey_url is None and settings.database_url is None
    syncs = synced(_existing(settings), clock) if settings.valkey_url is None else None
    jumped = (clock.now_ms() - wall) / 1_000 - (clock.monotonic() - steady)
    return Seen(
        machine=_machine(),
        ports=_ports(attached or settings),
        rooms=list(_rooms(settings)),
        syncs=syncs,
        clocks=Clocks(ahead, jumped),
        versions={"Python": platform.python_version()} | _packages(),
        unknown=settings_of.unknown(),
        binaries=[] if attached is not None else list(_binaries(settings)),
        unreachable=unreachable,
        servers=servers,
        ours=ours,
    )


def _attached(settings: Settings) -> Settings | None:
    try:
        return runfile.attach(settings)
    except Missing:
        return None


def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _binaries(settings: Settings) -> Iterator[tuple[bool, str]]:
    finds: list[Callable[[], object]] = []
    if settings.valkey_url is None:
        finds.append(lambda: binaries.find_valkey(settings.valkey_bin))
    if settings.database_url is None:
        finds.append(lambda: binaries.find_postgres(settings.pg_bin))
    for find in finds:
        try:
            yield True, str(find())
        except CannotStart as refusal:
            yield False, str(refusal)


def _machine() -> Machine:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _number(_MEMORY_LIMIT)
    huge = _text(_HUGE_PAGES)
    return Machine(
        cores=_cores(),
        memory_bytes=memory if limit is None else min(memory, limit),
        files=files,
        somaxconn=_number(_PROC / "sys/net/core/somaxconn"),
        migrates=_number(_PROC / "sys/net/ipv4/tcp_migrate_req"),
        overcommit=_number(_PROC / "sys/vm/overcommit_memory"),
        huge_pages=huge.partition("[")[2].partition("]")[0] or None,
    )


def _cores() -> int:
    """Return how many cores this process may use, of which a container may have fewer."""
    able = getattr(os, "sched_getaffinity", None)
    cores = len(able(0)) if able else os.cpu_count() or 1
    quota, _, period = _text(_CPU_LIMIT).partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(period):
        return max(1, min(cores, int(quota) // int(period)))
    return cores


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _number(path: Path) -> int | None:
    told = _text(path)
    return int(told) if told.isdecimal() else None


def _ports(settings: Settings) -> list[Port]:
    wanted = (
        ("TIDEGATE_HTTP_PORT", settings.http_port),
        ("TIDEGATE_METRICS_PORT", settings.metrics_port),
    )
    return [_port(variable, settings.http_host, number) for variable, number in wanted if number]


def _port(variable: str, host: str, number: int) -> Port:
    try:
        ports.refuse_taken(host, number)
    except CannotStart as refusal:
        told = str(refusal).partition("(")[2].partition(")")[0]
        status, _ = ports.get(ports.base_url(host, number), "/healthz")
        return Port(variable, host, number, told, _holder(number), ours=status == HTTPStatus.OK)
    return Port(variable, host, number, None)


def _holder(number: int) -> str:
    """Return who listens on a port, as far as this account may see it."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(number)}
    for folder in _PROC.glob("[0-9]*/fd"):
        with suppress(OSError):
            if any(str(each.readlink()) in sockets for each in folder.iterdir()):
                return f"{_text(folder.parent / 'comm')} (pid {folder.parent.name})"
    return ""


def _inodes(number: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for line in _text(_PROC / "net" / table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == number:
                yield fields[9]


def _existing(settings: Settings) -> Path:
    """Return the data directory, or what it would be made in."""
    folder = Path(tempfile.gettempdir()) if settings.ephemeral else settings.data_dir
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _rooms(settings: Settings) -> Iterator[Room]:
    temporary = Path(tempfile.gettempdir())
    for name, folder in (
        ("data directory", _existing(settings)),
        ("temporary directory", temporary),
    ):
        with suppress(OSError):
            usage = shutil.disk_usage(folder)
            yield Room(name, folder, usage.free, usage.total)


def synced(folder: Path, clock: Clock) -> Syncs:
    """Write 4 KiB and sync, a hundred times or for two seconds, into a file that has no name."""
    found: list[float] = []
    start = clock.monotonic()
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            while len(found) < SYNCS and clock.monotonic() - start < SYNC_SECONDS_MAX:
                before = clock.monotonic()
                file.write(_BLOCK)
                os.fdatasync(file.fileno())
                found.append(1_000 * (clock.monotonic() - before))
    except OSError as error:
        return Syncs(folder, [], (error.strerror or str(error)).lower())
    return Syncs(folder, found)


async def _servers(settings: Settings, clock: Clock, ahead: dict[str, float]) -> Servers:
    database = await asyncpg.connect(settings.database_url, timeout=_WITHIN_S)
    try:
        async with redis.asyncio.from_url(
            settings.valkey_url or "", protocol=2, socket_timeout=_WITHIN_S,
            socket_connect_timeout=_WITHIN_S,
        ) as valkey:  # fmt: skip
            before = clock.now_ms()
            told = to_ms(await database.fetchval("SELECT clock_timestamp()"))
            between = clock.now_ms()
            seconds, micros = await valkey.time()
            after = clock.now_ms()
            ahead["Postgres"] = (told - (before + between) / 2) / 1_000
            ahead["Valkey"] = seconds + micros / 1e6 - (between + after) / 2_000
            info = await valkey.info()
            version = str(await database.fetchval("SHOW server_version")).split()[0]
            return Servers(
                running=[_name(info), f"Postgres {version}"],
                wrong=await preflight.check(database, valkey, settings.durability),
                schema=await _schema(database),
                cell_memory_bytes=int(info.get("maxmemory", 0)),
                cell_machine_bytes=int(info.get("total_system_memory", 0)),
            )
    finally:
        await database.close()


def _name(info: dict[str, object]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version')}"


async def _schema(database: "asyncpg.Connection[asyncpg.Record]") -> str | None:
    try:
        await require_head(database)
    except Misconfigured as refusal:
        return str(refusal)
    return None
