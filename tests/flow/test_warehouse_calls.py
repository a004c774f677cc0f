"""Calls to a warehouse in both languages, over HTTP, while it misbehaves in every way it can."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from engine.kernel.clock import SystemClock
from engine.simulation.warehouse import Books, Knobs, Server
from engine.wms.rules import plain, qimen
from engine.wms.service.calling import session, warehouse
from engine.wms.types import Reference, Reply
from tests.conftest import eventually
from tests.unit.wms.samples import FULL

CLOCK = SystemClock()
LANGUAGES = ("qimen", "plain")
# Orders stay as they are unless a test lets them go on.
STILL = dict.fromkeys(("accept_ms", "pick_ms", "pack_ms", "ship_ms"), (60000, 60000))
CODE = FULL.consignment_id
ONE = Reference(CODE)

pytestmark = pytest.mark.parametrize("language", LANGUAGES)


@asynccontextmanager
async def called(language, timeout_s=5.0, **knobs):
    async with Server(Books(Knobs(**STILL | knobs)), CLOCK, "s3cret") as server, session() as http:
        yield warehouse(server.access(language), http, CLOCK, timeout_s), server


@asynccontextmanager
async def listening(handler, ok=None):
    """Somebody else on a port of this machine; `ok` is where its redirects lead."""
    app = web.Application()
    app.router.add_post("/", handler)
    if ok is not None:
        app.router.add_route("*", "/ok", ok)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_create_cancel_and_query(language):
    async with called(language) as (port, server):
        assert (await port.query(ONE)).state == "none"
        assert await port.create(FULL) == Reply("DONE", f"W-{CODE}")
        seen = await port.query(ONE)
        assert (seen.reply.outcome, seen.state) == ("DONE", "open")
        held = server.books.held[CODE]
        assert [(line.sku, line.units, line.line) for line in held.lines] == [
            ("SKU-1", 2, FULL.lines[0].ref), ("SKU-2", 1, FULL.lines[1].ref)
        ]  # fmt: skip
        assert (held.carrier, held.waybill) == ("SF", "SF1")
        assert (await port.cancel(ONE, "买家取消")).outcome == "DONE"
        assert (await port.query(ONE)).state == "cancelled"
        assert held.left == []


async def test_the_same_again_changes_nothing(language):
    async with called(language) as (port, server):
        for _ in range(3):
            reply = await port.create(FULL)
            assert (reply.outcome, reply.wms_ref) == ("DONE", f"W-{CODE}")
        assert (await port.cancel(ONE, "")).outcome == "DONE"
        again = await port.cancel(ONE, "")
        assert (again.outcome, again.code) == ("DONE", "cancelled")
        assert (server.books.held[CODE].made, server.books.held[CODE].asked) == (1, 3)


async def test_a_cancel_that_comes_before_the_create_is_not_taken_for_done(language):
    async with called(language) as (port, _):
        reply = await port.cancel(ONE, "")
        assert (reply.outcome, reply.code, reply.permanent) == ("REFUSED", "no_such_order", True)
        assert (await port.create(FULL)).outcome == "DONE"


async def test_what_was_cancelled_is_not_created_again(language):
    async with called(language) as (port, server):
        await port.create(FULL)
        await port.cancel(ONE, "")
        reply = await port.create(FULL)
        assert (reply.outcome, reply.code, reply.permanent) == ("REFUSED", "cancelled", True)
        assert server.books.held[CODE].made == 1


async def test_a_cancel_that_comes_too_late(language):
    at_once = dict.fromkeys(STILL, (0, 0))
    async with called(language, **at_once) as (port, _):
        await port.create(FULL)
        reply = await port.cancel(ONE, "")
        assert (reply.outcome, reply.code, reply.permanent) == ("REFUSED", "too_late", True)
        assert (await port.query(ONE)).state == "shipped"


async def test_a_cancel_that_was_only_taken_note_of(language):
    async with called(language, cancels_later=True) as (port, server):
        await port.create(FULL)
        assert (await port.cancel(ONE, "")).outcome == "PENDING"

        async def cancelled():
            return (await port.query(ONE)).state == "cancelled"

        await eventually(cancelled)
        await eventually(lambda: "CANCELLED" in {r.kind for r in server.books.tell(CLOCK.now_ms())})


@pytest.mark.parametrize(
    ("knob", "code", "permanent"),
    [("cancel_unknown", "no_such_order", True), ("late_cancel", "busy", False)],
)
async def test_a_cancel_that_is_answered_badly(language, knob, code, permanent):
    async with called(language, **{knob: 1.0}) as (port, server):
        await port.create(FULL)
        reply = await port.cancel(ONE, "")
        assert (reply.outcome, reply.code, reply.permanent) == ("REFUSED", code, permanent)
        assert server.books.held[CODE].state == "open"


async def test_an_answer_that_is_lost_leaves_the_outcome_unknown(language):
    async with called(language, reply_lost=1.0) as (port, server):
        assert (await port.create(FULL)).outcome == "UNKNOWN"
        assert (await port.create(FULL)).outcome == "UNKNOWN"
        assert server.books.held[CODE].made == 1
        assert (await port.cancel(ONE, "")).outcome == "UNKNOWN"
        assert server.books.held[CODE].state == "cancelled"
        assert (await port.query(ONE)).reply.outcome == "UNKNOWN"


async def test_an_error_may_have_been_done_or_not(language):
    async with called(language, error_5xx=1.0) as (port, server):
        codes = [f"c{n}" for n in range(20)]
        for code in codes:
            reply = await port.create(FULL._replace(consignment_id=code))
            assert reply == Reply("UNKNOWN", text="HTTP 503")
        assert 0 < len(server.books.held) < len(codes)


async def test_a_slow_one_is_not_waited_for(language):
    async with called(language, timeout_s=0.1, slow=1.0, slow_ms=3_000) as (port, server):
        began = CLOCK.monotonic()
        assert (await port.create(FULL)).outcome == "UNKNOWN"
        assert CLOCK.monotonic() - began < 2.0
        assert CODE in server.books.held


async def test_a_wrong_secret_changes_nothing_and_is_no_unknown(language):
    async with called(language) as (_, server), session() as http:
        access = server.access(language)._replace(secrets=("wrong",))
        reply = await warehouse(access, http, CLOCK, 5.0).create(FULL)
        assert (reply.outcome, reply.code, reply.permanent) == ("REFUSED", "http_401", False)
        assert server.books.held == {}


async def test_nobody_listens(language):
    async with called(language) as (_, server):
        access = server.access(language)
    async with session() as http:
        port = warehouse(access, http, CLOCK, 1.0)
        assert (await port.create(FULL)).outcome == "UNKNOWN"
        assert (await port.cancel(ONE, "")).outcome == "UNKNOWN"


async def test_what_cannot_be_written_is_not_sent(language):
    async with called(language) as (port, server):
        odd = FULL._replace(receiver=FULL.receiver._replace(name="", city="", oaid=""))
        reply = await port.create(odd)
        if language == "plain":
            assert reply.outcome == "DONE"  # a field less
            return
        assert (reply.outcome, reply.code, reply.permanent) == ("REFUSED", "invalid", True)
        assert "receiverInfo/name" in reply.text
        assert server.calls == []


async def test_who_cannot_be_asked_is_not(language):
    async with called(language) as (_, server), session() as http:
        access = server.access(language)._replace(can_query=False)
        with pytest.raises(NotImplementedError):
            await warehouse(access, http, CLOCK, 5.0).query(ONE)


async def page(_request):
    return web.Response(text="<html>maintenance</html>")


async def away(request):
    return web.Response(status=302, headers={"Location": f"http://{request.host}/ok"})


async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(64):
        await response.write(b" " * (1 << 16))
    return response


async def packed(_request):
    response = web.Response(body=b"\x1f\x8b" + b"\x00" * 100)
    response.headers["Content-Encoding"] = "gzip"
    return response


@pytest.mark.parametrize(
    ("handler", "outcome", "code"),
    [
        (page, "UNKNOWN", ""),
        (endless, "UNKNOWN", ""),
        (packed, "UNKNOWN", ""),
        (away, "REFUSED", "http_302"),
    ],
)
async def test_what_is_no_answer_of_a_warehouse(language, handler, outcome, code):
    followed = []

    async def ok(_request):
        followed.append(1)
        return web.Response(text="{}")

    async with called(language) as (_, server), session() as http, listening(handler, ok) as url:
        port = warehouse(server.access(language)._replace(url=url), http, CLOCK, 2.0)
        reply = await port.create(FULL)
        assert (reply.outcome, reply.code, followed) == (outcome, code, [])


async def test_everything_at_once_and_each_consignment_exists_once(language):
    """Asked until it is answered, as a worker would; the books are looked at in the end."""
    knobs = {
        "seed": 7, "reply_lost": 0.2, "error_5xx": 0.3, "slow": 0.1, "slow_ms": 200,
        "cancel_unknown": 0.1, "late_cancel": 0.2,
    }  # fmt: skip
    async with called(language, timeout_s=0.1, **knobs) as (port, server):

        async def one(code):
            for _ in range(60):
                if (await port.create(FULL._replace(consignment_id=code))).outcome == "DONE":
                    break
            for _ in range(60):
                if (await port.cancel(Reference(code), "")).outcome == "DONE":
                    return True
            return False

        async with asyncio.TaskGroup() as tasks:
            done = [tasks.create_task(one(f"c{n}")) for n in range(15)]
        assert all(task.result() for task in done)
        assert len(server.books.held) == 15
        assert {held.made for held in server.books.held.values()} == {1}
        assert {held.state for held in server.books.held.values()} == {"cancelled"}
        assert max(held.asked for held in server.books.held.values()) > 1


def read(language, request, body):
    if language == "qimen":
        query = list(request.query.items())
        qimen.verify(("s3cret",), query, body, CLOCK.now_ms())
        return qimen.told(qimen.method_of(query), body, "SIM", FULL.created_at)
    plain.verify(("s3cret",), request.headers[plain.SIGNATURE], body, CLOCK.now_ms())
    return plain.told(body, "SIM", FULL.created_at)


async def test_what_happens_is_told_in_the_same_language_until_it_is_taken(language):
    """The other direction, read by our own rules; each is taken when it comes again."""
    taken, refused = {}, set()

    async def callback(request):
        [report] = read(language, request, await request.read())
        name = (report.consignment_id, report.kind, report.step)
        success = name in refused
        refused.add(name)
        if success:
            taken[name] = report
        if language == "qimen":
            return web.Response(body=qimen.answer(success=success))
        return web.Response(status=200 if success else 500)

    knobs = Knobs(seed=3, repeat_callback=0.3, reorder=0.3, lost_callback=0.3, resend_ms=20)
    async with (
        listening(callback) as where,
        Server(Books(knobs), CLOCK, "s3cret", where=lambda: where) as server,
        session() as http,
    ):
        teller = asyncio.create_task(server.tell(language))
        port = warehouse(server.access(language), http, CLOCK, 5.0)
        for n in range(5):
            await port.create(FULL._replace(consignment_id=f"c{n}"))
        await eventually(lambda: len(taken) == 5 * 4, within_s=15)
        teller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await teller
    for n in range(5):
        report = taken[f"c{n}", "SHIPPED", ""]
        assert sum(item.units for item in report.packages[0].items) == 3
