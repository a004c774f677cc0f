"""What of what the doctor saw has to be mended, and how: a table of rules without any I/O.

`mend` is what fails, loses or refuses; `note` is what costs speed or surprises somebody later.
"""

from collections.abc import Iterator
from dataclasses import fields
from difflib import get_close_matches
from statistics import median
from typing import Final

from engine import settings as settings_of
from engine.infra.servers.seen import Machine, Port, Room, Seen, Servers, Syncs
from engine.kernel import codec
from engine.kernel.limits import CLAIMS_PER_CALL_MAX, CONNECTIONS_MAX, LISTEN_BACKLOG
from engine.settings import Settings

OK: Final = "ok"
NOTE: Final = "note"
MEND: Final = "mend"

FILES_MIN: Final = 4_096
_FILES_SPARE: Final = 1_024  # beside connections: servers, logs, libraries
KEY_MIN: Final = 16
FREE_MIN: Final = 2 << 30
FREE_PART_MIN: Final = 0.1
CLOCK_MAX_S: Final = 1.0
_BATCH: Final = 64
_FEW_ORDERS: Final = 1_000
_SOME_ORDERS: Final = 10_000
_TOO_QUICK_MS: Final = 0.02  # no disk answers so soon
_GIB: Final = 1 << 30
_MIB: Final = 1 << 20
_MEMORY_NOTE: Final = 0.5
_MEMORY_MEND: Final = 0.8
_LOOPBACK: Final = ("127.", "localhost", "::1")


class Finding(codec.Answer, frozen=True):
    """One thing that was looked at; `remedy` is a command or a setting, "" where none is needed."""

    area: str
    level: str
    told: str
    remedy: str = ""


def judge(seen: Seen, settings: Settings) -> list[Finding]:
    """Return a finding for each thing that was looked at, in the order of its areas."""
    return [
        *_settings(seen, settings),
        *_versions(seen),
        *(_port(one) for one in seen.ports),
        *_machine(seen.machine, settings),
        *_processes(seen, settings),
        *_memory(seen, settings),
        *(_room(one, settings) for one in seen.rooms),
        *([_syncs(seen.syncs, settings)] if seen.syncs else []),
        *_clocks(seen),
        *_servers(seen, settings),
    ]


