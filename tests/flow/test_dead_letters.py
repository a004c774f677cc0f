"""What was given up: one list, tried again one by one or by queue, over HTTP and by hand."""

from dataclasses import replace

import msgspec
import pytest

from engine.assurance import api as assurance
from engine.infra import jobs
from engine.infra.http import keys
from tests.conftest import eventually
from tests.flow.shipping import SECRET, shipping, world
from tests.flow.surface import Surface, served

WRONG = "a wrong one of sixteen"
DEAD = """
INSERT INTO jobs (tenant, queue, kind, key, payload, state, attempts, last_error)
SELECT 'main', $1, 'call', 'o' || n || '-s1', json_build_object('node', 'N')::jsonb, 'dead', 12, 'x'
FROM generate_series(1, $2) AS n
"""
LETTER = """
INSERT INTO dead_letters (cell, log_id, order_id, kind, reason, event, payload)
VALUES ('1', '1-0', 'o9', 'reserved', E'CheckViolation: no\nDETAIL: 张三', '', '')
RETURNING id
"""


@pytest.fixture
async def desk(settings, database_url):
    async with served(
        replace(settings, database_url=database_url), database_url, (keys, assurance), Surface
    ) as surface:
        yield surface


async def listed(desk, **query):
    return await desk.call("GET", "/v1/dead-letters", None, 200, **query)


async def test_both_kinds_are_in_one_list_in_pages(desk, pg):
    letter = await pg.fetchval(LETTER)
    await pg.execute(DEAD, "wms:N", 3)
    await pg.execute(DEAD, "wms:M", 1)
    found, cursor = [], ""
    while cursor is not None:
        page = await listed(desk, limit=2, **({"cursor": cursor} if cursor else {}))
        found += page["items"]
        cursor = page["next_cursor"]
    assert [one["queue"] for one in found] == ["cell:1", *["wms:N"] * 3, "wms:M"]
    assert found[0]["id"] == f"cell-{letter}"
    assert (found[0]["last_error"], found[0]["retryable"]) == ("CheckViolation: no", False)
    assert (found[1]["subject"], found[1]["node"], found[1]["attempts"]) == ("o1-s1", "N", 12)
    assert found[1]["age_seconds"] >= 0
    only = (await listed(desk, queue="wms:M"))["items"]
    assert [one["id"] for one in only] == [found[4]["id"]]
    assert (await listed(desk, queue="cell:2"))["items"] == []


async def test_one_is_tried_again_or_all_of_a_queue(desk, pg):
    letter = await pg.fetchval(LETTER)
    await pg.execute(DEAD, "wms:N", 3)
    await pg.execute(DEAD, "wms:M", 1)
    first = (await listed(desk, queue="wms:N"))["items"][0]["id"]
    again = f"/v1/dead-letters/{first}/retry"
    assert await desk.call("POST", again, {}, 200) == {"retried": 1}
    assert (await desk.call("POST", again, {}, 404))["code"] == "not_found"
    waiting = "SELECT queue, attempts, due_at <= now() AS due FROM jobs WHERE state = 'waiting'"
    assert [tuple(row) for row in await pg.fetch(waiting)] == [("wms:N", 0, True)]
    body = {"queue": "wms:N"}
    assert await desk.call("POST", "/v1/dead-letters:retry", body, 200) == {"retried": 2}
    assert await desk.call("POST", "/v1/dead-letters:retry", body, 200) == {"retried": 0}
    of_cell = f"/v1/dead-letters/cell-{letter}/retry"
    assert (await desk.call("POST", of_cell, {}, 409))["code"] == "conflict"
    for unknown in ("job-x", "job-9999999999999999999999", "nothing", "job-"):
        await desk.call("POST", f"/v1/dead-letters/{unknown}/retry", {}, 404)
    told = await pg.fetch("SELECT data FROM events WHERE kind = 'dead_letters.retried' ORDER BY id")
    assert [msgspec.json.decode(row["data"])["retried"] for row in told] == [1, 2]
    assert {one["queue"] for one in (await listed(desk))["items"]} == {"cell:1", "wms:M"}


