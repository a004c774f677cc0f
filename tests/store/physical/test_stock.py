"""Movements, counts and assignments, one behaviour at a time."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from engine.kernel.errors import IdempotencyConflict, InConflict, NotFound, ValidationFailed
from engine.physical.service import assignments
from engine.physical.types.facts import Assignment
from engine.physical.types.stock import CountLine, MovementFields, MovementLine
from tests.store.physical.conftest import at


async def recorded(place, kind=None):
    rows = await place.pg.fetch(
        "SELECT kind, quantity, locked, applied, why_not, reference, n FROM stock_movements"
        " ORDER BY movement_id"
    )
    return [tuple(row) for row in rows if kind in {None, row["kind"]}]


def pointers(refusal):
    return [one["pointer"] for one in refusal.value.extra["errors"]]


@pytest.mark.parametrize(
    ("kind", "quantity", "sums"),
    [
        ("receipt", 3, (13, 0, 0, 0, 13)),
        ("transfer_in", 3, (13, 0, 0, 0, 13)),
        ("return_in", 3, (13, 0, 0, 0, 13)),
        ("adjustment", -12, (-2, 0, 0, 0, -2)),
        ("transfer_out", 3, (7, 0, 0, 0, 7)),
        ("damage", 3, (7, 0, 0, 0, 7)),
        ("lock", 3, (10, 3, 0, 0, 7)),
        ("unlock", 3, (10, -3, 0, 0, 13)),
    ],
)
async def test_what_each_kind_does(place, kind, quantity, sums):
    await place.move("receipt", 10)
    told = await place.move(kind, quantity)
    assert await place.sums() == sums
    assert told["lines"][0].balance.sellable == sums[-1]
    for wrong in (0, -1) if kind != "adjustment" else (0,):
        with pytest.raises(ValidationFailed) as refusal:
            await place.move(kind, wrong)
        assert pointers(refusal) == ["/lines/0/quantity"]
    assert await place.sums() == sums


async def test_a_condition_changes_in_one_movement(place):
    await place.move("receipt", 10)

    def change(*lines):
        told = [MovementLine("N", "A", units, condition=one) for one, units in lines]
        return place.post(MovementFields(f"x{lines}", "condition_change", told))

    await change(("ZP", -4), ("CC", 4))
    assert (await place.sums())[0] == 6
    assert (await place.sums(condition="defective"))[0] == 4
    for wrong in (
        [("ZP", -4)],
        [("ZP", -4), ("CC", 3)],
        [("ZP", -4), ("good", 4)],
        [("ZP", -4), ("CC", 2), ("JS", 2)],
    ):
        with pytest.raises(ValidationFailed):
            await change(*wrong)
    assert (await place.sums())[0] == 6


async def test_units_of_measure_are_multiplied(place):
    await place.move("receipt", 2, unit="case")
    assert (await place.sums())[0] == 24
    await place.count(1, CountLine("A", 3, 1, batch="b", unit="case"))
    assert await place.sums(batch="b") == (36, 12, 0, 0, 24)
    with pytest.raises(ValidationFailed) as refusal:
        await place.move("receipt", 2, unit="pallet")
    assert pointers(refusal) == ["/lines/0/unit"]
    with pytest.raises(ValidationFailed):
        await place.move("receipt", 10**9, unit="case")


async def test_the_same_reference_is_recorded_once(place):
    first = await place.move("receipt", 5, reference="r")
    again = await place.move("receipt", 5, reference="r")
    assert again["lines"][0]["balance"]["on_hand"] == first["lines"][0].balance.on_hand == 5
    await place.move("receipt", 1)
    assert (await place.move("receipt", 5, reference="r")) == again, "the same answer as then"
    assert (await place.sums())[0] == 6
    for other in ({"quantity": 6}, {"quantity": 5, "condition": "CC"}):
        with pytest.raises(IdempotencyConflict):
            await place.move("receipt", reference="r", **other)
    await place.move("receipt", 5, reference="r", condition="ZP")  # the same, in Qimen's word
    assert (await place.sums())[0] == 6


async def test_one_bad_line_leaves_nothing_behind(place):
    lines = [MovementLine("N", "A", 1), MovementLine("X", "Y\x00", 1, batch="\n")]
    with pytest.raises(ValidationFailed) as refusal:
        await place.post(MovementFields("r", "receipt", lines))
    assert pointers(refusal) == ["/lines/1/node", "/lines/1/batch", "/lines/1/sku"]
    assert await place.row() is None
    await place.post(MovementFields("r", "receipt", lines[:1]))
    assert (await place.sums())[0] == 1


async def test_a_movement_that_a_count_knows_of_is_recorded_and_not_applied(place):
    await place.count(5, ("A", 100))
    told = await place.move("receipt", 7, 5)
    assert (told["lines"][0].applied, told["lines"][0].why_not) == (False, "before_count")
    await place.move("receipt", 3, 6)
    assert (await place.sums())[0] == 103
    assert await recorded(place, "receipt") == [
        ("receipt", 7, 0, False, "before_count", "m2", 0),
        ("receipt", 3, 0, True, "", "m3", 0),
    ]


async def test_a_count_takes_in_what_happened_before_it(place):
    await place.move("receipt", 7, 3)
    await place.move("receipt", 5, 8)
    told = await place.count(5, ("A", 20, 2))
    assert (told["applied"], told["corrected"]) == (1, 1)
    assert await place.sums() == (25, 2, 0, 0, 23)
    assert await recorded(place, "count") == [("count", 13, 2, True, "", "c3", 0)]


async def test_a_late_count_changes_nothing(place):
    await place.count(5, ("A", 20))
    told = await place.count(4, ("A", 99))
    assert (told["applied"], told["stale"], told["corrected"]) == (0, 1, 0)
    await place.count(5, ("A", 21), sequence=1)
    assert (await place.sums())[0] == 21


async def test_a_contradiction_is_refused_with_the_whole_page(place):
    await place.count(5, ("A", 20))
    assert (await place.count(5, ("A", 20)))["stale"] == 1
    with pytest.raises(IdempotencyConflict, match="raise the sequence"):
        await place.count(5, ("B", 3), ("A", 21))
    assert await place.row("B") is None
    with pytest.raises(IdempotencyConflict):
        await place.count(5, ("A", 20), basis="available")


async def test_pages_come_in_any_order_and_twice(place):
    await place.count(1, ("A", 10), ("C", 4))
    common = {"report": "r", "pages": 2, "owner": "", "complete": True}
    second = await place.count(5, ("B", 2), page=2, **common)
    assert (second["pages_missing"], second["zeroed"]) == (1, 0)
    assert (await place.sums("C"))[0] == 4
    first = await place.count(5, ("A", 9), page=1, **common)
    assert (first["pages_missing"], first["zeroed"]) == (0, 1)
    assert [(await place.sums(sku))[0] for sku in "ABC"] == [9, 2, 0]
    assert (await place.count(5, ("B", 2), page=2, **common)) == second
    with pytest.raises(IdempotencyConflict, match="other lines"):
        await place.count(5, ("B", 3), page=2, **common)
    with pytest.raises(IdempotencyConflict, match="head"):
        await place.count(6, ("B", 2), page=2, **common)
    assert ("count", -4, 0, True, "", "r", -1) in await recorded(place, "count")


async def test_a_complete_count_leaves_other_owners_and_places_alone(place):
    await place.count(1, ("A", 10), owner="x")
    await place.count(1, ("A", 10), node="M", owner="")
    await place.count(5, owner="", complete=True)
    assert (await place.sums(owner="x"))[0] == 10
    assert (await place.sums(node="M"))[0] == 10


async def test_what_is_first_heard_of_after_a_complete_count_was_counted_0_by_it(place):
    await place.count(5, ("A", 1), owner="", complete=True)
    told = await place.move("receipt", 7, 4, sku="B")
    assert told["lines"][0].why_not == "before_count"
    assert (await place.sums("B"))[0] == 0
    assert (await place.count(3, ("C", 9)))["stale"] == 1
    await place.move("receipt", 2, 6, sku="C")
    assert (await place.sums("C"))[0] == 2
    await place.count(4, owner="", complete=True)  # an older one does not undo it
    assert (await place.move("receipt", 1, 5, sku="B"))["lines"][0].applied is False


async def test_a_page_may_be_empty_but_not_of_a_node_that_is_none(place):
    with pytest.raises(ValidationFailed) as refusal:
        await place.count(1, node="X", owner="", complete=True)
    assert pointers(refusal) == ["/node"]


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"complete": True}, "/owner"),
        ({"page": 2}, "/page"),
        ({"owner": "\x00"}, "/owner"),
    ],
)
async def test_what_a_page_may_not_say(place, more, pointer):
    with pytest.raises(ValidationFailed) as refusal:
        await place.count(1, ("A", 1), **more)
    assert pointers(refusal) == [pointer]


async def test_lines_of_a_page_are_of_different_keys_and_dates_of_batches(place):
    with pytest.raises(ValidationFailed) as refusal:
        await place.count(1, ("A", 1), CountLine("A", 1, condition="ZP"))
    assert pointers(refusal) == ["/lines/1"]
    day = date(2027, 1, 31)
    with pytest.raises(ValidationFailed) as refusal:
        await place.count(1, CountLine("A", 1, expires_on=day))
    assert pointers(refusal) == ["/lines/0/batch"]
    await place.count(2, CountLine("A", 1, batch="b", expires_on=day))
    made, other = date(2025, 12, 1), date(2026, 1, 1)
    await place.count(1, CountLine("A", 1, batch="b", expires_on=other, produced_on=made))
    row = await place.pg.fetchrow("SELECT produced_on, expires_on FROM stock_keys")
    assert tuple(row) == (made, day)


async def test_the_future_is_refused(place):
    with pytest.raises(ValidationFailed) as refusal:
        await place.count(60 * 24 * 365 * 20, ("A", 1))
    assert pointers(refusal) == ["/as_of"]
    with pytest.raises(ValidationFailed) as refusal:
        await place.move("receipt", 1, 60 * 24 * 365 * 20)
    assert pointers(refusal) == ["/happened_at"]


async def test_sold_is_split_and_a_shipment_leaves_sellable_alone(place):
    await place.count(1, ("A", 10))
    name = await place.assign("o", 3)
    assert await place.sums() == (10, 0, 3, 0, 7)
    await place.assign("o", 3)
    assert await place.sums() == (10, 0, 3, 0, 7)
    await place.note("accept", 2, name)
    assert await place.sums() == (10, 0, 0, 3, 7)
    await place.note("ship", 3, name)
    await place.note("ship", 4, name)
    assert await place.sums() == (7, 0, 0, 0, 7)
    assert (await place.row())["shipped"] == 3
    known = await place.note("cancel", 5, name)
    assert known[name].shipped_at == at(3), "it had left"
    assert await place.sums() == (7, 0, 0, 0, 7)


async def test_an_assignment_keeps_its_units_and_a_second_attempt_is_another(place):
    name = await place.assign("o", 3)
    with pytest.raises(IdempotencyConflict):
        await place.assign("o", 4)
    with pytest.raises(IdempotencyConflict):
        await place.assign("o", 3, sku="B")
    await place.note("cancel", 1, name)
    await place.assign("o", 2, attempt=2)
    assert await place.sums() == (0, 0, 2, 0, -2)
    with pytest.raises(NotFound):
        await place.note("accept", 1, Assignment("o", 1, "N", 3))


async def test_each_change_has_its_version_and_no_change_has_none(place):
    await place.count(5, ("A", 10))
    name = await place.assign("o", 3)
    seen = [(await place.row())["version"]]
    for step in (
        place.move("receipt", 1, 4),  # before the count
        place.count(4, ("A", 1)),
        place.assign("o", 3),
        place.note("accept", 6, name),
        place.note("accept", 7, name),
        place.move("receipt", 1, 6),
    ):
        await step
        seen.append((await place.row())["version"])
    assert [after - before for before, after in pairwise(seen)] == [
        0, 0, 0, 1, 0, 1,
    ]  # fmt: skip


async def test_less_than_nothing_is_available_and_never_on_hand(place):
    await place.count(1, ("A", -3, 1), basis="available")
    assert await place.sums() == (-2, 1, 0, 0, -3)
    with pytest.raises(ValidationFailed) as refusal:
        await place.count(2, ("A", -3))
    assert pointers(refusal) == ["/lines/0/quantity"]


async def test_units_leave_in_parcels_and_the_rest_is_cancelled(place):
    await place.count(1, ("A", 10))
    name = await place.assign("o", 5)
    await place.part("ship_part", 3, name, "p1", 2)
    for _ in range(2):  # who ships a part has accepted the whole
        assert await place.sums() == (8, 0, 0, 3, 5)
        await place.part("ship_part", 4, name, "p1", 2)
    await place.part("cancel_part", 5, name, "c1", 1)
    assert await place.sums() == (8, 0, 0, 2, 6)
    known = await place.note("cancel", 6, name)
    assert [part.units for part in known[name].parts] == [1, 2]
    assert await place.sums() == (8, 0, 0, 0, 8)
    assert (await place.row())["shipped"] == 2
    await place.part("ship_part", 7, name, "p2", 3)  # it left all the same
    assert await place.sums() == (5, 0, 0, 0, 5)


async def test_a_part_keeps_its_units_and_parts_are_no_more_than_the_whole(place):
    name = await place.assign("o", 3)
    await place.part("ship_part", 1, name, "p", 2)
    before = await place.sums()
    with pytest.raises(IdempotencyConflict):
        await place.part("ship_part", 1, name, "p", 1)
    with pytest.raises(InConflict):
        await place.part("ship_part", 1, name, "q", 2)
    with pytest.raises(InConflict):
        await place.part("cancel_part", 1, name, "q", 4)
    with pytest.raises(ValidationFailed):
        await place.part("cancel_part", 1, name, "q", 0)
    with pytest.raises(ValidationFailed):
        await place.part("cancel_part", 1, name, "\x00", 1)
    with pytest.raises(NotFound):
        await place.part("ship_part", 1, name._replace(attempt=2), "p", 1)
    assert await place.sums() == before


async def test_since_an_instant_is_what_came_at_it_or_later_in_whatever_order_it_began(place):
    hours = (3, 2.2, 2.4, 0.3, 0.8, 0.2, 0)  # none an hour after one that began later
    for n, ago in enumerate(hours):
        await place.move("receipt", 1, reference=f"{n}")
        await place.pg.execute(
            "UPDATE stock_movements SET received_at = now() - $1 * interval '1 hour'"
            " WHERE reference = $2", ago, f"{n}",
        )  # fmt: skip
    for hour in (-1, 0.1, 0.25, 0.5, 1, 2.3, 2.5, 4):
        since = datetime.now(UTC) - timedelta(hours=hour)
        found = [one.reference for _, one in (await place.moved(None, since)).rows]
        assert found == [f"{n}" for n, ago in enumerate(hours) if ago <= hour]


async def test_units_are_given_to_the_same_node_once_more(place):
    await place.move("receipt", 10, 1)
    old = await place.assign("o-1", 3)
    await place.note("cancel", 5, old)
    new = old._replace(attempt=2)
    for _ in range(2):
        async with place.runtime.pool.acquire() as db, db.transaction():
            await assignments.again(db, "main", {old: new}, at(6))
    assert await place.sums() == (10, 0, 3, 0, 7)
    with pytest.raises(NotFound):
        async with place.runtime.pool.acquire() as db, db.transaction():
            await assignments.again(db, "main", {old._replace(attempt=7): new}, at(6))
