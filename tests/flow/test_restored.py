"""Postgres restored to an earlier point: replayed where the log has it all, else told."""

from contextlib import suppress

import asyncpg
import pytest

from tests.fault.engines import certificate, id_of, open_sale
from tests.fault.marketplace import recorded


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_sale(one, A=100)
    return one


class Copy:
    """A copy of all tables, inside the same database."""

    def __init__(self, pg: asyncpg.Connection, name: str) -> None:
        self._pg, self._name = pg, name

    async def take(self) -> None:
        await self._pg.execute(f"CREATE SCHEMA {self._name}")
        async with self._pg.transaction(isolation="repeatable_read"):
            for table, columns in (await self._tables()).items():
                await self._pg.execute(
                    f"CREATE TABLE {self._name}.{table} AS SELECT {columns} FROM public.{table}"  # noqa: S608 - our own names
                )

    async def restore(self) -> None:
        """Put it back under processes that go on: who reads two tables may meet us head on."""
        for _ in range(10):
            with suppress(asyncpg.DeadlockDetectedError):
                return await self._restore()
        pytest.fail("nobody let go of the tables")

    async def _restore(self) -> None:
        tables = await self._tables()
        async with self._pg.transaction():
            await self._pg.execute(f"TRUNCATE {', '.join(f'public.{one}' for one in tables)}")
            for table, columns in tables.items():
                await self._pg.execute(
                    f"INSERT INTO public.{table} ({columns}) OVERRIDING SYSTEM VALUE"  # noqa: S608 - as above
                    f" SELECT {columns} FROM {self._name}.{table}"
                )

    async def _tables(self) -> dict[str, str]:
        rows = await self._pg.fetch(
            "SELECT table_name, string_agg(quote_ident(column_name), ', ') AS columns"
            " FROM information_schema.columns"
            " JOIN information_schema.tables USING (table_schema, table_name)"
            " WHERE table_schema = 'public' AND is_generated = 'NEVER'"
            " AND table_type = 'BASE TABLE' AND table_name NOT IN ('migrations', 'leases')"
            " GROUP BY table_name"
        )
        return {row["table_name"]: row["columns"] for row in rows}


async def trade(api, first, last):
    for number in range(first, last):
        assert (await api.buy(str(number))).status == 202
    await api.pay(id_of(str(first)), "p", 100)
    await certificate(api)
    await recorded(api)


async def grant(api, eventually, units):
    """So many units instead, and wait until Postgres knows of them."""
    path = "/v1/campaigns/sale"
    before = await api.call("GET", path)
    body = {name: before.document[name] for name in (
        "name", "starts_at", "ends_at", "channels", "skus", "hold_seconds", "grace_seconds",
    )}  # fmt: skip
    body["skus"][0]["quota"]["mall"] = units
    answer = await api.call("PUT", path, body, If_Match=before.headers["ETag"])
    assert answer.status == 200, answer.document

    async def granted():
        return await api.process.pool.fetchval("SELECT sum(granted) FROM pools") == units

    await eventually(granted, within_s=20)


async def test_what_the_log_still_has_is_recorded_again(api, pg, eventually):
    await trade(api, 0, 5)
    copy = Copy(pg, "earlier")
    await copy.take()
    await grant(api, eventually, 110)
    await trade(api, 5, 10)
    await copy.restore()
    await recorded(api)
    await certificate(api)
    assert await pg.fetchval("SELECT count(*) FROM orders") == 10
    assert (await api.buy("7")).status == 200
    await grant(api, eventually, 130)  # its number is not one that the cell has


async def test_what_the_log_has_no_more_closes_the_cell_and_is_listed(api, pg, eventually):
    await trade(api, 0, 5)
    earlier, later = Copy(pg, "earlier"), Copy(pg, "later")
    await earlier.take()
    await trade(api, 5, 10)
    last_id = await pg.fetchval("SELECT last_id FROM cells")
    await api.cell.call("trim", [last_id])
    await later.take()
    await earlier.restore()

    async def told():
        reason = await pg.fetchval("SELECT closed_reason FROM cells")
        return "5 orders that the cell has are not here" in reason and reason

    reason = await eventually(told, within_s=20)
    assert reason.startswith("the log was cut at ")
    assert "restore a Postgres that has recorded up to" in reason
    listed = {row["order_id"] for row in await pg.fetch("SELECT order_id FROM gap_orders")}
    assert listed == {id_of(str(number)) for number in range(5, 10)}
    assert (await api.buy("10")).code == "closed"
    await later.restore()
    await eventually(lambda: api.cell.is_open, within_s=20)
    await trade(api, 10, 12)


async def test_going_on_without_them_is_an_empty_valkey(api, pg, eventually):
    """A person decides so: what Postgres lacks is gone, and nothing is oversold."""
    await trade(api, 0, 5)
    copy = Copy(pg, "earlier")
    await copy.take()
    await trade(api, 5, 10)
    await api.cell.call("trim", [await pg.fetchval("SELECT last_id FROM cells")])
    await copy.restore()
    await eventually(lambda: not api.cell.is_open, within_s=20)
    api.reservations.kept.clear()  # else it hands them in again
    await api.cell.redis.flushall()
    await eventually(lambda: api.cell.is_open, within_s=20)
    await certificate(api)
    assert await pg.fetchval("SELECT count(*) FROM orders") == 5
    assert await pg.fetchval("SELECT available + held + sold FROM pools") == 100
