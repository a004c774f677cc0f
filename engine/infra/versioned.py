"""Documents that are PUT under an id and change by versions: the steps that all of them share.

It knows no business word: a slice brings its statements in a `Table` and its rules as functions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, NamedTuple, NoReturn, TypeVar

import asyncpg
import msgspec

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from engine.kernel.types import Tenant

T = TypeVar("T", bound=msgspec.Struct)

SQL: Final = queries.load("engine.infra")


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """One document as stored. `published` is true when nobody else has to be told of it."""

    id: str
    version: int
    updated_at: datetime
    value: T
    published: bool = True
    settled: bool = False  # a change of it needs If-Match


@dataclass(frozen=True, slots=True)
class Saved(Generic[T]):
    """What a PUT did; an unchanged document keeps its version."""

    kept: Kept[T]
    created: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class Match:
    """An If-Match header: None is absent; `*` means any version that exists."""

    versions: frozenset[str] | None = None

    def check(self, version: int | None, *, required: bool) -> None:
        """Compare with what is stored; None is nothing.

        Raises:
            PreconditionFailed: another version, or nothing, is stored.
            PreconditionRequired: the header is absent where a change needs it.
        """
        if self.versions is None:
            if required:
                raise PreconditionRequired
            return
        if version is None or not self.versions & {"*", etag(version)}:
            raise PreconditionFailed


class Statements(NamedTuple):
    """The statements of one kind of document; each returns its columns as `Table.read` says."""

    get: str
    lock: str
    page: str
    insert: str
    update: str


def _nothing(_value: object) -> Sequence[object]:
    return ()


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """Where one kind of document is kept; `kind` is its word in reference_versions.

    `word` is the column of its id, `noun` what a person calls one. Besides the document, INSERT
    takes the `columns` made of it, and UPDATE these or other ones (`changing`).
    """

    kind: str
    word: str
    noun: str
    decode: Callable[[bytes], T]
    sql: Statements
    columns: Callable[[T], Sequence[object]] = _nothing
    changing: Callable[[T], Sequence[object]] | None = None

    async def get(self, db: Connection, tenant: Tenant, key: str) -> Kept[T]:
        """Read one.

        Raises:
            NotFound: there is none of that name.
        """
        row = await db.fetchrow(self.sql.get, tenant, key)
        if row is None:
            raise NotFound(f"there is no such {self.noun}")
        return self.read(row)

    async def page(
        self, db: Connection, tenant: Tenant, after: str, limit: int, *only: object
    ) -> list[Kept[T]]:
        """Read those after one, in the order of their ids; `only` as the statement takes it."""
        rows = await db.fetch(self.sql.page, tenant, after, limit, *only)
        return [self.read(row) for row in rows]

    async def lock(self, tx: Connection, tenant: Tenant, key: str) -> Kept[T] | None:
        """Read one row and keep others from changing it until the transaction ends."""
        row = await tx.fetchrow(self.sql.lock, tenant, key)
        return None if row is None else self.read(row)

    async def insert(
        self, tx: Connection, tenant: Tenant, key: str, value: T, actor: str
    ) -> Kept[T] | None:
        """Write version 1; None when somebody else just did."""
        columns = self.columns(value)
        row = await tx.fetchrow(self.sql.insert, tenant, key, packed(value), actor, *columns)
        return None if row is None else self.read(row)

    async def update(
        self, tx: Connection, tenant: Tenant, kept: Kept[T], value: T, actor: str
    ) -> Kept[T]:
        """Write the version after `kept`, whose row is locked."""
        columns = (self.changing or self.columns)(value)
        row = await tx.fetchrow(self.sql.update, tenant, kept.id, packed(value), actor, *columns)
        assert row is not None, "the row is locked"
        return self.read(row)

    def read(self, row: asyncpg.Record) -> Kept[T]:
        """Make a document of a row.

        It is published if its `published_version` is this one or there is no such column; settled
        if there is a column of that name that says so.

        Raises:
            ValidationFailed: what is stored cannot be read.
        """
        version = row["version"]
        return Kept(
            row[self.word],
            version,
            row["updated_at"],
            self.decode(row["document"].encode()),
            published=row.get("published_version", version) == version,
            settled=row.get("settled", False),
        )


async def put(  # noqa: PLR0913 - a PUT is all of these
    tx: Connection,
    table: Table[T],
    tenant: Tenant,
    key: str,
    value: T,
    *,
    match: Match,
    actor: str,
    allow: Callable[[Kept[T] | None], None] = lambda _kept: None,
) -> Saved[T]:
    """Create or change one document inside the caller's transaction.

    The same content again changes nothing and needs no If-Match; `allow` raises where a change
    does not fit what is stored.

    Raises:
        PreconditionFailed: as `Match.check` says.
        PreconditionRequired: likewise.
    """
    kept = await table.lock(tx, tenant, key)
    if kept is not None and kept.value == value:
        match.check(kept.version, required=False)
        return Saved(kept, created=False, changed=False)
    match.check(kept.version if kept else None, required=kept is not None and kept.settled)
    allow(kept)
    if kept is None:
        made = await table.insert(tx, tenant, key, value, actor)
        if made is None:
            _lost_race()
        saved = Saved(made, created=True, changed=True)
    else:
        changed = await table.update(tx, tenant, kept, value, actor)
        saved = Saved(changed, created=False, changed=True)
    await tx.execute(
        SQL["keep_version"], tenant, table.kind, key, saved.kept.version, packed(value), actor
    )
    return saved


def etag(version: int) -> str:
    """Return the strong validator of a version."""
    return f'"{version}"'


def packed(value: msgspec.Struct) -> str:
    """Return a document as a jsonb parameter."""
    return msgspec.json.encode(value).decode()


def _lost_race() -> NoReturn:
    raise PreconditionFailed("somebody else created it just now: read it and repeat your change")
