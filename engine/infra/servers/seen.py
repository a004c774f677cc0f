"""What the doctor saw: plain values, so that they can be judged without a machine."""

from pathlib import Path
from typing import NamedTuple

from engine.infra.preflight import Finding as Wrong


class Machine(NamedTuple):
    """What the kernel says; None: it does not say."""

    cores: int
    memory_bytes: int
    files: int
    somaxconn: int | None
    migrates: int | None  # net.ipv4.tcp_migrate_req
    overcommit: int | None
    huge_pages: str | None  # the word that is chosen


class Port(NamedTuple):
    """Somewhere to listen; `refused` None: free.

    `holder` is who listens there, "" if unknown; it is `ours` if it answers as our processes do.
    """

    variable: str
    host: str
    number: int
    refused: str | None
    holder: str = ""
    ours: bool = False


class Room(NamedTuple):
    """Free space of a folder's disk."""

    name: str
    folder: Path
    free_bytes: int
    total_bytes: int


class Syncs(NamedTuple):
    """How many ms each fdatasync of 4 KiB took; `refused` says why there are none."""

    folder: Path
    ms: list[float]
    refused: str = ""


class Clocks(NamedTuple):
    """How many seconds servers are ahead of this machine, and how many it jumped meanwhile."""

    ahead: dict[str, float]
    jumped: float


class Servers(NamedTuple):
    """Running servers: their names with versions, what is wrong with them, and their memory."""

    running: list[str]
    wrong: list[Wrong]
    schema: str | None  # what is wrong with it
    cell_memory_bytes: int
    cell_machine_bytes: int


class Seen(NamedTuple):
    """Everything that was looked at; what was not is None or empty.

    `ours` says whether servers of our own run, or would: then the disk here is the cell's.
    """

    machine: Machine
    ports: list[Port]
    rooms: list[Room]
    syncs: Syncs | None
    clocks: Clocks
    versions: dict[str, str]
    unknown: list[str]
    binaries: list[tuple[bool, str]]
    unreachable: str | None
    servers: Servers | None
    ours: bool
