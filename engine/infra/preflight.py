"""Are the servers set as the durability profile promises? Asked at every start of a process.

A wrong setting loses orders silently, so it is refused here with a sentence that says what to set.
Identity of cell and database, and the schema, are checked elsewhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine.kernel.errors import Misconfigured
from engine.settings import Durability

REDIS_MIN: Final = (7, 0)
POSTGRES_MIN: Final = 15

# What each profile needs; more than it needs is accepted. With `replica`, WAITAOF waits for the
# disk of both machines, so how often they write by themselves decides speed and not safety.
_APPENDFSYNC: Final[Mapping[Durability, tuple[str, ...]]] = {
    "fsync": ("always",),
    "memory": ("everysec", "always"),
    "replica": ("always", "everysec"),
}
# Each of these is on the disk of the primary before a commit is answered.
_SYNCHRONOUS: Final = ("on", "local", "remote_write", "remote_apply")
_CONFIG: Final = (
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
)
_POSTGRES: Final = """
    SELECT name, setting FROM pg_settings
    WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it must be."""

    setting: str
    found: str
    wanted: str
    how_to_set: str

    @property
    def sentence(self) -> str:
        """What to tell the operator."""
        return f"{self.setting} is {self.found}, wanted is {self.wanted}: {self.how_to_set}."


async def check(
    pg: "asyncpg.Connection[asyncpg.Record]", valkey: Redis, durability: Durability
) -> list[Finding]:
    """Return everything that is wrong; an empty list means: start."""
    return [*await check_valkey(valkey, durability), *await check_postgres(pg)]


def refuse(findings: Iterable[Finding]) -> None:
    """Raise Misconfigured with one sentence for each finding, a line each."""
    if sentences := [finding.sentence for finding in findings]:
        raise Misconfigured("\n".join(sentences))


async def check_valkey(valkey: Redis, durability: Durability) -> list[Finding]:
    """Return what is wrong with a cell's server; settings are read as it runs, not from a file."""
    if old := _version(await valkey.info("server")):
        return [old]
    try:
        config = {name: await _config(valkey, name) for name in _CONFIG}
    except ResponseError as refusal:
        return [
            Finding(
                setting="Valkey CONFIG GET",
                found=f"refused ({refusal})",
                wanted="allowed, so that durability can be checked",
                how_to_set="allow it to this user: ACL SETUSER … +config|get",
            )
        ]
    found = _durable(config, durability) + _bounded(config)
    if durability == "replica":
        found += await _replicated(valkey, config)
    return found


async def check_postgres(pg: "asyncpg.Connection[asyncpg.Record]") -> list[Finding]:
    """Return what is wrong with the database server, as this very connection sees it."""
    version = pg.get_server_version()
    if version.major < POSTGRES_MIN:
        return [
            Finding(
                setting="Postgres",
                found=f"version {version.major}",
                wanted=f"{POSTGRES_MIN} or newer",
                how_to_set="set TIDEGATE_DATABASE_URL to a newer server",
            )
        ]
    if await pg.fetchval("SELECT pg_is_in_recovery()"):
        return [
            Finding(
                setting="Postgres",
                found="in recovery (a standby, which takes no writes)",
                wanted="a primary",
                how_to_set="set TIDEGATE_DATABASE_URL to the primary, or promote this server",
            )
        ]
    settings = {row["name"]: row["setting"] for row in await pg.fetch(_POSTGRES)}
    wanted = {"fsync": ("on",), "synchronous_commit": _SYNCHRONOUS, "full_page_writes": ("on",)}
    return [
        Finding(
            setting=f"Postgres {name}",
            found=settings[name],
            wanted="on",
            how_to_set=f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf() (and look for "
            "one set on the role or the database)",
        )
        for name, accepted in wanted.items()
        if settings[name] not in accepted
    ]


def _version(server: Mapping[str, Any]) -> Finding | None:
    # A Valkey also answers redis_version 7.2.4, whatever it is: only its own name counts.
    if "valkey_version" in server:
        return None
    told = str(server.get("redis_version", "0.0"))
    major, minor = (int(part) for part in told.split(".")[:2])
    if (major, minor) >= REDIS_MIN:
        return None
    return Finding(
        setting="Redis",
        found=f"version {told}",
        wanted="7.0 or newer, or any Valkey",
        how_to_set="set TIDEGATE_VALKEY_URL to a newer server",
    )


def _durable(config: Mapping[str, str], durability: Durability) -> list[Finding]:
    accepted = {
        "appendonly": ("yes",),
        "appendfsync": _APPENDFSYNC[durability],
        "no-appendfsync-on-rewrite": ("no",),
    }
    return [
        _must(name, config[name], words[0], f"TIDEGATE_DURABILITY={durability}")
        for name, words in accepted.items()
        if config[name] not in words
    ]


def _bounded(config: Mapping[str, str]) -> list[Finding]:
    found = []
    if config["maxmemory"] == "0":
        found.append(
            Finding(
                setting="Valkey maxmemory",
                found="0 (no bound)",
                wanted="a bound below the memory of the machine",
                how_to_set="CONFIG SET maxmemory 4gb, and the same line in valkey.conf",
            )
        )
    if config["maxmemory-policy"] != "noeviction":
        found.append(
            _must("maxmemory-policy", config["maxmemory-policy"], "noeviction", "stock is no cache")
        )
    return found


async def _replicated(valkey: Redis, config: Mapping[str, str]) -> list[Finding]:
    found = []
    if int(config["min-replicas-to-write"] or 0) < 1:
        found.append(_must("min-replicas-to-write", "0", "1", "TIDEGATE_DURABILITY=replica"))
    # The two words as one: redis-py parses answers of a bare COMMAND and fails at an unknown one.
    answer = await valkey.execute_command("COMMAND INFO", "WAITAOF")  # type: ignore[no-untyped-call]
    if not answer or not _first(answer):
        found.append(
            Finding(
                setting="WAITAOF",
                found="not known to this server",
                wanted="a Valkey, or Redis 7.2 or newer",
                how_to_set="set TIDEGATE_VALKEY_URL to such a server, or TIDEGATE_DURABILITY=fsync",
            )
        )
    return found


def _must(name: str, found: str, wanted: str, because: str) -> Finding:
    return Finding(
        setting=f"Valkey {name}",
        found=found,
        wanted=f"{wanted} ({because})",
        how_to_set=f"CONFIG SET {name} {wanted}, and the same line in valkey.conf",
    )


async def _config(valkey: Redis, name: str) -> str:
    """Return one setting as text, whatever the client decodes; empty if there is no such."""
    answer = await valkey.config_get(name)
    # Its type says text; with decode_responses off it is bytes.
    values: list[Any] = list(answer.values())
    if not values:
        return ""
    return values[0].decode() if isinstance(values[0], bytes) else str(values[0])


def _first(answer: Any) -> Any:
    """RESP2 answers a list with None for an unknown command, RESP3 may answer a map."""
    return next(iter(answer.values() if isinstance(answer, dict) else answer), None)