async def test_an_entry_of_the_cell_is_settled_once_by_saying_what_was_done(desk, pg):
    letter = await pg.fetchval(LETTER)
    await pg.execute(DEAD, "wms:N", 1)
    path = f"/v1/dead-letters/cell-{letter}/settle"
    for reason in ("", " "):
        refused = await desk.call("POST", path, {"reason": reason}, 400)
        assert refused["errors"][0]["pointer"] == "/reason"
    done = {"reason": "sold again by hand"}
    job = (await listed(desk, queue="wms:N"))["items"][0]["id"]
    assert (await desk.call("POST", f"/v1/dead-letters/{job}/settle", done, 409))["code"]
    for unknown in ("cell-x", "cell-9999999999999999999999", f"cell-{letter + 1}", "nothing"):
        await desk.call("POST", f"/v1/dead-letters/{unknown}/settle", done, 404)
    assert await desk.call("POST", path, done, 200) == {"id": f"cell-{letter}", **done}
    assert [one["id"] for one in (await listed(desk))["items"]] == [job]
    await desk.call("POST", path, done, 404)
    (told,) = await pg.fetch("SELECT data FROM events WHERE kind = 'dead_letters.settled'")
    assert msgspec.json.decode(told["data"]) == {"id": f"cell-{letter}", **done}


async def test_only_an_admin_sees_them(desk):
    body = {"name": "k", "scopes": ["orders:read", "orders:write", "stock:write"]}
    key = (await desk.call("POST", "/v1/keys", body, 201))["key"]
    await desk.call("GET", "/v1/dead-letters", None, 403, key=key)
    await desk.call("POST", "/v1/dead-letters/job-1/retry", {}, 403, key=key)
    await desk.call("POST", "/v1/dead-letters/cell-1/settle", {"reason": "x"}, 403, key=key)
    await desk.call("POST", "/v1/dead-letters:retry", {"queue": "wms:N"}, 403, key=key)


async def test_by_command(desk, pg):
    await pg.execute(DEAD, "wms:N", 2)
    shown = await desk.command("dlq", "list", "--queue", "wms:N")
    first, _ = shown.stdout.splitlines()
    assert (shown.returncode, first.split()[1:4]) == (0, ["wms:N", "call", "o1-s1"])
    told = await desk.command("dlq", "list", "--json")
    assert len(msgspec.json.decode(told.stdout)) == 2
    assert (await desk.command("dlq", "retry", first.split()[0])).returncode == 0
    again = await desk.command("dlq", "retry", first.split()[0])
    assert (again.returncode, again.stderr) == (1, "there is no dead letter of that id\n")
    assert (await desk.command("dlq", "retry")).returncode == 2
    assert (await desk.command("dlq", "retry", "--queue", "wms:N")).returncode == 0
    assert await pg.fetchval("SELECT count(*) FROM jobs WHERE state = 'waiting'") == 2
    letter = f"cell-{await pg.fetchval(LETTER)}"
    assert (await desk.command("dlq", "settle", letter, "--reason", "done")).returncode == 0
    assert await pg.fetchval("SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL") == 0


async def test_a_create_that_is_refused_each_time_is_given_up_seen_and_tried_again(
    settings, database_url, pg, monkeypatch
):
    """Its secret is wrong; once it is right, the order leaves as if nothing had been."""
    monkeypatch.setattr(jobs, "TRIES_MAX", 2)
    async with world(settings, database_url, pg, "plain") as here, shipping(here, "plain"):
        await here.surface.call("PUT", "/v1/nodes/N/secret", {"secret": WRONG}, 200)
        name = await here.plan(1)

        async def dead():
            await here.in_time()
            return await jobs.dead(pg, "main")

        [one] = await eventually(dead, within_s=20)
        assert (one.key, one.last_error) == (name, "create: REFUSED http_401")
        assert here.server.books.held == {}
        told = await pg.fetchrow("SELECT * FROM events WHERE kind = 'shipment.call_dead'")
        assert told["order_id"] == "o1"
        assert msgspec.json.decode(told["data"])["error"] == "create: REFUSED http_401"
        await here.surface.call("PUT", "/v1/nodes/N/secret", {"secret": SECRET}, 200)
        async with pg.transaction():
            assert await jobs.revive(pg, "main", one.job_id)
        await eventually(here.ended, within_s=15)
        assert await here.states() == {name: "shipped"}
        assert here.server.books.held[name].made == 1