def _settings(seen: Seen, settings: Settings) -> Iterator[Finding]:
    known = [settings_of.variable(one.name) for one in fields(Settings)]
    for name in seen.unknown:
        near = get_close_matches(name, known, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        yield Finding("settings", MEND, f"{name} is set and is no setting.",
                      f"{meant}unset {name}; `tidegate config show` lists all")  # fmt: skip
    risks = list(_risks(settings))
    yield from risks
    if not risks and not seen.unknown:
        yield Finding("settings", OK, "The settings can be read and agree with each other.")


def _risks(settings: Settings) -> Iterator[Finding]:
    if settings.ephemeral and (settings.database_url or settings.valkey_url):
        yield Finding("settings", MEND, "TIDEGATE_EPHEMERAL is on and servers are named by URL: "
                      "what is in those stays.", "unset TIDEGATE_EPHEMERAL")  # fmt: skip
    if (settings.database_url is None) != (settings.valkey_url is None):
        one, other = "TIDEGATE_DATABASE_URL", "TIDEGATE_VALKEY_URL"
        given, lacking = (one, other) if settings.database_url else (other, one)
        yield Finding("settings", NOTE, f"{given} is set and {lacking} is not: the other server "
                      "is one that `tidegate up` starts.", f"set {lacking}, too")  # fmt: skip
    if settings.drain_seconds < 1:
        yield Finding("settings", MEND, "TIDEGATE_DRAIN_SECONDS is 0: an API process that stops "
                      "cuts off orders it has not answered.",
                      "TIDEGATE_DRAIN_SECONDS=10")  # fmt: skip
    if settings.admin_key is not None and len(settings.admin_key) < KEY_MIN:
        yield Finding("settings", MEND, f"TIDEGATE_ADMIN_KEY has {len(settings.admin_key)} "
                      f"characters, fewer than {KEY_MIN}: it can be guessed.",
                      'TIDEGATE_ADMIN_KEY="$(openssl rand -base64 24)"')  # fmt: skip
    if settings.durability == "memory":
        yield Finding("settings", NOTE, "TIDEGATE_DURABILITY=memory: up to 2 s of accepted orders "
                      "are lost if the machine loses power.",
                      "TIDEGATE_DURABILITY=fsync")  # fmt: skip
    if not settings.http_host.startswith(_LOOPBACK):
        yield Finding("settings", NOTE, f"The API listens on {settings.http_host} without TLS: "
                      "keys can be read on the way.",
                      "TIDEGATE_HTTP_HOST=127.0.0.1, behind a proxy with TLS")  # fmt: skip


def _versions(seen: Seen) -> Iterator[Finding]:
    told = ", ".join(f"{name} {version}" for name, version in seen.versions.items())
    yield Finding("versions", OK, f"{told}.")
    for found, sentence in seen.binaries:
        if found:
            yield Finding("versions", OK, f"Found {sentence}.")
        else:
            told, _, remedy = sentence.partition(": ")
            yield Finding("versions", MEND, f"{told.rstrip('.')}.", remedy.rstrip("."))


def _port(one: Port) -> Finding:
    where = f"Port {one.number} of {one.host}"
    if one.refused is None:
        return Finding("ports", OK, f"{where} is free.")
    holder = f" by {one.holder}" if one.holder else ""
    if one.ours:
        return Finding("ports", OK, f"{where} is taken{holder}, which answers /healthz.")
    taken = f"is taken{holder}" if "in use" in one.refused else f"cannot be used: {one.refused}"
    return Finding("ports", MEND, f"{where} {taken}.",
                   f"stop what listens there (ss -ltnp 'sport = :{one.number}'), or set "
                   f"{one.variable} to a free port")  # fmt: skip


def _machine(one: Machine, settings: Settings) -> Iterator[Finding]:
    yield _files(one.files)
    if one.somaxconn is not None and one.somaxconn < LISTEN_BACKLOG:
        yield Finding("kernel", NOTE, f"somaxconn is {one.somaxconn}: of a burst of more new "
                      "connections at once, the rest is not heard and comes again a second later.",
                      f"sysctl -w net.core.somaxconn={LISTEN_BACKLOG}")  # fmt: skip
    elif one.somaxconn is not None:
        yield Finding("kernel", OK, f"somaxconn is {one.somaxconn}.")
    if one.migrates == 0 and settings.api_processes > 1:
        yield Finding("kernel", NOTE, "tcp_migrate_req is off: when one of several API processes "
                      "stops, connections it had not accepted yet are cut off.",
                      "sysctl -w net.ipv4.tcp_migrate_req=1")  # fmt: skip
    if one.overcommit is not None:
        yield _overcommit(one.overcommit)
    if one.huge_pages == "always":
        yield Finding("kernel", NOTE, "Transparent huge pages are always on: a Valkey that does "
                      "not turn them off for itself copies 2 MiB for a byte while it rewrites.",
                      "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")  # fmt: skip
    elif one.huge_pages is not None:
        yield Finding("kernel", OK, f"Transparent huge pages: {one.huge_pages}.")


def _files(files: int) -> Finding:
    told = f"{files:,} open files are allowed"
    remedy = "ulimit -n 65535 (systemd: LimitNOFILE=65535)"
    if files < FILES_MIN:
        return Finding("kernel", MEND, f"{told}, fewer than {FILES_MIN:,}.", remedy)
    if files < CONNECTIONS_MAX + _FILES_SPARE:
        few = f"{told}: an API process takes fewer than {CONNECTIONS_MAX:,} connections."
        return Finding("kernel", NOTE, few, remedy)
    return Finding("kernel", OK, f"{told}.")


def _overcommit(word: int) -> Finding:
    if word == 1:
        return Finding("kernel", OK, "Memory overcommit is on.")
    return Finding("kernel", NOTE, f"Memory overcommit is {word}, not 1: rewriting a large "
                   "append-only file may fail.", "sysctl -w vm.overcommit_memory=1")  # fmt: skip


def _processes(seen: Seen, settings: Settings) -> Iterator[Finding]:
    many = settings.api_processes + (3 if seen.ours else 1)  # a worker, and both servers
    cores = seen.machine.cores
    others = ", a worker, Valkey and Postgres" if seen.ours else " and a worker"
    told = f"{settings.api_processes} API process{'es' * (settings.api_processes > 1)}{others}"
    if settings.api_processes >= max(cores, 2):
        yield Finding("cores", NOTE, f"{told} share {cores} cores: batches become smaller and an "
                      "order dearer with each API process.",
                      f"TIDEGATE_API_PROCESSES={max(1, cores - 3)}")  # fmt: skip
    else:
        share = f"share {cores} cores" if many > cores else f"have {cores} cores"
        yield Finding("cores", OK, f"{told} {share}.")


def _memory(seen: Seen, settings: Settings) -> Iterator[Finding]:
    """Judge how much of its machine the cell may take; it needs as much again for a rewrite."""
    if seen.servers is not None:
        cell, of = seen.servers.cell_memory_bytes, seen.servers.cell_machine_bytes
        remedy = f"valkey-cli CONFIG SET maxmemory {of // 2 // _MIB}mb, and the same in valkey.conf"
    elif seen.ours:
        cell, of = settings.valkey_maxmemory_mb * _MIB, seen.machine.memory_bytes
        remedy = f"TIDEGATE_VALKEY_MAXMEMORY_MB={of // 4 // _MIB}"
    else:
        return
    if not cell or not of:
        return  # no bound: the preflight says so
    part = cell / of
    told = f"The cell may take {cell / _GIB:.1f} of {of / _GIB:.1f} GiB of memory"
    if part <= _MEMORY_NOTE:
        yield Finding("memory", OK, f"{told}.")
    else:
        level = MEND if part > _MEMORY_MEND else NOTE
        yield Finding("memory", level, f"{told}; rewriting its file may need as much again.",
                      remedy)  # fmt: skip


def _room(one: Room, settings: Settings) -> Finding:
    free = f"{one.free_bytes / _GIB:.1f} GiB are free for the {one.name}, in {one.folder}"
    needed = settings.ephemeral == (one.name == "temporary directory")
    remedy = (
        f"du -xh --max-depth=2 {one.folder} | sort -h | tail, or set "
        f"{'TMPDIR' if one.name == 'temporary directory' else 'TIDEGATE_DATA_DIR'} elsewhere"
    )
    if one.free_bytes < FREE_MIN:
        return Finding("space", MEND if needed else NOTE, f"Only {free}.", remedy)
    if one.free_bytes < FREE_PART_MIN * one.total_bytes:
        part = one.free_bytes / one.total_bytes
        return Finding("space", NOTE, f"{free}, {part:.0%} of the disk.", remedy)
    return Finding("space", OK, f"{free}.")


def _syncs(one: Syncs, settings: Settings) -> Finding:
    if not one.ms:
        return Finding("disk", MEND, f"{one.folder} cannot be written ({one.refused}).",
                       "set TIDEGATE_DATA_DIR to a directory you may write to")  # fmt: skip
    middle, slow = median(one.ms), sorted(one.ms)[int(len(one.ms) * 0.99)]
    rate = 1_000 * _BATCH / max(middle, 1e-3)
    told = f"fdatasync of 4 KiB in {one.folder}: median {middle:.3g} ms, p99 {slow:.3g} ms"
    if middle < _TOO_QUICK_MS:
        return Finding("disk", NOTE, f"{told}: too quick for a disk, it is memory or does not "
                       "sync; power loss loses what is there.",
                       "TIDEGATE_DATA_DIR on a disk that syncs")  # fmt: skip
    told += f"; one a batch of {_BATCH} allows {rate:,.0f} orders/s, of {CLAIMS_PER_CALL_MAX} more"
    if rate >= _SOME_ORDERS or settings.durability == "memory":
        return Finding("disk", OK, f"{told}.")
    return Finding("disk", MEND if rate < _FEW_ORDERS else NOTE, f"{told}.",
                   "put TIDEGATE_DATA_DIR on a disk with power-loss protection (fio "
                   "--name=sync --rw=write --bs=4k --size=64m --fdatasync=1)")  # fmt: skip


def _clocks(seen: Seen) -> Iterator[Finding]:
    remedy = "timedatectl set-ntp true, on both machines"
    for name, ahead in seen.clocks.ahead.items():
        way = "ahead of" if ahead > 0 else "behind"
        level = MEND if abs(ahead) > CLOCK_MAX_S else OK
        told = f"The clock of {name} is {abs(ahead):.3f} s {way} this machine's."
        yield Finding("clock", level, told, remedy if level == MEND else "")
    if abs(seen.clocks.jumped) > CLOCK_MAX_S:
        yield Finding("clock", MEND, f"The clock jumped by {seen.clocks.jumped:+.1f} s while it "
                      "was looked at.", remedy)  # fmt: skip


def _servers(seen: Seen, settings: Settings) -> Iterator[Finding]:
    if seen.unreachable is not None:
        yield Finding("servers", MEND, f"The servers do not answer: {seen.unreachable}",
                      "start them, or look at the URLs: `tidegate config show`")  # fmt: skip
    elif seen.servers is None:
        yield Finding("servers", OK, f"No instance runs in {settings.data_dir}.")
    else:
        yield from _running(seen.servers, settings)


def _running(servers: Servers, settings: Settings) -> Iterator[Finding]:
    yield Finding("servers", OK, f"{' and '.join(servers.running)} run.")
    for one in servers.wrong:
        told = f"{one.setting} is {one.found}, wanted is {one.wanted}."
        yield Finding("servers", MEND, told, one.how_to_set)
    if not servers.wrong:
        told = f"The servers' settings keep durability {settings.durability}."
        yield Finding("servers", OK, told)
    if servers.schema is None:
        yield Finding("servers", OK, "The schema is that of this version.")
    else:
        told, _, remedy = servers.schema.rpartition(": ")
        yield Finding("servers", MEND, f"{told[:1].upper()}{told[1:]}.", remedy)
