"""What Postgres cannot hold becomes an order that a person can read, and holds up nobody."""

import msgspec
import pytest

from engine.infra import keys
from engine.infra.log import position
from engine.kernel import codec
from engine.reservation import rules
from engine.reservation.types import decode_order
from tests.fault.books import log_says, postgres_says
from tests.fault.engines import an_order, certificate, house, id_of, open_sale


def body(number, **fields):
    return codec.encode(an_order(number, **fields))


def payload(number, document=b"{}", **over):
    """What ingest packs for the recorder, with fields of our own."""
    facts = {
        "channel_order_id": f"n-{number}", "kind": "sale", "placed_at": 0,
        "lines": [("A", 1, 100, "refuse")], "document": document,
    } | over  # fmt: skip
    return msgspec.msgpack.encode(list(facts.values()))


# What a claim's payload may look like once something other than our own ingest has written it.
POISON = {
    "NUL in a name": lambda n: payload(n, channel_order_id="a\x00b"),
    "NUL in a SKU": lambda n: payload(n, lines=[("A\x00", 1, 100, "refuse")]),
    "a document that is not UTF-8": lambda n: payload(n, body(n).replace(b'"b-', b'"\xff-')),
    "a name that is not UTF-8": lambda n: payload(n).replace(b"n-", b"\xff-"),
    "a document cut short": lambda n: payload(n, body(n)[:-1]),
    "no document": lambda n: payload(n, b""),
    "garbage": lambda _: b"\x00\x01\xfe garbage",
    "nothing": lambda _: b"",
    "an order that is none": lambda _: b'{"channel":"mall"}',
    "a name that is a number": lambda n: payload(n, channel_order_id=5),
    "a number too large": lambda n: payload(n, lines=[("A", 10**12, 100, "refuse")]),
    "an instant too late": lambda n: payload(n, placed_at=10**18),
    "fields that are missing": lambda n: msgspec.msgpack.encode([f"n-{n}", "sale"]),
}


@pytest.fixture
async def sale(settings):
    async with house(settings) as here:
        await here.worker("keeper", "sweeper", "publisher", "settler")
        api = await here.api()
        await open_sale(api, A=100)
        api.house = here
        yield api


async def take(api, number, told):
    """Reserve as ingest does, with a payload of our own: the cell copies it untouched."""
    order = decode_order(body(number))
    claim = rules.claim_of(order, tenant="main", actor="test", now_ms=api.cell.now_ms())
    reply = await api.cell.call("reserve", [claim], [told])
    assert reply.results[0][0] == "RESERVED"


async def orders_recorded(pg, eventually, count):
    async def there():
        return await pg.fetchval("SELECT count(*) FROM orders") == count

    await eventually(there, within_s=20)


async def test_a_poison_order_becomes_readable_and_blocks_nobody(sale, pg, eventually):
    await sale.buy("before")
    for kind, poison in POISON.items():
        await take(sale, kind, poison(kind))
    await sale.buy("after")
    await sale.house.worker("recorder", name="recorder")
    await orders_recorded(pg, eventually, len(POISON) + 2)
    found = (await sale.call("GET", "/v1/orders?status=needs_attention")).document["items"]
    assert {one["order_id"] for one in found} == {id_of(kind) for kind in POISON}
    truth, known = await log_says(sale.cell.redis), await postgres_says(pg)
    assert known["pools"] == truth["pools"]
    assert known["moves"] == truth["moves"]
    letters = {row["order_id"]: row for row in await pg.fetch("SELECT * FROM dead_letters")}
    assert len(letters) == len(POISON)
    for kind, poison in POISON.items():
        shown = (await sale.order(id_of(kind))).document
        assert (shown["status"], shown["recorded"]) == ("needs_attention", True), kind
        assert shown["attention"], kind
        letter = letters[id_of(kind)]
        assert (letter["kind"], letter["payload"]) == ("reserved", poison(kind))
        # and its life goes on
        assert (await sale.pay(id_of(kind), "p", 100)).document["state"] == "applied"
    await certificate(sale)
    for kind in POISON:
        shown = (await sale.order(id_of(kind))).document
        assert (shown["payment_state"], shown["status"]) == ("paid", "needs_attention"), kind


async def test_poison_among_many_orders_of_one_call_sets_only_itself_aside(sale, pg, eventually):
    orders = [decode_order(body(str(n))) for n in range(40)]
    claims = [
        rules.claim_of(order, tenant="main", actor="test", now_ms=sale.cell.now_ms())
        for order in orders
    ]
    payloads = [payload(n, body(str(n))[: -1 if n in {0, 7, 39} else None]) for n in range(40)]
    await sale.cell.call("reserve", claims, payloads)
    await sale.house.worker("recorder", name="recorder")

    await orders_recorded(pg, eventually, 40)
    bad = await pg.fetch("SELECT order_id FROM orders WHERE attention <> ''")
    assert {row["order_id"] for row in bad} == {id_of("0"), id_of("7"), id_of("39")}
    await certificate(sale)


