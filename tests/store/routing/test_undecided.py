"""One order that cannot be decided waits for a person; where none can be, it is not for that."""

import asyncpg
import pytest
from structlog.testing import capture_logs

from engine.routing.rules.deciding import decide
from engine.routing.service import router
from tests.store.physical import conftest as physical
from tests.store.routing import test_carriers

place, town = physical.place, test_carriers.town


class Fault:
    """Deciding that fails as told: of orders by name, or of all of them."""

    def __init__(self, monkeypatch):
        self.of, self.why = set(), AssertionError("a bug")
        self.calls = 0
        monkeypatch.setattr(router, "decide", self)

    def __call__(self, plan, snap, orders, *more):
        self.calls += 1
        if self.of is None or any(one.order_id in self.of for one in orders):
            raise self.why
        return decide(plan, snap, orders, *more)


@pytest.fixture
async def fault(town, monkeypatch):
    await town.node("N", kind="DC")
    await town.service("cheap")
    with capture_logs():  # to print what each call on the way had in its hands takes seconds
        yield Fault(monkeypatch)


async def turns(town, n=3):
    """Some turns of one router, each of all that waits, as if its time had come."""
    for _ in range(n):
        await town.pg.execute("UPDATE routing_queue SET due_at = now() WHERE queue = 'NEW'")
        try:
            await town.router.turn()
        except asyncpg.PostgresError:
            continue


async def queues(town):
    rows = await town.pg.fetch("SELECT order_id, queue, reason FROM routing_queue")
    return {row["order_id"]: (row["queue"], row["reason"]) for row in rows}


async def test_a_fault_of_all_sets_none_aside(town, fault):
    names = [await town.order() for _ in range(4)]
    fault.of = None
    await turns(town)
    assert fault.calls > len(names), "each was tried by itself, too"
    assert set((await queues(town)).values()) == {("NEW", "")}
    fault.of = set()
    await turns(town)
    assert await queues(town) == {}


async def test_a_fault_of_one_among_others_sets_it_aside(town, fault):
    odd, *_ = [await town.order() for _ in range(4)]
    fault.of = {odd}
    await turns(town, 1)
    assert await queues(town) == {odd: ("MANUAL", "undecided")}


async def test_a_fault_of_what_comes_alone_is_weighed_against_what_comes_later(town, fault):
    odd = await town.order()
    fault.of = None
    await turns(town)
    assert await queues(town) == {odd: ("NEW", "")}, "nobody knows yet whose fault it is"
    fault.of = {odd}
    await town.order()
    await town.pg.execute("UPDATE routing_queue SET due_at = NULL WHERE order_id = $1", odd)
    await town.router.turn()
    assert set(await queues(town)) == {odd}
    await turns(town, 1)
    assert await queues(town) == {odd: ("MANUAL", "undecided")}


@pytest.mark.parametrize(
    "why",
    [
        asyncpg.QueryCanceledError("statement timeout"), asyncpg.DiskFullError("no space left"),
        asyncpg.LockNotAvailableError("lock timeout"), asyncpg.UndefinedTableError("not migrated"),
        asyncpg.ReadOnlySQLTransactionError("a standby"), OSError("gone"),
    ],
)  # fmt: skip
async def test_what_the_database_fails_sets_none_aside(town, fault, why):
    odd, *_ = [await town.order() for _ in range(3)]
    fault.of, fault.why = {odd}, why
    await town.pg.execute("UPDATE routing_queue SET due_at = now()")
    with pytest.raises(type(why)):
        await town.router.turn()
    assert set((await queues(town)).values()) == {("NEW", "")}


async def test_what_an_order_does_to_the_database_is_its_own_fault(town, fault):
    odd, *_ = [await town.order() for _ in range(3)]
    fault.of, fault.why = {odd}, asyncpg.DataError("out of range")
    await turns(town, 1)
    assert await queues(town) == {odd: ("MANUAL", "undecided")}
