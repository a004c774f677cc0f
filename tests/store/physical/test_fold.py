"""What Postgres keeps is what the written rule says, whatever came, and in whatever order."""

import random
from itertools import product

import pytest

from engine.physical.rules.folding import fold, share
from engine.physical.store import balances
from engine.physical.types.facts import Assigned, Count, Delta, Key, Part
from tests.store.physical.conftest import at

MOVES = {"receipt": (1, 0), "damage": (-1, 0), "lock": (0, 1), "unlock": (0, -1)}
MINUTES = 5  # few, so that instants coincide
STAMPS = {"accept": "accepted_at", "ship": "shipped_at", "cancel": "cancelled_at"}
PARTS = {"ship_part": "ship", "cancel_part": "cancel"}


def history(dice):
    """Facts of one key: a call each, in the order of their making."""
    facts = []
    ranks = {(dice.randint(0, MINUTES), dice.randint(0, 2)) for _ in range(dice.randint(0, 4))}
    for n, (minute, sequence) in enumerate(sorted(ranks)):
        basis = dice.choice(["on_hand", "available"])
        facts.append(("count", n, minute, sequence, basis, dice.randint(0, 50), dice.randint(0, 5)))
    facts += [
        ("move", n, dice.randint(0, MINUTES), dice.choice(list(MOVES)), dice.randint(1, 9))
        for n in range(dice.randint(0, 5))
    ]
    for n in range(dice.randint(0, 4)):
        units = dice.randint(1, 5)
        facts.append(("assign", n, units))
        facts += [
            ("stamp", n, verb, dice.randint(0, MINUTES), units)
            for verb in STAMPS
            if dice.random() < 0.6
        ]
        for verb in PARTS:
            left = units
            for name in "xy":
                if left and dice.random() < 0.4:
                    some = dice.randint(1, left)
                    left -= some
                    facts.append(("part", n, verb, dice.randint(0, MINUTES), units, name, some))
    return facts


def expected(facts):
    counts, deltas, assigned = [], [], {}
    for what, n, *rest in facts:
        if what == "count":
            minute, *told = rest
            counts.append(Count(at(minute), *told))
        elif what == "move":
            minute, kind, units = rest
            deltas.append(Delta(at(minute), *(units * sign for sign in MOVES[kind])))
        elif what == "assign":
            assigned.setdefault(n, Assigned(*rest))
        elif what == "part":
            verb, minute, units, name, some = rest
            one = assigned.setdefault(n, Assigned(units))
            part = Part(PARTS[verb], name, some, at(minute))
            assigned[n] = one._replace(parts=(*one.parts, part))
        else:
            verb, minute, _ = rest
            one = assigned.setdefault(n, Assigned(rest[2]))
            assigned[n] = one._replace(**{STAMPS[verb]: at(minute)})
    return fold(counts, deltas, assigned.values())


async def tell(place, sku, fact):
    what, n, *rest = fact
    if what == "count":
        minute, sequence, basis, quantity, locked = rest
        await place.count(
            minute, (sku, quantity, locked), basis=basis, sequence=sequence, report=f"{sku}-{n}"
        )
    elif what == "move":
        minute, kind, units = rest
        await place.move(kind, units, minute, f"{sku}-{n}", sku=sku)
    else:
        name = await place.assign(f"{sku}-{n}", rest[0] if what == "assign" else rest[2], sku)
        if what == "stamp":
            await place.note(rest[0], rest[1], name)
        elif what == "part":
            await place.part(rest[0], rest[1], name, *rest[3:])


@pytest.mark.parametrize("seed", range(20))
async def test_any_history_in_any_order_with_repeats_is_folded_as_the_rule_says(place, seed):
    dice = random.Random(seed)
    facts = history(dice)
    for sku in "ABC":
        told = [*facts, *dice.sample(facts, len(facts) // 2)]
        dice.shuffle(told)
        for fact in told:
            await tell(place, sku, fact)
        assert (await place.sums(sku) or (0, 0, 0, 0, 0)) == expected(facts), told


async def test_a_count_finds_every_assignment_as_the_rule_shares_it(place):
    """Each combination of instants before, at and after the count, for both bases."""
    moments = [None, at(4), at(5), at(6)]
    cases = [
        (basis, Assigned(3, *told))
        for basis in ("on_hand", "available")
        for told in product(moments, repeat=3)
    ]
    keys = [Key("N", "", "A", "good", str(n)) for n in range(len(cases))]
    ids = await balances.key_ids(place.pg, "main", keys)
    for key, (_, one) in zip(keys, cases, strict=True):
        await place.pg.execute(
            "INSERT INTO stock_assignments VALUES"
            " ('main', $1, 1, 'N', 1, $2, $3, $4, $5, $6, $7)",
            key.batch, ids[key], one.units, at(0), *one[1:4],
        )  # fmt: skip
    counted = [
        balances.Counted(ids[key], Count(at(5), 0, basis, 50, 4))
        for key, (basis, _) in zip(keys, cases, strict=True)
    ]
    await balances.count(place.pg, "main", counted, "r")
    for key, (basis, one) in zip(keys, cases, strict=True):
        row = await place.row(batch=key.batch)
        expects = share(one, at(5))
        found = row["accepted_then"], row["shipped_since"]
        assert found == (expects.accepted_then, expects.shipped_since), (basis, one)
        on_hand = fold([Count(at(5), 0, basis, 50, 4)], [], [one]).on_hand
        assert row["on_hand"] == on_hand


async def test_control_the_histories_have_what_makes_them_hard():
    """If one of these is missing, the test above proves less than it says."""
    seen = set()
    for seed in range(20):
        facts = history(random.Random(seed))
        late = [fact[2] for fact in facts if fact[0] == "count"]
        seen |= {fact[4] for fact in facts if fact[0] == "count"}
        seen |= {"before" if fact[2] <= max(late) else "after"
                 for fact in facts if late and fact[0] == "move"}  # fmt: skip
        seen |= {fact[2] for fact in facts if fact[0] in {"stamp", "part"}}
        seen |= {"never"} if not late else set()
    assert seen == {
        "on_hand", "available", "before", "after", "never", *STAMPS, *PARTS,
    }  # fmt: skip
