"""The recorder writes each entry of the log once, whoever else records and whatever it loses."""

import asyncio
from contextlib import suppress

import pytest

from engine.assurance.verify import certify
from engine.infra import cell as cells
from engine.infra import keys, log, postgres
from engine.infra.cell import Cell
from engine.kernel.clock import SystemClock
from engine.orders import store
from engine.orders.recorder import Recorder
from tests.fault.books import log_says, postgres_says
from tests.fault.engines import campaign_of, certificate, house, id_of, open_sale
from tests.fault.proxy import in_front_of

SMALL = 8  # entries in one transaction, so that recorders meet often


@pytest.fixture
async def sale(settings):
    """A running sale of which nothing is recorded: no worker has that role."""
    async with house(settings) as here:
        await here.worker("keeper", "sweeper", "publisher")
        api = await here.api()
        await open_sale(api, A=10_000, B=10_000)
        yield api


@pytest.fixture
async def recorder_of(settings):
    """Make recorders with clients of their own."""
    clients = []

    def make(owner, dsn=settings.database_url):
        clients.append(cells.client(settings.valkey_url))
        cell = Cell(clients[-1], "1", SystemClock())
        return Recorder(cell, dsn, SystemClock(), owner, keep_seconds=3_600)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def connections(settings):
    both = [await store.recording(settings.database_url) for _ in range(2)]
    yield both
    for one in both:
        await one.close()


async def some_orders(api, count=20, tag=""):
    """Orders one by one, so each has an entry of its own; some are paid, some cancelled."""
    for n in range(count):
        number = f"{tag}{n}"
        bought = await api.buy(number, ("A", 1), ("B", 2))
        assert bought.status == 202, bought.document
        if n % 3 == 0:
            assert (await api.pay(id_of(number), "p", 300)).document["state"] == "applied"
        elif n % 3 == 1:
            assert (await api.cancel(id_of(number), "c")).status == 200


@pytest.fixture
async def start(sale, recorder_of, connections, pg, eventually):
    """Where a recorder stands: behind the checkpoint of the opening, which ends a batch."""

    async def checkpoint():
        return [one for one in await entries_after(sale, "0-0") if b"\xa1T" in one.events]

    await eventually(checkpoint, within_s=15)
    at, epoch = "0-0", await pg.fetchval("SELECT epoch FROM cells")
    while entries := await entries_after(sale, at):
        at = await recorder_of("before").record(connections[0], epoch, at, entries)
    return at


async def entries_after(api, at):
    return await log.read(api.cell.redis, "1", at, 1_000, wait_ms=None)


async def agree(api, pg, eventually, within_s=20):
    """Wait until Postgres has come to the end of the log, then compare everything."""

    async def at_the_end():
        return (await postgres_says(pg))["end"] == (await log_says(api.cell.redis))["end"]

    await eventually(at_the_end, within_s=within_s)
    assert await postgres_says(pg) == await log_says(api.cell.redis)


async def overlap(api, recorder_of, connections, pg, start):
    """Two recorders have read from the same position, the second one further; both write."""
    await some_orders(api)
    entries = await entries_after(api, start)
    epoch = await pg.fetchval("SELECT epoch FROM cells")
    first, second = connections
    one, other = recorder_of("one"), recorder_of("other")
    return [
        await one.record(first, epoch, start, entries[:15]),
        await other.record(second, epoch, start, entries),
    ], entries


async def test_control_a_position_that_only_grows_counts_twice(
    sale, recorder_of, connections, pg, start, monkeypatch
):
    """If this stops counting twice, the tests of overlapping recorders prove nothing."""
    careless = store.SQL["advance"].replace("last_id = $7", "last_id < $2 AND $7 <> ''")
    assert careless != store.SQL["advance"]
    monkeypatch.setattr(store, "SQL", {**store.SQL, "advance": careless})
    # the ledger's key is a second guard, for entries that move units; without it, the counters show
    await pg.execute("ALTER TABLE ledger DROP CONSTRAINT ledger_pkey")
    await overlap(sale, recorder_of, connections, pg, start)
    found, truth = await postgres_says(pg), await log_says(sale.cell.redis)
    assert found["pools"] != truth["pools"]
    assert found["claims"] > truth["claims"]
    assert found["moves"] > truth["moves"]


