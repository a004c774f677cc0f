"""The generator: what it sends, how it reads answers, and what it counts."""

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from engine.kernel.ids import order_id
from engine.simulation.bench import cpu
from engine.simulation.bench.load import Load
from engine.simulation.bench.requests import chains
from engine.simulation.bench.shelf import Crowd
from engine.simulation.bench.types import Job
from engine.simulation.bench.wire import Place, Unreadable, answer

OK = b"HTTP/1.1 202 Accepted\r\nServer: x\r\nContent-Length: 2\r\n\r\nhi"
GONE = b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\nX: y\r\n\r\n"


def job(**given):
    told = {
        "host": "127.0.0.1", "port": 1, "key": "k", "kind": "single", "tenant": "main",
        "channel": "bench", "campaign": "c", "mark": "m", "skus": 50, "orders": 4,
        "placed_at": "2026-11-11T00:00:00.000Z",
    }  # fmt: skip
    return Job(**(told | given))


# Where an answer ends.


def test_answers_behind_one_another_are_told_apart():
    data = OK + GONE + OK
    first = answer(data)
    assert first == Place(202, len(OK) - 2, len(OK))
    second = answer(data, first.end)
    assert (second.status, second.body) == (409, second.end)
    third = answer(data, second.end)
    assert data[third.body : third.end] == b"hi"
    assert third.end == len(data)


