"""The physical side in double entry, and the reconciler's view of balances, over any history."""

import random

import pytest

from engine.assurance.reconciling.store import SQL
from tests.store.physical.test_fold import history, tell

BALANCES = """
SELECT account, sum(units)::bigint AS units
FROM (
  SELECT key_id, debit AS account, units FROM stock_postings
  UNION ALL
  SELECT key_id, credit, -units FROM stock_postings
) AS sides
WHERE key_id = $1
GROUP BY account
"""


async def off(place):
    return await place.pg.fetch(SQL["balances_off"], 0, 10**9)


@pytest.mark.parametrize("seed", range(20))
async def test_accounts_come_to_the_balance_whatever_was_told(place, seed):
    dice = random.Random(seed)
    facts = history(dice)
    dice.shuffle(facts)
    for fact in facts:
        await tell(place, "A", fact)
    row = await place.row("A")
    if row is None:
        return
    found = {one["account"]: one["units"] for one in await place.pg.fetch(BALANCES, row["key_id"])}
    assert sum(found.values()) == 0
    assigned = row["committed"] + row["handed_over"]
    assert found.get("node", 0) == row["on_hand"] - assigned
    assert found.get("assigned", 0) == assigned
    assert found.get("shipped", 0) == row["shipped"]
    odd = "SELECT count(*) FROM stock_postings WHERE units <= 0 OR debit = credit OR debit IS NULL"
    assert await place.pg.fetchval(odd) == 0
    assert await off(place) == [], facts


@pytest.mark.parametrize(
    "column",
    ["changed", "changed_locked", "accepted_then", "shipped_since", "committed", "handed_over",
     "shipped"],
)  # fmt: skip
async def test_a_balance_that_is_not_what_it_is_made_of_is_found(place, column):
    await place.move("receipt", 5, 1)
    name = await place.assign("o", 2)
    await place.note("accept", 2, name)
    await place.count(3, ("A", 9), basis="available")
    await place.note("ship", 4, name)
    assert await off(place) == []
    await place.pg.execute(f"UPDATE stock_balances SET {column} = {column} + 1")  # noqa: S608 - ours
    (found,) = await off(place)
    assert (found["sku"], found["node"]) == ("A", "N")


async def test_a_receipt_goes_from_the_supplier_over_the_node_to_the_buyer(place):
    await place.move("receipt", 5, 1)
    name = await place.assign("o", 2)
    await place.note("ship", 2, name)
    rows = await place.pg.fetch("SELECT kind, debit, credit, units FROM stock_postings")
    assert sorted(tuple(row) for row in rows) == [
        ("assigned", "assigned", "node", 2),
        ("receipt", "node", "supplier", 5),
        ("shipped", "shipped", "assigned", 2),
    ]
