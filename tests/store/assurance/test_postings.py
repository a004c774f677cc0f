"""The ledger in double entry: each posting has two sides, and accounts come to what pools have."""

import random
from collections import Counter

import pytest

KINDS = ("granted", "reserved", "confirmed", "released", "returned", "moved", "synced", "expired")
BALANCES = """
SELECT item, account, sum(units)::bigint AS units
FROM (
  SELECT item, debit AS account, units FROM ledger_postings
  UNION ALL
  SELECT item, credit, -units FROM ledger_postings
) AS sides
GROUP BY item, account
"""


async def write(pg, n, kind, pool, *accounts):
    await pg.execute(
        "INSERT INTO ledger VALUES ('1', $1, 0, $2, 'r', $3, $4, $5, $6, $7, $8)",
        f"{1_700_000_000_000 + n}-0", kind, pool, *accounts,
    )  # fmt: skip


async def accounts(pg):
    rows = await pg.fetch(BALANCES)
    return {(row["item"], row["account"]): row["units"] for row in rows if row["units"]}


@pytest.mark.parametrize("seed", range(5))
async def test_accounts_come_to_the_pools_whatever_happened(pg, seed):
    dice, sums = random.Random(seed), Counter()
    for n in range(60):
        pool, kind = f"p{n % 3}", dice.choice(KINDS)
        granted, owed, held, sold = (dice.randint(-5, 5) for _ in range(4))
        row = (granted, owed, granted + owed - held - sold, held, sold)
        await write(pg, n, kind, pool, *row)
        sums.update({(pool, account): units for account, units in enumerate(row)})
    signs = {"node": (0, -1), "owed": (1, -1), "pool": (2, 1), "hold": (3, 1), "sold": (4, 1)}
    assert await accounts(pg) == {
        (pool, account): sign * sums[pool, place]
        for pool in ("p0", "p1", "p2")
        for account, (place, sign) in signs.items()
        if sums[pool, place]
    }
    odd = "SELECT count(*) FROM ledger_postings WHERE units <= 0 OR debit = credit"
    assert await pg.fetchval(odd) == 0


async def test_what_comes_back_passes_its_own_account(pg):
    await write(pg, 1, "granted", "p", 9, 0, 9, 0, 0)
    await write(pg, 2, "reserved", "p", 0, 0, -2, 2, 0)
    await write(pg, 3, "confirmed", "p", 0, 0, 0, -2, 2)
    await write(pg, 4, "returned", "p", 0, 0, 2, 0, -2)
    rows = await pg.fetch(
        "SELECT kind, debit, credit, units FROM ledger_postings ORDER BY entry, line, part"
    )
    assert [tuple(row) for row in rows] == [
        ("granted", "pool", "node", 9),
        ("reserved", "hold", "pool", 2),
        ("confirmed", "pool", "hold", 2),
        ("confirmed", "sold", "pool", 2),
        ("returned", "returned", "sold", 2),
        ("returned", "pool", "returned", 2),
    ]
    assert await accounts(pg) == {("p", "pool"): 9, ("p", "node"): -9}


async def test_a_row_that_does_not_add_up_stands_against_adjustment(pg):
    """The control: the view hides nothing."""
    await write(pg, 1, "granted", "p", 9, 0, 7, 0, 0)
    assert await accounts(pg) == {("p", "pool"): 7, ("p", "node"): -9, ("p", "adjustment"): 2}
