"""The ledger of pools as it is read: postings, each from one account to another, and their sums."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from engine.assurance.store import SQL
from engine.infra.postgres import Pool
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.types import Tenant

Account = Literal["node", "pool", "hold", "sold", "owed", "returned", "adjustment"]
ACCOUNTS: Final[tuple[str, ...]] = get_args(Account)
_decode: Final = msgspec.json.Decoder(list[tuple[Account, int, int]]).decode


class PostingView(codec.Answer, frozen=True):
    """Units that went from the account `credit` to the account `debit`.

    `entry` and `line` name the change in the log; `reference` is what caused it: an order, a
    return, a move, or of grants the pool itself.
    """

    entry: str
    line: int
    part: int
    at: str
    kind: str
    reference: str
    debit: Account
    credit: Account
    units: int
    pool: str
    sku: str
    channel: str
    campaign: str
    node_group: str


class PostingPage(codec.Answer, frozen=True):
    """Postings in the order in which they were logged; within one millisecond, of their entries."""

    items: list[PostingView]
    next_cursor: str | None


class AccountSum(codec.Answer, frozen=True):
    """What an account got, `debits`, and gave, `credits`; `balance` is the difference, in units."""

    account: Account
    debits: int
    credits: int
    balance: int


class ReferenceSum(codec.Answer, frozen=True):
    """All that one order, return, move or pool caused; `debits` are as many as `credits`."""

    reference: str
    debits: int
    credits: int
    accounts: list[AccountSum]


class SumPage(codec.Answer, frozen=True):
    """Sums by reference, in the order of the references."""

    items: list[ReferenceSum]
    next_cursor: str | None


class Wanted(NamedTuple):
    """Which postings; "" and None are any. An order's are also those of its returns."""

    cell: str
    tenant: Tenant
    channel: str
    sku: str
    pool: str
    order: str
    since: datetime | None

    @property
    def columns(self) -> list[str]:
        """The first parameters of both statements."""
        return [*self[:-1]]

    @property
    def since_ms(self) -> str:
        """The instant as the ids of the log begin."""
        return "" if self.since is None else str(to_ms(self.since))


async def postings(
    db: Pool, wanted: Wanted, account: str, after: Sequence[object], limit: int
) -> list[PostingView]:
    """Return postings behind (entry, line, part); with `account` those that name it."""
    rows = await db.fetch(
        SQL["list_postings"], *wanted.columns, account, wanted.since_ms, *after, limit
    )
    return [PostingView(**{**row, "at": rfc3339(to_ms(row["at"]))}) for row in rows]


async def sums(db: Pool, wanted: Wanted, after: str, limit: int) -> list[ReferenceSum]:
    """Return what postings come to, by reference, behind one."""
    rows = await db.fetch(SQL["sum_postings"], *wanted.columns, wanted.since_ms, after, limit)
    return [
        ReferenceSum(
            row["reference"], row["debits"], row["credits"],
            [AccountSum(name, to, of, to - of) for name, to, of in _decode(row["accounts"])],
        )
        for row in rows
    ]  # fmt: skip
