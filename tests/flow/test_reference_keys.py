"""Keys: made, used, bound and revoked, over HTTP and between processes."""

import asyncio
import time
from contextlib import suppress

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from engine.infra import postgres
from engine.infra.http import keys
from engine.infra.http.auth import (
    DIRECTORY,
    Directory,
    ensure_admin_key,
    principal_of,
    require_channel,
)
from engine.infra.http.server import edge, json_response
from engine.infra.runtime import RUNTIME, Runtime
from engine.kernel.clock import SystemClock
from engine.kernel.errors import Misconfigured

ADMIN = "an-admin-key-of-the-tests"


async def _guarded(request):
    principal = await principal_of(request, "orders:write")
    require_channel(principal, request.query.get("channel", ""))
    return json_response({"key": principal.key_id})


@pytest.fixture
async def pool(database_url):
    async with await postgres.open_pool(database_url) as made:
        yield made


@pytest.fixture
async def client(settings, pool, pg):
    await ensure_admin_key(pg, ADMIN, "main")
    app = web.Application(middlewares=[edge()])
    clock = SystemClock()
    app[DIRECTORY] = Directory(pool, clock)
    app[RUNTIME] = Runtime(settings=settings, clock=clock, pool=pool, cell=None, process="test")
    app.add_routes([*keys.routes(), web.get("/guarded", _guarded)])
    async with TestClient(TestServer(app)) as made:
        yield made


async def _call(client, method, path, key=ADMIN, body=None):
    return await client.request(method, path, json=body, headers={"Authorization": f"Bearer {key}"})


async def _make(client, *scopes, channel=""):
    body = {"name": "shop", "scopes": list(scopes), "channel": channel}
    answer = await _call(client, "POST", "/v1/keys", body=body)
    assert answer.status == 201, await answer.text()
    return await answer.json()


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer tgk_x_y",
        "Bearer tgk_admin_x",
        "Bearer an-admin-key-of-the-test",
        f"Bearer {ADMIN}x",
        ADMIN,
    ],
)
async def test_without_a_key_nothing_goes(client, header):
    headers = {} if header is None else {"Authorization": header}
    answer = await client.get("/guarded", headers=headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_key_does_what_its_scopes_say(client):
    writer = await _make(client, "orders:write")
    assert writer["key"].startswith(f"tgk_{writer['key_id']}_")
    assert (await _call(client, "GET", "/guarded", writer["key"])).status == 200
    assert (await _call(client, "GET", "/v1/keys", writer["key"])).status == 403
    reader = await _make(client, "orders:read")
    assert (await _call(client, "GET", "/guarded", reader["key"])).status == 403
    assert (await _call(client, "GET", "/guarded", ADMIN)).status == 200


async def test_a_bound_key_stays_in_its_channel(client):
    bound = await _make(client, "orders:write", channel="mall")
    assert (await _call(client, "GET", "/guarded?channel=mall", bound["key"])).status == 200
    assert (await _call(client, "GET", "/guarded?channel=app", bound["key"])).status == 403


async def test_the_secret_is_shown_once_and_kept_nowhere(client, pg):
    made = await _make(client, "orders:write")
    listed = await (await _call(client, "GET", "/v1/keys")).text()
    assert made["key_id"] in listed
    secret = made["key"].rsplit("_", 1)[1]
    assert secret not in listed
    rows = await pg.fetch("SELECT api_keys::text AS row FROM api_keys")
    assert not any(secret in row["row"] for row in rows)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a", "scopes": []},
        {"name": "a", "scopes": ["orders:fly"]},
        {"name": "", "scopes": ["admin"]},
        {"name": "a", "scopes": ["admin"], "channel": "mall"},
        {"name": "a", "scopes": ["admin"], "power": 1},
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(client, body):
    assert (await _call(client, "POST", "/v1/keys", body=body)).status == 400


async def test_a_revoked_key_ends_here_at_once(client):
    made = await _make(client, "orders:write")
    assert (await _call(client, "GET", "/guarded", made["key"])).status == 200
    path = f"/v1/keys/{made['key_id']}"
    assert (await _call(client, "DELETE", path)).status == 204
    assert (await _call(client, "DELETE", path)).status == 204
    assert (await _call(client, "GET", "/guarded", made["key"])).status == 401
    assert (await _call(client, "DELETE", "/v1/keys/nothing")).status == 404
    assert (await _call(client, "DELETE", "/v1/keys/admin")).status == 409


async def test_another_process_knows_a_new_key_at_once_and_drops_a_revoked_one(
    client, pool, eventually
):
    """The other process has its own directory; a control without its loop never notices."""
    made = await _make(client, "orders:write")
    header = f"Bearer {made['key']}"
    other, deaf = Directory(pool, SystemClock()), Directory(pool, SystemClock())
    assert (await other.authenticate(header)).key_id == made["key_id"]
    assert (await deaf.authenticate(header)).key_id == made["key_id"]
    loop = asyncio.get_running_loop().create_task(other.run())
    await _call(client, "DELETE", f"/v1/keys/{made['key_id']}")
    begun = time.monotonic()
    await eventually(lambda: other.known(header) is None)
    assert time.monotonic() - begun < 2
    assert deaf.known(header) is not None
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop


async def test_guessing_keys_costs_postgres_four_reads_a_second(pool, pg):
    await ensure_admin_key(pg, ADMIN, "main")
    directory, reads = Directory(pool, SystemClock()), []
    refresh = directory.refresh

    async def counted():
        reads.append(1)
        await refresh()

    directory.refresh = counted
    begun = time.monotonic()
    for n in range(200):
        with pytest.raises(Exception, match="not known"):
            await directory.authenticate(f"Bearer tgk_{n}_x")
    assert len(reads) <= 1 + 4 * (time.monotonic() - begun) + 1


async def test_while_postgres_is_away_known_keys_hold(pool, pg):
    await ensure_admin_key(pg, ADMIN, "main")
    directory = Directory(pool, SystemClock())
    assert await directory.authenticate(f"Bearer {ADMIN}")
    await pool.close()
    assert await directory.authenticate(f"Bearer {ADMIN}")
    with pytest.raises(Exception, match="not known"):
        await directory.authenticate("Bearer something-else-entirely")
    with pytest.raises(Exception, match="cannot be read yet"):
        await Directory(pool, SystemClock()).authenticate(f"Bearer {ADMIN}")


async def test_a_changed_key_of_the_settings_replaces_the_old_one(pool, pg):
    directory = Directory(pool, SystemClock())
    for secret in (ADMIN, "tgk_of_another_shape", "k" * 16):
        await ensure_admin_key(pg, secret, "main")
        await directory.refresh()
        assert directory.known(f"Bearer {secret}").key_id == "admin"
    assert directory.known(f"Bearer {ADMIN}") is None


@pytest.mark.parametrize("secret", ["short", "k" * 15, "with a space in it", "nöt-ascii-at-all-x"])
async def test_a_weak_key_of_the_settings_is_refused(pg, secret):
    with pytest.raises(Misconfigured, match="TIDEGATE_ADMIN_KEY"):
        await ensure_admin_key(pg, secret, "main")
