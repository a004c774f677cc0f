"""An adapter against a server that answers as it is told: nothing is given up, nothing invented."""

import asyncio
from contextlib import asynccontextmanager, suppress

import msgspec

from engine.simulation.http import LoadClient
from engine.simulation.marketplace import Marketplace, Rates, Spec
from engine.simulation.marketplace.syncing import Syncing

SHOP = Spec(
    channel="tmall", seed=3, orders=40, stock={}, published={"TEA": 90}, duration_s=0.05,
    rates=Rates(step_s=0.01, late=0),
)  # fmt: skip


def answer(status, document):
    body = msgspec.json.encode(document)
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def told(orders, result="created"):
    return answer(200, {"results": [{"status": 200, "result": result} for _ in orders]})


@asynccontextmanager
async def serving(respond):
    """Serve `respond(orders, number of the request)`; None closes the connection instead."""
    seen, writers = [], []

    async def serve(reader, writer):
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"POST /v1/orders:sync ")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                orders = msgspec.json.decode(await reader.readexactly(length))["orders"]
                seen.append(orders)
                said = respond(orders, len(seen))
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
        for writer in writers:
            with suppress(ConnectionError):
                await writer.wait_closed()


async def synced(respond):
    market = Marketplace(SHOP)
    async with serving(respond) as (url, seen), LoadClient(url, "k", connections=1) as client:
        syncing = Syncing(client, market)
        await syncing.run()
    return syncing, seen, [one for body in market.feed() for one in body.documents]


async def test_everything_is_brought_as_it_came():
    syncing, seen, documents = await synced(lambda orders, _: told(orders))
    assert [one for orders in seen for one in orders] == documents
    assert syncing.counts == {"snapshots": len(documents), "created": len(documents)}
    assert syncing.faults == []


async def test_a_body_without_an_answer_or_told_to_come_back_is_sent_again():
    def twice_away(orders, number):
        if number == 1:
            return None
        return answer(503, {"code": "closed"}) if number == 2 else told(orders)

    syncing, seen, documents = await synced(twice_away)
    assert seen[0] == seen[1] == seen[2]
    assert [one for orders in seen[2:] for one in orders] == documents
    assert (syncing.counts["no answer"], syncing.counts["come back"]) == (1, 1)
    assert syncing.faults == []


async def test_only_what_was_not_done_is_sent_again():
    def last_unknown(orders, number):
        if number == 1:
            results = [{"status": 200, "result": "created"} for _ in orders[:-1]]
            unknown = {"status": 503, "code": "outcome_unknown"}
            return answer(200, {"results": [*results, unknown]})
        return told(orders)

    syncing, seen, documents = await synced(last_unknown)
    assert seen[1] == seen[0][-1:]
    assert syncing.counts["created"] == len(documents)


async def test_what_is_refused_is_a_fault_and_the_rest_goes_on():
    def refuses_one(orders, number):
        if number == 1:
            rest = [{"status": 200, "result": "created"} for _ in orders[1:]]
            return answer(200, {"results": [{"status": 400, "code": "no"}, *rest]})
        return answer(400, {}) if number == 2 else told(orders)

    syncing, seen, _ = await synced(refuses_one)
    assert len(seen) > 3
    assert len(syncing.faults) == 2
    assert "'status': 400" in syncing.faults[0]
    assert "a body got 400" in syncing.faults[1]


async def test_an_answer_of_another_length_is_a_fault():
    syncing, _, _ = await synced(lambda orders, _: told(orders[1:]))
    assert "snapshots got" in syncing.faults[0]
