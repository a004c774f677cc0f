"""Shipments through a warehouse's system, over HTTP both ways, while it misbehaves."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from engine.infra import jobs, metrics
from engine.kernel.clock import rfc3339
from engine.kernel.types import MAIN
from engine.shipments.service.queueing import QUEUES
from engine.wms.consumer import Shipper
from engine.wms.rules import plain
from engine.wms.service import calling, measuring
from engine.wms.types import Reply
from tests.conftest import eventually
from tests.flow.shipping import LANGUAGES, MISBEHAVING, SECRET, shipping, world

# Orders stay as they are.
STILL = dict.fromkeys(("accept_ms", "pick_ms", "pack_ms", "ship_ms"), (60000, 60000))


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_shipment_goes_out_and_its_parcel_comes_back(settings, database_url, pg, language):
    async with world(settings, database_url, pg, language) as here, shipping(here, language):
        name = await here.plan(1)
        await eventually(here.ended, within_s=15)
        assert await here.states() == {name: "shipped"}
        held = here.server.books.held[name]
        assert (held.made, held.asked) == (1, 1)
        assert await here.units_told() == here.units_left() == {name: 5}
    sums = await pg.fetchrow("SELECT sum(committed) AS c, sum(shipped) AS s FROM stock_balances")
    assert tuple(sums) == (0, 5)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("seed", range(2))
async def test_whatever_it_does_each_consignment_exists_once_and_ends(
    settings, database_url, pg, language, seed
):
    """Replies lost, errors, callbacks dropped, repeated and out of order."""
    async with world(settings, database_url, pg, language, seed=seed, **MISBEHAVING) as here:
        async with shipping(here, language):
            names = [await here.plan(n) for n in range(12)]
            await eventually(here.in_time, within_s=40)
        states, held = await here.states(), here.server.books.held
        assert set(states) == set(names) == set(held)
        assert {one.made for one in held.values()} == {1}
        assert await here.units_told() == here.units_left()
        for name, one in held.items():
            assert states[name] == ("rejected" if one.state == "rejected" else "shipped")
        total = sum(here.units_left().values())
    sums = await pg.fetchrow("SELECT sum(committed) AS c, sum(shipped) AS s FROM stock_balances")
    assert tuple(sums) == (0, total)
    assert await jobs.dead(pg, MAIN) == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("later", [False, True])
async def test_what_was_said_to_be_stopped_does_not_leave(
    settings, database_url, pg, language, later
):
    knobs = MISBEHAVING | {"cancels_later": later, "late_cancel": 0.2, "cancel_unknown": 0.1}
    knobs |= {"ship_ms": (100, 900), "pick_ms": (50, 200)}
    async with world(settings, database_url, pg, language, seed=3, **knobs) as here:
        async with shipping(here, language):
            for n in range(12):
                await here.plan(n)
            for n in range(12):
                await here.stop(n)
                await asyncio.sleep(0.05)  # so that they meet different steps
            await eventually(here.in_time, within_s=40)
        stops = await pg.fetch("SELECT order_id, answer FROM stops")
        left = here.units_left()
        assert len(stops) == 12
        for stop in stops:
            gone = left.get(f"{stop['order_id']}-s1", 0)
            assert stop["answer"] in {"stopped", "not_stopped"}
            assert not (stop["answer"] == "stopped" and gone), stop
        assert {stop["answer"] for stop in stops} == {"stopped", "not_stopped"}
        assert {one.made for one in here.server.books.held.values()} == {1}
        assert await here.units_told() == left
    answered = "SELECT count(*) FROM events WHERE kind = 'order.stop_answered'"
    assert await pg.fetchval(answered) == 12


async def post(here, report, secret=SECRET, node="N"):
    body = msgspec.json.encode(report)
    at_s = here.runtime.clock.now_ms() // 1_000
    headers = {"Content-Type": "application/json", plain.SIGNATURE: plain.sign(secret, body, at_s)}
    async with here.surface.client.post(
        f"/v1/wms/{node}/callbacks", data=body, headers=headers
    ) as response:
        return response.status, await response.json()


async def test_callbacks_of_others_and_of_nothing_change_nothing(settings, database_url, pg):
    async with world(settings, database_url, pg, "plain") as here:
        name = await here.plan(1)
        said = {"report_id": "r1", "kind": "cancelled", "consignment_id": name}
        for secret, node in [("another secret", "N"), (SECRET, "M"), ("", "N")]:
            status, answer = await post(here, said, secret, node)
            assert (status, answer["code"]) == (401, "unauthorised")
        await here.surface.call("PUT", "/v1/nodes/M", {"name": "M"}, 201)
        wms = {"language": "plain", "url": "http://127.0.0.1:9/"}
        await here.surface.call("PUT", "/v1/nodes/M/profile", {"wms": wms}, 201)
        other = "another secret of M"
        await here.surface.call("PUT", "/v1/nodes/M/secret", {"secret": other}, 200)
        assert await post(here, said, other, "N") != (200, {"outcome": "recorded"})
        # signed by M, about a consignment of N
        assert await post(here, said, other, "M") == (200, {"outcome": "ignored"})
        assert await here.states() == {name: "planned"}
        status, answer = await post(here, said | {"kind": "vanished"})
        assert (status, answer["errors"][0]["pointer"]) == (400, "/kind")
        assert await pg.fetchval("SELECT count(*) FROM shipment_reports") == 0
        shown = await here.surface.call("GET", "/v1/nodes/N/profile", None, 200)
        assert SECRET not in str(shown)


async def test_a_former_secret_holds_while_it_is_kept(settings, database_url, pg):
    async with world(settings, database_url, pg, "plain") as here:
        said = {"report_id": "r1", "kind": "accepted", "consignment_id": "nobody's"}
        newer = {"secret": "a newer secret of sixteen", "keep_former": True}
        await here.surface.call("PUT", "/v1/nodes/N/secret", newer, 200)
        assert (await post(here, said))[0] == 200
        assert (await post(here, said, newer["secret"]))[0] == 200
        await here.surface.call("PUT", "/v1/nodes/N/secret", newer | {"keep_former": False}, 200)
        assert (await post(here, said))[0] == 401
        assert (await post(here, said, newer["secret"]))[0] == 200


async def test_stock_is_booked_once_and_not_beside_a_confirm(settings, database_url, pg):
    async with world(settings, database_url, pg, "plain") as here:
        name = await here.plan(1)
        await pg.execute(
            "INSERT INTO skus (tenant, sku, owner, version, document, actor)"
            " VALUES ('main', 'A', '', 1, '{\"name\": \"A\"}', 'k')"
        )
        lines = [{"sku": "A", "units": 7}, {"sku": "A", "units": -2, "cause": name},
                 {"sku": "unknown", "units": 1}]  # fmt: skip
        said = {"report_id": "r1", "kind": "stock_delta", "lines": lines}
        assert await post(here, said) == (200, {"outcome": "recorded"})
        assert await post(here, said) == (200, {"outcome": "repeated"})
        on_hand = (
            "SELECT sum(on_hand)::int FROM stock_balances JOIN stock_keys USING (key_id)"
            " WHERE sku = 'A'"
        )
        assert await pg.fetchval(on_hand) == 7
        note = await pg.fetchrow("SELECT outcome, detail FROM wms_callbacks")
        assert note["detail"] == "unknown: validation_failed"


async def test_a_count_is_what_lies_there_and_later_counts_win(settings, database_url, pg):
    """In whatever order they come; what cannot be booked keeps back nothing else."""
    async with world(settings, database_url, pg, "plain") as here:
        await pg.execute(
            "INSERT INTO skus (tenant, sku, owner, version, document, actor)"
            " VALUES ('main', 'A', '', 1, '{\"name\": \"A\"}', 'k')"
        )
        now = here.runtime.clock.now_ms()

        def count(name, minutes, *lines):
            at = rfc3339(now - 60_000 * minutes)
            return {"report_id": name, "kind": "stock_count", "at": at, "lines": [
                {"sku": sku, "units": units} for sku, units in lines
            ]}  # fmt: skip

        async def on_hand():
            return await pg.fetchval(
                "SELECT sum(on_hand)::int FROM stock_balances JOIN stock_keys USING (key_id)"
                " WHERE sku = 'A'"
            )

        moved = {"report_id": "m1", "kind": "stock_delta", "at": rfc3339(now - 60_000 * 20),
                 "lines": [{"sku": "A", "units": 5}]}  # fmt: skip
        last = count("c2", 5, ("A", 9), ("unknown", 1))
        for said, outcome, then in [
            (moved, "recorded", 5), (last, "recorded", 9), (last, "repeated", 9),
            (count("c1", 10, ("A", 3)), "recorded", 9), (count("c3", 1, ("A", 0)), "recorded", 0),
        ]:  # fmt: skip
            assert await post(here, said) == (200, {"outcome": outcome})
            assert await on_hand() == then, said
        noted = await pg.fetchval("SELECT detail FROM wms_callbacks WHERE report_id LIKE '%c2'")
        assert noted == "unknown: validation_failed"


async def left_of(pg, name):
    rows = await pg.fetch("SELECT items FROM parcels WHERE shipment_id = $1", name)
    return sum(units for row in rows for _, units in msgspec.json.decode(row["items"]))


async def test_a_confirm_that_comes_twice_ships_once(settings, database_url, pg):
    """And its control: under another id the same box, which has no name, would ship once more."""
    async with world(settings, database_url, pg, "plain") as here:
        name = await here.plan(1)
        lines = [{"sku": "o1-A", "units": 1}]
        said = {"report_id": "r1", "kind": "partly_shipped", "consignment_id": name, "lines": lines}
        assert await post(here, said) == (200, {"outcome": "recorded"})
        for _ in range(3):
            assert await post(here, said) == (200, {"outcome": "repeated"})
        await pg.execute("DELETE FROM wms_callbacks")  # as after 30 days
        assert await post(here, said) == (200, {"outcome": "repeated"})
        assert await left_of(pg, name) == 1
        await post(here, said | {"report_id": "r2"})
        assert await left_of(pg, name) == 2


async def test_what_a_node_takes_over_after_its_cancel_is_cancelled_again(
    settings, database_url, pg
):
    """A worker that was stopped sent its create late, and the warehouse began it once more."""
    async with world(settings, database_url, pg, "plain", recreates=1.0, **STILL) as here:
        async with shipping(here, "plain"):
            name = await here.plan(1)

            async def state_is(state):
                return (await here.states())[name] == state

            await eventually(lambda: state_is("sent"), within_s=15)
            await here.stop(1)
            await eventually(lambda: state_is("cancelled"), within_s=15)
            books, held = here.server.books, here.server.books.held[name]
            now_ms = here.runtime.clock.now_ms()
            assert books.create(name, held.lines, "SF", "", now_ms).code == ""
            said = {"report_id": "late", "kind": "accepted", "consignment_id": name}
            assert (await post(here, said))[0] == 200
            await eventually(lambda: held.state == "cancelled", within_s=15)
            await eventually(here.ended, within_s=15)
        assert (held.made, held.left, await here.states()) == (2, [], {name: "cancelled"})


async def test_calls_breakers_and_stops_are_counted(settings, database_url, pg):
    def stops():
        return sum(n for _, (n,) in metrics.STOPS.family().rows)

    def calls(**labels):
        found = metrics.WMS_CALLS.family()
        return sum(
            n for values, (n,) in found.rows
            if labels.items() <= dict(zip(found.labels, values, strict=True)).items()
        )  # fmt: skip

    of = {"node": "N", "method": "create", "outcome": "UNKNOWN"}
    failed, done, answered = calls(**of), calls(outcome="DONE"), stops()
    async with world(settings, database_url, pg, "plain", **STILL) as here:
        name = await here.plan(1)

        async def read():
            return await measuring.read(here.runtime.pool, MAIN)

        assert await read() == {
            metrics.JOBS: {("wms:N", "waiting"): 1.0}, metrics.WMS_BREAKER_OPEN: {("N",): 0.0}
        }  # fmt: skip
        here.server.books.knobs = here.server.books.knobs._replace(error_5xx=1.0)
        async with shipping(here, "plain", shippers=1):

            async def opened():
                await here.in_time()
                return (await read())[metrics.WMS_BREAKER_OPEN][("N",)]

            await eventually(opened, within_s=20)
            assert calls(**of) >= failed + 5
            here.server.books.knobs = here.server.books.knobs._replace(error_5xx=0.0)

            async def sent():
                await here.in_time()
                return (await here.states())[name] == "sent"

            await eventually(sent, within_s=20)
            assert calls(outcome="DONE") > done
            await here.stop(1)
            await eventually(here.ended, within_s=15)
        assert (await read())[metrics.WMS_BREAKER_OPEN] == {}
        assert stops() == answered + 1


async def test_no_name_or_address_is_in_a_job_or_a_log(settings, database_url, pg, capsys):
    async with world(settings, database_url, pg, "qimen", error_5xx=1.0, **STILL) as here:
        async with shipping(here, "qimen", shippers=1):
            await here.plan(1)

            async def tried():
                return await pg.fetchval("SELECT max(attempts) FROM jobs") >= 2

            await eventually(tried, within_s=15)
        kept = await pg.fetch("SELECT j::text AS text FROM jobs AS j")
        kept += await pg.fetch("SELECT r::text AS text FROM shipment_reports AS r")
        shown = "".join(row["text"] for row in kept) + "".join(capsys.readouterr())
        assert "o1-s1" in shown
        assert not any(word in shown for word in ("张三", "13800000000", "文一西路"))


async def test_what_a_house_refuses_is_noted_and_its_units_are_taken_off(
    settings, database_url, pg
):
    """Its own word for the reason stands in its profile."""
    slow = dict.fromkeys(("accept_ms", "pick_ms", "pack_ms", "ship_ms"), (60000, 60000))
    async with world(settings, database_url, pg, "plain", **slow) as here:
        profile = (await here.surface.call("GET", "/v1/nodes/N/profile", None, 200))["wms"]
        profile["reasons"] = {"spoilt": "damaged"}
        await here.surface.call("PUT", "/v1/nodes/N/profile", {"wms": profile}, 200)
        async with shipping(here, "plain"):
            name = await here.plan(1)

            async def sent():
                return (await here.states())[name] == "sent"

            await eventually(sent, within_s=15)
            said = {"report_id": "r1", "kind": "rejected", "consignment_id": name, "text": "spoilt",
                    "lines": [{"sku": "o1-A", "units": 3}]}  # fmt: skip
            for outcome in ("recorded", "repeated"):
                assert await post(here, said) == (200, {"outcome": outcome})
    noted = await pg.fetch("SELECT line_no, node, reason, units, shipment_id FROM node_rejections")
    assert [tuple(row) for row in noted] == [(1, "N", "damaged", 3, name)]
    moved = "SELECT kind, quantity, reason FROM stock_movements WHERE reference LIKE 'refused%'"
    assert [tuple(row) for row in await pg.fetch(moved)] == [("damage", -3, "damaged")]


async def test_a_create_that_is_refused_for_good_is_a_refusal_of_the_node(
    settings, database_url, pg, monkeypatch
):
    async def refuses(_self, _one):
        return Reply("REFUSED", code="invalid", permanent=True)

    monkeypatch.setattr(calling.Plain, "create", refuses)
    async with world(settings, database_url, pg, "plain") as here, shipping(here, "plain"):
        name = await here.plan(1)

        async def rejected():
            return (await here.states())[name] == "rejected"

        await eventually(rejected, within_s=15)
    noted = await pg.fetch("SELECT DISTINCT reason, exclude_until FROM node_rejections")
    assert [tuple(row) for row in noted] == [("cannot_ship", None)]


async def ended_while_calling(here, pg, calls):
    """End a shipper while its calls are out; return what it left: states, and jobs."""
    shipper = asyncio.create_task(Shipper(here.runtime).run())
    await eventually(lambda: len(here.server.calls) == calls, within_s=15)
    shipper.cancel()
    await asyncio.wait([shipper])
    assert shipper.cancelled()
    return set((await here.states()).values()), await pg.fetchval("SELECT count(*) FROM jobs")


async def test_a_shipper_that_ends_hears_what_it_asked(settings, database_url, pg):
    knobs = {"slow": 1.0, "slow_ms": 700} | STILL
    async with world(settings, database_url, pg, "plain", **knobs) as here:
        for n in range(4):
            await here.plan(n)
        assert await ended_while_calling(here, pg, 4) == ({"sent"}, 0)


async def test_control_without_a_drain_it_does_not(settings, database_url, pg):
    cut = replace(settings, drain_seconds=0)
    async with world(cut, database_url, pg, "plain", slow=1.0, slow_ms=700, **STILL) as here:
        await here.plan(1)
        assert await ended_while_calling(here, pg, 1) == ({"sending"}, 1)


async def test_no_more_calls_are_out_at_once_than_were_set(settings, database_url, pg):
    few = replace(settings, wms_concurrency=4, wms_timeout_seconds=1)
    async with world(few, database_url, pg, "plain", slow=1.0, slow_ms=60_000, **STILL) as here:
        for n in range(6):
            await here.plan(n)
        shipper = asyncio.create_task(Shipper(here.runtime).run())

        async def unknown():
            return "unknown" in (await here.states()).values()

        await eventually(lambda: len(here.server.calls) == 2, within_s=15)
        leased = "SELECT count(*) FROM jobs WHERE leased_until > now()"
        assert await pg.fetchval(leased) == 2, "half of them to one warehouse"
        await eventually(unknown, within_s=15)
        shipper.cancel()
        await asyncio.wait([shipper])


async def test_a_stop_does_not_wait_for_all_that_is_to_be_sent(settings, database_url, pg):
    async with world(settings, database_url, pg, "plain", **STILL) as here:
        async with shipping(here, "plain"):
            name = await here.plan(1)

            async def sent():
                return (await here.states())[name] == "sent"

            await eventually(sent, within_s=15)
        for n in range(2, 202):
            await here.plan(n)
        await pg.execute("UPDATE jobs SET due_at = now() - interval '1 minute'")
        await here.stop(1)
        clock = here.runtime.clock
        first = await jobs.claim(pg, MAIN, clock, QUEUES, 16, per_queue=8)
        assert len(first) == 8
        assert name in {job.payload["consignment_id"] for job in first}
        assert await pg.fetchval("SELECT count(*) FROM jobs WHERE leased_until IS NULL") == 193