ENTRIES = {
    "events that are not msgpack": {b"v": b"1", b"e": b"\xc1garbage"},
    "events that are not a list": {b"v": b"1", b"e": msgspec.msgpack.encode({"R": 1})},
    "an event cut short": {b"v": b"1", b"e": msgspec.msgpack.encode([["R", "order", 5]])},
    "no events": {b"v": b"1"},
    "other fields altogether": {b"hello": b"world"},
}


async def test_entries_that_are_not_ours_are_set_aside(sale, pg, eventually):
    await sale.buy("0")
    added = []
    for n, entry in enumerate(ENTRIES.values(), start=1):
        added.append((await sale.cell.redis.xadd(keys.of("1", "log"), entry)).decode())
        await sale.buy(str(n))
    await sale.house.worker("recorder", name="recorder")
    await orders_recorded(pg, eventually, len(ENTRIES) + 1)
    letters = await pg.fetch("SELECT * FROM dead_letters ORDER BY id")
    assert [(one["log_id"], one["kind"]) for one in letters] == [(one, "entry") for one in added]
    assert all(one["reason"] for one in letters)
    await certificate(sale)


async def test_a_kind_of_event_that_a_later_version_writes_is_waited_for(sale, pg, eventually):
    """Skipping it would lose what it says: the process of the later version records it."""
    await sale.buy("before")
    later = msgspec.msgpack.encode([["Z", "something", 5, [], 1]])
    log_id = await sale.cell.redis.xadd(keys.of("1", "log"), {b"v": b"1", b"e": later})
    await sale.house.worker("recorder", name="recorder")

    async def owned():
        return await pg.fetchval("SELECT owner <> '' FROM cells")

    await eventually(owned)

    async def moved():
        last_id = await pg.fetchval("SELECT last_id FROM cells")
        return position(last_id) >= position(log_id.decode())

    with pytest.raises(AssertionError, match="not within"):
        await eventually(moved, within_s=1)
    assert await pg.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_a_claim_whose_payload_is_missing_is_set_aside(sale, pg, eventually):
    """The entry names a payload that is not in it."""
    await sale.buy("before")
    await take(sale, "poison", b"gone")
    (log_id, fields), *_ = await sale.cell.redis.xrevrange(keys.of("1", "log"), count=1)
    await sale.cell.redis.xdel(keys.of("1", "log"), log_id)
    ms, _, seq = log_id.decode().partition("-")
    again = f"{ms}-{int(seq) + 1}"
    await sale.cell.redis.xadd(keys.of("1", "log"), {b"v": b"1", b"e": fields[b"e"]}, id=again)
    await sale.house.worker("recorder", name="recorder")

    await orders_recorded(pg, eventually, 2)
    assert (await sale.order(id_of("poison"))).document["status"] == "needs_attention"


# --- an order that Postgres already has --------------------------------------------------------


async def forget(api, number):
    """The cell forgets an order, as pruning does after its time or a rebuild that lacks it."""
    await api.cell.redis.hdel(keys.of("1", "holds"), id_of(number))
    await api.cell.redis.zrem(keys.of("1", "due"), id_of(number))


@pytest.mark.parametrize("ends", ["cancelled", "paid", "open"])
async def test_a_second_hold_of_a_recorded_order_is_given_back(settings, pg, eventually, ends):
    async with house(settings) as here:
        await here.worker()
        api = await here.api()
        await open_sale(api, A=10)
        await api.buy("twice", ("A", 3))
        if ends == "cancelled":
            await api.cancel(id_of("twice"), "c")
        elif ends == "paid":
            await api.pay(id_of("twice"), "p", 300)
        await certificate(api)
        before = await pg.fetchrow("SELECT state, payment_state, log_id, draws FROM orders")
        await forget(api, "twice")
        assert (await api.buy("twice", ("A", 3))).status == 202  # the cell cannot know better

        async def noticed():
            return await pg.fetchval("SELECT count(*) FROM events WHERE kind = 'order.duplicate'")

        await eventually(noticed, within_s=20)
        await certificate(api)
        assert await pg.fetchrow("SELECT state, payment_state, log_id, draws FROM orders") == before
        assert await pg.fetchval("SELECT count(*) FROM duplicates WHERE released") == 1
        pool = await pg.fetchrow("SELECT available, held, sold FROM pools")
        taken = {"cancelled": (10, 0, 0), "paid": (7, 0, 3), "open": (7, 3, 0)}[ends]
        assert tuple(pool) == taken