async def test_the_second_of_two_overlapping_recorders_writes_nothing(
    sale, recorder_of, connections, pg, start, eventually
):
    ends, entries = await overlap(sale, recorder_of, connections, pg, start)
    assert ends == [entries[14].log_id, None]
    await recorder_of("third").record(
        connections[0], await pg.fetchval("SELECT epoch FROM cells"), ends[0], entries[15:]
    )
    await agree(sale, pg, eventually)


async def test_of_two_transactions_at_once_one_is_rolled_back(
    sale, recorder_of, connections, pg, start, eventually
):
    await some_orders(sale)
    entries = await entries_after(sale, start)
    epoch = await pg.fetchval("SELECT epoch FROM cells")
    made = [recorder_of(name) for name in ("one", "other")]
    ends = await asyncio.gather(
        *(
            one.record(connection, epoch, start, entries)
            for one, connection in zip(made, connections, strict=True)
        )
    )
    assert sorted(ends, key=str) == sorted([entries[-1].log_id, None], key=str)
    await agree(sale, pg, eventually)


async def test_a_recorder_of_an_older_epoch_writes_nothing(sale, recorder_of, connections, pg):
    await some_orders(sale, 3)
    entries = await entries_after(sale, "0-0")
    epoch = await pg.fetchval("UPDATE cells SET epoch = epoch + 1 RETURNING epoch - 1")
    assert await recorder_of("old").record(connections[0], epoch, "0-0", entries) is None
    assert await pg.fetchval("SELECT count(*) FROM orders") == 0
    assert await pg.fetchval("SELECT recorded FROM cells") == 0


async def test_two_running_recorders_that_both_think_they_own_the_log(
    sale, recorder_of, pg, eventually, monkeypatch
):
    refused = 0
    advance = store.advance

    async def own(*_):
        return True

    async def counted(*args):
        nonlocal refused
        recorded = await advance(*args)
        refused += recorded is None
        return recorded

    monkeypatch.setattr(store, "own", own)
    monkeypatch.setattr(store, "advance", counted)
    monkeypatch.setattr("engine.kernel.limits.RECORDER_ENTRIES_MAX", SMALL)
    tasks = [asyncio.ensure_future(recorder_of(name).run()) for name in ("one", "other")]
    await asyncio.gather(*(some_orders(sale, 25, f"{part}-") for part in "abcd"))
    await agree(sale, pg, eventually)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert refused > 0, "they never met"


@pytest.mark.parametrize("lost", ["lose_reply", "lose_request"])
async def test_a_commit_whose_reply_is_lost_is_not_done_twice(  # noqa: PLR0913, PLR0917 - fixtures
    sale, recorder_of, settings, pg, eventually, monkeypatch, lost
):
    monkeypatch.setattr("engine.kernel.limits.RECORDER_ENTRIES_MAX", SMALL)
    await some_orders(sale, 40)
    commits = 0

    def every_second(chunk):
        nonlocal commits
        commits += b"COMMIT;" in chunk
        return b"COMMIT;" in chunk and commits % 2 == 1

    async with in_front_of(settings.database_url) as proxy:
        setattr(proxy, lost, every_second)
        recorder = recorder_of("one", proxy.url(settings.database_url))
        task = asyncio.ensure_future(recorder.run())
        await agree(sale, pg, eventually)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert proxy.lost_replies + proxy.lost_requests >= 3


async def test_a_recorder_killed_by_the_server_between_statements_goes_on(
    sale, recorder_of, pg, eventually, monkeypatch
):
    """Each backend is ended in the middle of its first transactions."""
    monkeypatch.setattr("engine.kernel.limits.RECORDER_ENTRIES_MAX", SMALL)
    await some_orders(sale, 30)
    ended = 0
    post = store.post

    async def killed(tx, cell, rows, grants):
        nonlocal ended
        found = await post(tx, cell, rows, grants)
        if ended < 3:
            ended += 1
            # not by `pg`: the test is asking it something at the same time
            await sale.process.pool.execute("SELECT pg_terminate_backend($1)", tx.get_server_pid())
        return found

    monkeypatch.setattr(store, "post", killed)
    task = asyncio.ensure_future(recorder_of("one").run())
    await agree(sale, pg, eventually)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert ended == 3


