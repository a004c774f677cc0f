"""Checks of what Postgres alone has: each is one statement, so of one moment and certain."""

from typing import Final

from engine.assurance.reconciling import store
from engine.assurance.reconciling.looking import Looking, Steps
from engine.assurance.reconciling.rules import SEPARATOR
from engine.assurance.reconciling.store import FOUND_MAX, SQL
from engine.assurance.reconciling.types import Drift, SendAgain, StopSku

_LONG_S: Final = 300.0  # one statement over all that was ever recorded
_KEYS_A_STEP: Final = 1_000


async def ledger(look: Looking) -> Steps:
    """The ledger against the pools, and the grants against the ledger; each of one moment."""
    found = []
    for row in await look.db.fetch(SQL["ledger_gaps"], look.cell.id, FOUND_MAX, timeout=_LONG_S):
        pool, said = tuple(row["pool"]), tuple(row["ledger"])
        off = max(abs(a - b) for a, b in zip(pool, said, strict=True))
        detail = f"pool {row['pool_id']} ({store.name_of(row)}): its ledger sums to something else"
        told = (str(pool), str(said))
        # what the cell holds is compared with the pool: nothing is sold by the ledger
        found.append(Drift("ledger_gap", row["tenant"], row["pool_id"], *told, off, detail))
    yield found


async def grants(look: Looking) -> Steps:
    """Grants against what the log told of them, of one moment in Postgres."""
    rows = await look.db.fetch(SQL["grant_gaps"], look.cell.id, FOUND_MAX, timeout=_LONG_S)
    if not rows:
        return
    found = []
    for row in rows:
        given, told = row["given"], row["told"]
        about = f"pool {row['pool_id']} ({store.name_of(row)})"
        named = (row["tenant"], row["pool_id"])
        if told > given:
            detail = f"{about}: the log told of more granted units than its grants have"
            fix = StopSku(row["tenant"], row["sku"])
            units = told - given
            found.append(Drift("doubled_grant", *named, str(given), str(told), units, detail, fix))
        elif told < given:
            detail = f"{about}: a grant is marked as applied, and the log did not tell of it"
            again = SendAgain(row["pool_id"], row["untold"]) if row["untold"] else None
            found.append(
                Drift("lost_grant", *named, str(given), str(told), given - told, detail, again)
            )
        elif row["numbers"] != row["last_seq"]:
            detail = f"{about}: a number of its grants is missing"
            numbers = (str(row["last_seq"]), str(row["numbers"]))
            found.append(Drift("lost_grant", *named, *numbers, 0, detail))
        else:
            detail = f"{about}: a later grant was applied before an earlier one"
            numbers = (f"grant {row['first_open']}", f"grant {row['last_applied']}")
            found.append(Drift("reordered_grant", *named, *numbers, 0, detail))
    yield found


async def owed(look: Looking) -> Steps:
    """Who is owed what, against what the pools owe."""
    yield [
        Drift(
            "owed_off", row["tenant"], row["pool_id"], str(row["owed"]), str(row["listed"]),
            abs(row["owed"] - row["listed"]),
            f"pool {row['pool_id']} ({store.name_of(row)}) owes other units than its orders lack",
        )
        for row in await look.db.fetch(SQL["owed_off"], look.cell.id, FOUND_MAX)
    ]  # fmt: skip


async def documents(look: Looking) -> Steps:
    """What policies and campaigns say against what of them was planned.

    Which of the two is right, nobody here knows: it is raised, and nothing is planned.
    """
    found = []
    for row in await look.db.fetch(SQL["documents_off"], FOUND_MAX):
        about = f"{row['what']} {row['id']}" + (f", SKU {row['sku']}" if row["sku"] else "")
        detail = f"{about}: its document is not what was planned of it; put it as it should be"
        subject = SEPARATOR.join(("document", row["what"], row["id"], row["sku"]))
        told = ("what was planned", "another document")
        found.append(Drift("policy_drift", row["tenant"], subject, *told, 0, detail))
    yield found


async def balances(look: Looking) -> Steps:
    """Physical balances against the movements and assignments they are made of."""
    last = await look.db.fetchval(SQL["last_key"])
    for first in range(0, last, _KEYS_A_STEP):
        rows = await look.db.fetch(SQL["balances_off"], first, first + _KEYS_A_STEP)
        yield [
            Drift(
                "balance_off", row["tenant"], str(row["key_id"]), str(tuple(row["counted"])),
                str(tuple(row["stored"])),
                max(abs(a - b) for a, b in zip(row["counted"], row["stored"], strict=True)),
                f"the balance of {row['sku']} at {row['node']} is not what its movements come to",
            )
            for row in rows
        ]  # fmt: skip


async def listings(look: Looking) -> Steps:
    """What shops show against what they were told and have confirmed."""
    yield [
        Drift(
            "listing_drift", row["tenant"],
            SEPARATOR.join((row["channel"], row["item_id"], row["sku_id"])),
            str(row["published"]), str(row["seen"]), abs(row["drift"]),
            f"{row['channel']} shows {row['seen']} of {row['item_id']} {row['sku_id']}"
            f" ({row['sku']}) and confirmed {row['published']}",
        )
        for row in await look.db.fetch(SQL["listings_off"], FOUND_MAX)
    ]  # fmt: skip
