"""Where a drill is held: on an instance of its own, or on one that somebody named."""

from dataclasses import replace
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from engine.infra import cell, keys, runfile
from engine.infra.cell import Cell
from engine.infra.servers.errors import Missing
from engine.infra.servers.supervisor import Supervisor
from engine.kernel.clock import Clock
from engine.kernel.errors import EngineError, OutcomeUnknown
from engine.kernel.types import CellId
from engine.settings import Settings


class Refused(EngineError):
    """The command asks for what may not be, or cannot be read."""

    code = "refused"


class Place(NamedTuple):
    """An instance: its settings name its servers; `supervisor` None: it is somebody else's."""

    settings: Settings
    address: str
    key: str
    supervisor: Supervisor | None = None

    @property
    def name(self) -> str:
        """How a report calls it."""
        return "embedded" if self.supervisor else self.address


def attached(settings: Settings, target: str) -> Place:
    """Return the instance at an address, with its servers: without them nothing can be proved.

    Raises:
        Refused: the address is no URL, or of a host that is not allowed.
        Missing: its servers or its key are not known.
    """
    where = urlsplit(target)
    if where.scheme not in {"http", "https"} or not where.hostname:
        raise Refused(f"--target {target}: give the base URL, like http://127.0.0.1:8080")
    if not _loopback(where.hostname) and where.hostname not in allowed(settings):
        raise Refused(
            f"--target {target}: a drill floods and breaks what it is pointed at; {where.hostname}"
            " is not this machine, and not in TIDEGATE_DRILL_HOSTS"
        )
    port = where.port or settings.http_port
    found = runfile.attach(replace(settings, http_port=port))
    key = settings.admin_key or ""
    if not key:
        raise Missing("TIDEGATE_ADMIN_KEY is not set: the drill sells with the target's admin key.")
    return Place(found, target.rstrip("/"), key)


def allowed(settings: Settings) -> set[str]:
    """Return the hosts beside this machine that drills may be pointed at."""
    return {host.strip() for host in settings.drill_hosts.split(",")} - {""}


async def is_open(settings: Settings, clock: Clock) -> bool:
    """Whether the cell is open, for the server that runs now."""
    redis = cell.client(settings.valkey_url or "", connections=1)
    try:
        one = Cell(redis, CellId(settings.cell), clock)
        state = await one.refresh()
        opened_for = await one.ask("HGET", keys.of(one.id, "cell"), "run_id")
        server = await redis.info("server")
    except (OutcomeUnknown, RedisError):
        return False
    else:
        ours = str(server["run_id"]).encode() == opened_for
        return ours and state is not None and state.phase == "open"
    finally:
        await redis.aclose()


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