async def test_a_grant_of_which_postgres_lost_the_intention_keeps_its_number(
    sale, recorder_of, pg, eventually
):
    """The cell has it: the next one must not have the same number."""
    rows = "SELECT pool_id, seq, delta, reason, reference FROM grants ORDER BY pool_id, seq"
    given = [tuple(row) for row in await pg.fetch(rows)]
    assert given
    lost = given[0][:2]
    await pg.execute("DELETE FROM grants WHERE pool_id = $1 AND seq = $2", *lost)
    task = asyncio.ensure_future(recorder_of("one").run())
    await agree(sale, pg, eventually)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert [tuple(row) for row in await pg.fetch(rows)] == given
    assert await pg.fetchval("SELECT bool_and(applied = delta) FROM grants")
    last = await pg.fetch("SELECT pool_id, max(seq) AS seq FROM grants GROUP BY 1 ORDER BY 1")
    assert last == await pg.fetch("SELECT pool_id, seq FROM pools ORDER BY 1")


async def test_a_dead_recorders_log_is_taken_over(sale, recorder_of, pg, eventually):
    """A stopped recorder cannot give up its ownership: it lapses."""
    await some_orders(sale, 3)
    await pg.execute(
        "UPDATE cells SET owner = 'stopped', owner_until = now() + interval '1 second'"
    )
    task = asyncio.ensure_future(recorder_of("next").run())
    await agree(sale, pg, eventually)
    assert await pg.fetchval("SELECT owner FROM cells") == "next"
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_recorder_stopped_inside_its_transaction_is_overtaken(
    sale, recorder_of, settings, pg, start, eventually
):
    """Its locks are released by the server: nobody else can make it let go."""
    await some_orders(sale, 3)
    end = (await entries_after(sale, start))[-1].log_id
    epoch = await pg.fetchval("SELECT epoch FROM cells")
    stopped = await postgres.connect(settings.database_url)
    await stopped.transaction().start()
    assert await store.advance(stopped, "1", "stopped", epoch, start, end, 3) is not None
    task = asyncio.ensure_future(recorder_of("next").run())
    await agree(sale, pg, eventually, within_s=12)
    with pytest.raises(postgres.UNAVAILABLE):  # as it goes on, it finds itself without connection
        await stopped.fetchval("SELECT 1")
    stopped.terminate()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_pool_granted_behind_the_checkpoint_breaks_no_certificate(settings, pg, eventually):
    """The recorder has come further than the checkpoint when both sides are compared."""
    async with house(settings) as here:
        await here.worker("keeper", "sweeper", "publisher")
        api = await here.api()
        await open_sale(api, A=10)
        process = api.process
        before = await api.cell.redis.xlen(keys.of("1", "log"))
        task = asyncio.ensure_future(certify(api.cell, process.pool, process.clock, within_s=30))

        async def written():
            return await api.cell.redis.xlen(keys.of("1", "log")) > before

        await eventually(written)
        for path, body in campaign_of({"B": 5})[1:]:
            await api.call("PUT", path.replace("/sale", "/later"), body)
        await eventually(lambda: api.cell.redis.hexists(keys.of("1", "pools"), "p2"), within_s=15)
        await here.worker("recorder", name="recorder")

        async def granted():
            return await pg.fetchval("SELECT sum(granted) FROM pools") == 15

        await eventually(granted, within_s=15)
        assert (await task).faults == []
        await certificate(api)
        assert (await api.buy("1")).status == 202


async def test_the_certificate_holds_after_all_that(settings, pg, eventually):
    async with house(settings) as here:
        await here.worker(name="one")
        await here.worker(name="other")
        api = await here.api()
        await open_sale(api, A=1_000, B=1_000)
        await some_orders(api, 12)
        await agree(api, pg, eventually)
        await here.stop("one")
        await some_orders(api, 12, "more")
        await certificate(api)