@pytest.mark.parametrize("cut", range(len(OK)))
def test_an_answer_is_none_before_its_last_byte(cut):
    assert answer(OK[:cut]) is None
    assert answer(GONE + OK[:cut], len(GONE)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Content-Length: 3\r\n\r\nabc",
        b"SSH-2.0\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_answer_whose_end_cannot_be_known_is_refused(data):
    with pytest.raises(Unreadable):
        answer(data)


# What is sent.


def body_of(request):
    return msgspec.json.decode(request.partition(b"\r\n\r\n")[2])


def test_requests_are_whole_and_say_their_length():
    for (request,) in chains(job()):
        head, _, body = request.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")
        assert b"\r\nContent-Length: %d" % len(body) in head


def test_orders_are_spread_over_skus_or_all_on_one():
    def skus(**given):
        return {body_of(one)["lines"][0]["sku"] for (one,) in chains(job(orders=60, **given))}

    assert len(skus()) == 50
    assert skus(skus=1) == {"BENCH-0"}


@pytest.mark.parametrize(("campaigns", "skus"), [(10, 100), (7, 70), (3, 10)])
def test_a_wide_load_comes_to_every_sku_of_every_campaign_before_to_one_again(campaigns, skus):
    crowd = Crowd("c", campaigns, skus)
    wide = job(campaigns=campaigns, skus=skus, orders=skus, first=1_234)
    bought = [body_of(one) for (one,) in chains(wide)]
    found = sorted((one["campaign"], one["lines"][0]["sku"]) for one in bought)
    sold = ((name, n) for n, name in enumerate(crowd.names()))
    assert found == sorted((name, f"BENCH-{sku}") for name, n in sold for sku in crowd.skus_of(n))


def test_a_wide_load_goes_on_where_the_last_one_ended():
    def skus(**given):
        sent = chains(job(campaigns=4, skus=40, **given))
        return [body_of(one)["lines"][0]["sku"] for (one,) in sent]

    assert skus(orders=10) + skus(orders=30, first=10) == skus(orders=40)


def test_each_order_is_another_buyers_and_two_jobs_share_none():
    orders = [body_of(one) for mark in "ab" for (one,) in chains(job(mark=mark))]
    assert len({one["channel_order_id"] for one in orders}) == 8
    assert len({one["buyer_id"] for one in orders}) == 8


def test_a_payment_follows_its_order_to_the_id_it_will_have():
    for order, payment in chains(job(kind="paid")):
        known = order_id("main", "bench", body_of(order)["channel_order_id"])
        assert payment.startswith(f"POST /v1/orders/{known}/payments HTTP/1.1\r\n".encode())
        assert body_of(payment)["amount"] == body_of(order)["lines"][0]["unit_price"]


@pytest.mark.parametrize(("kind", "path"), [("batch", "orders:batch"), ("sync", "orders:sync")])
def test_batches_have_as_many_as_asked_for_and_the_rest(kind, path):
    sent = [one for (one,) in chains(job(kind=kind, orders=5, per_request=2))]
    assert [len(body_of(one)["orders"]) for one in sent] == [2, 2, 1]
    assert all(one.startswith(f"POST /v1/{path} ".encode()) for one in sent)


# A load against a server that answers as it is told.


@asynccontextmanager
async def serving(respond):
    """Serve each request with `respond(writer, number)`, counted over all connections."""
    writers, count = [], 0

    async def serve(reader, writer):
        nonlocal count
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                count += 1
                await respond(writer, count)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for writer in writers:
            with suppress(ConnectionError):
                await writer.wait_closed()


async def run(respond, **given):
    async with serving(respond) as port:
        one = job(port=port, **given)
        load = Load(one, chains(one))
        await load.open()
        async with asyncio.timeout(10):
            return await load.run()


async def accept(writer, _number):
    writer.write(OK)


async def test_everything_is_sent_once_and_every_answer_counted():
    tally = await run(accept, orders=100, connections=8)
    assert (tally.answers, tally.accepted, tally.statuses) == (100, 100, {"202": 100})
    assert 0 < tally.p50_ms <= tally.p99_ms
    assert tally.seconds > 0


async def test_an_answer_in_pieces_is_one_answer():
    async def dribble(writer, _number):
        for place in range(len(OK)):
            writer.write(OK[place : place + 1])
            await writer.drain()
            await asyncio.sleep(0)

    tally = await run(dribble, orders=3)
    assert tally.statuses == {"202": 3}


async def test_a_refused_order_is_not_paid():
    async def refuse_first(writer, number):
        writer.write(GONE if number == 1 else OK)

    tally = await run(refuse_first, kind="paid", orders=3)
    assert tally.statuses == {"202": 4, "409": 1}
    assert tally.accepted == 2


async def test_accepted_orders_of_a_batch_are_counted_one_by_one():
    async def two_of_three(writer, _number):
        body = b'{"results":[{"status":202},{"status":409},{"status":202}]}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    tally = await run(two_of_three, kind="batch", orders=6, per_request=3)
    assert (tally.answers, tally.accepted) == (2, 4)


async def test_a_connection_that_ends_is_counted_and_the_others_go_on():
    async def close_third(writer, number):
        if number == 3:
            writer.close()
        else:
            writer.write(OK)

    tally = await run(close_third, orders=10, connections=2)
    assert tally.statuses == {"0": 1, "202": 9}
    assert tally.accepted == 9


async def test_without_any_connection_left_the_load_ends():
    async def close(writer, _number):
        writer.close()

    tally = await run(close, orders=5)
    assert tally.statuses == {"0": 5}
    assert tally.answers == 0


async def stall_once(writer, number):
    if number == 2:
        await asyncio.sleep(0.4)
    writer.write(OK)


async def test_on_schedule_a_stall_counts_for_all_who_came_meanwhile():
    tally = await run(stall_once, orders=40, rate=200.0)
    assert tally.p50_ms > 150


async def test_the_control_a_closed_loop_omits_them():
    """If this one saw the stall in its median, the test above would prove nothing."""
    tally = await run(stall_once, orders=40)
    assert tally.p50_ms < 50
    assert tally.p99_ms > 350


async def test_nothing_goes_out_before_its_instant():
    tally = await run(accept, orders=100, rate=250.0, connections=4)
    assert tally.seconds >= 99 / 250


# What other processes cost.

linux = pytest.mark.skipif(not cpu.visible(), reason="needs Linux' clocks of other processes")


@pytest.fixture
def busy():
    code = "import sys\nsys.stdout.write('x'); sys.stdout.flush()\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        child.stdout.read(1)
        yield child
        child.kill()


@linux
async def test_cpu_of_another_process_is_seen_and_a_role_without_one_left_out(busy, eventually):
    before = cpu.read({"ingest": [busy.pid], "cell": []})
    assert before.keys() == {"ingest"}
    await eventually(lambda: cpu.read({"ingest": [busy.pid]})["ingest"] > before["ingest"] + 0.1)


@linux
def test_a_tree_has_all_descendants(busy):
    found = cpu.tree(os.getpid())
    assert busy.pid in found


@linux
def test_a_process_that_ended_costs_nothing_more():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert cpu.read({"ingest": [child.pid]}) == {"ingest": 0.0}


@linux
def test_the_machine_as_a_whole_is_seen(busy):
    assert busy.pid
    assert cpu.machine() > 0
    assert cpu.cores() >= 1
