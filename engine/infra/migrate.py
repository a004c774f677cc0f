"""Forward-only migrations: numbered SQL files, each in one transaction, each once.

The files stand in `engine/infra/migrations/NNNN_name.sql`; a file that was applied is never edited.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources

import asyncpg

from engine.kernel.errors import Misconfigured

_LOCK = 0x7469_6465  # "tide": one migrator at a time, whoever starts first
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  version text PRIMARY KEY,
  sha256 text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name without `.sql`, its text and the digest that must never change."""

    version: str
    sql: str
    sha256: str


def migrations() -> list[Migration]:
    """Return all migrations in the order in which they are applied."""
    found = []
    for entry in (resources.files("engine.infra") / "migrations").iterdir():
        if entry.name.endswith(".sql"):
            sql = entry.read_text(encoding="utf-8")
            digest = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(entry.name.removesuffix(".sql"), sql, digest))
    return sorted(found, key=lambda one: one.version)


async def migrate(dsn: str) -> list[str]:
    """Bring a database to head and return what was applied; running it again applies nothing.

    Raises:
        Misconfigured: an applied file was changed, or the database is ahead of this version.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute(_TABLE)
        todo = _pending(await _applied(connection))
        for one in todo:
            async with connection.transaction():
                await connection.execute(one.sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (version, sha256) VALUES ($1, $2)",
                    one.version,
                    one.sha256,
                )
        return [one.version for one in todo]
    finally:
        await connection.close()


async def require_head(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Refuse to start on a database that lacks a migration.

    Raises:
        Misconfigured: with the command that mends it.
    """
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        raise Misconfigured("the database is empty: run `tidegate migrate` first")
    if missing := _pending(await _applied(connection)):
        names = ", ".join(one.version for one in missing)
        raise Misconfigured(f"the database lacks {names}: run `tidegate migrate` first")


async def _applied(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, str]:
    rows = await connection.fetch("SELECT version, sha256 FROM schema_migrations")
    return {row["version"]: row["sha256"] for row in rows}


def _pending(applied: dict[str, str]) -> list[Migration]:
    known = migrations()
    for one in known:
        if applied.get(one.version, one.sha256) != one.sha256:
            raise Misconfigured(
                f"migration {one.version} was changed after it was applied: restore the file"
            )
    if unknown := sorted(set(applied) - {one.version for one in known}):
        raise Misconfigured(
            f"the database was migrated by a newer version ({', '.join(unknown)}): update tidegate"
        )
    return [one for one in known if one.version not in applied]
