"""Documents that are PUT under an id and change by versions: the steps that all of them share.

It knows no business word: a slice brings its statements as a `Table` and its rules as functions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, NoReturn, Protocol, TypeVar

import msgspec

from engine.infra import queries
from engine.infra.postgres import Connection
from engine.kernel.errors import PreconditionFailed, PreconditionRequired
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


class Table(Protocol[T]):
    """The statements of one kind of document."""

    @property
    def kind(self) -> str: ...  # noqa: D102 - the word in reference_versions

    async def lock(self, tx: Connection, tenant: Tenant, key: str) -> Kept[T] | None:
        """Read one row and keep others from changing it until the transaction ends."""
        ...

    async def insert(
        self, tx: Connection, tenant: Tenant, key: str, value: T, actor: str
    ) -> Kept[T] | None:
        """Write version 1; None when somebody else just did."""
        ...

    async def update(
        self, tx: Connection, tenant: Tenant, kept: Kept[T], value: T, actor: str
    ) -> Kept[T]:
        """Write the version after `kept`, whose row is locked."""
        ...


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
