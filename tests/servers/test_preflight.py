"""Every server setting that loses orders is refused, one by one, on real servers."""

import re

import asyncpg
import pytest

from engine.infra import preflight
from engine.kernel.errors import Misconfigured

# fmt: off
WRONG_IN_VALKEY = {
    "appendonly":                ("no",          "yes",        "fsync"),
    "appendfsync":               ("everysec",    "always",     "fsync"),
    "no-appendfsync-on-rewrite": ("yes",         "no",         "fsync"),
    "maxmemory":                 ("0",           "64mb",       "fsync"),
    "maxmemory-policy":          ("allkeys-lru", "noeviction", "fsync"),
    "min-replicas-to-write":     ("0",           "0",          "replica"),
}
# fmt: on


@pytest.mark.parametrize(
    ("name", "wrong", "right", "profile"),
    [(name, *row) for name, row in WRONG_IN_VALKEY.items()],
    ids=WRONG_IN_VALKEY,
)
async def test_a_wrong_setting_of_valkey_is_refused(pg, valkey, name, wrong, right, profile):
    await valkey.config_set(name, wrong)
    try:
        found = await preflight.check(pg, valkey, profile)
    finally:
        await valkey.config_set(name, right)
    sentences = [f.sentence for f in found if f.setting == f"Valkey {name}"]
    assert len(sentences) == 1
    assert f"Valkey {name} is {wrong}" in sentences[0]
    assert f"CONFIG SET {name} " in sentences[0]
    with pytest.raises(Misconfigured, match=re.escape(sentences[0])):
        preflight.refuse(found)


async def test_servers_as_we_start_them_are_accepted(pg, valkey):
    assert await preflight.check(pg, valkey, "fsync") == []
    assert await preflight.check(pg, valkey, "memory") == []
    preflight.refuse([])


@pytest.mark.parametrize(("value", "findings"), [("everysec", 0), ("always", 0), ("no", 1)])
async def test_the_memory_profile_takes_everysec_and_better(valkey, value, findings):
    await valkey.config_set("appendfsync", value)
    try:
        assert len(await preflight.check_valkey(valkey, "memory")) == findings
    finally:
        await valkey.config_set("appendfsync", "always")


@pytest.mark.parametrize("name", ["fsync", "synchronous_commit", "full_page_writes"])
async def test_a_wrong_setting_of_postgres_is_refused(server_settings, pg, eventually, name):
    admin = await asyncpg.connect(server_settings.database_url)

    async def is_now(value):
        return await pg.fetchval(f"SHOW {name}") == value

    try:
        await admin.execute(f"ALTER SYSTEM SET {name} = off")
        await admin.execute("SELECT pg_reload_conf()")
        await eventually(lambda: is_now("off"))
        found = await preflight.check_postgres(pg)
        await admin.execute(f"ALTER SYSTEM RESET {name}")
        await admin.execute("SELECT pg_reload_conf()")
        await eventually(lambda: is_now("on"))
    finally:
        await admin.execute(f"ALTER SYSTEM RESET {name}")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()
    assert [f.setting for f in found] == [f"Postgres {name}"]
    assert f"ALTER SYSTEM SET {name} = on" in found[0].sentence
    assert await preflight.check_postgres(pg) == []


async def test_a_setting_hidden_on_the_database_is_found_too(pg):
    await pg.execute("SET synchronous_commit = off")
    assert [f.found for f in await preflight.check_postgres(pg)] == ["off"]


async def test_a_server_that_hides_its_settings_is_refused(valkey):
    await valkey.execute_command("ACL", "SETUSER", "blind", "on", ">pw", "~*", "+@all", "-config")
    try:
        async with valkey.client() as blind:
            await blind.auth("pw", "blind")
            found = await preflight.check_valkey(blind, "fsync")
    finally:
        await valkey.execute_command("ACL", "DELUSER", "blind")
    assert [f.setting for f in found] == ["Valkey CONFIG GET"]


class Told:
    """A server that tells another version; nothing else of it is asked."""

    def __init__(self, told):
        self.told = told

    async def info(self, _section):
        return self.told


# fmt: off
VERSIONS = {
    "redis 6.2":  ({"redis_version": "6.2.14"}, "version 6.2.14"),
    "no version": ({}, "version 0.0"),
}
# fmt: on


@pytest.mark.parametrize(("told", "found"), VERSIONS.values(), ids=VERSIONS)
async def test_an_old_server_is_refused(told, found):
    assert [f.found for f in await preflight.check_valkey(Told(told), "fsync")] == [found]


class Old:
    """A connection to a Postgres too old to ask anything of."""

    def get_server_version(self):
        return asyncpg.types.ServerVersion(14, 2, 0, "final", 0)


async def test_an_old_postgres_is_refused():
    assert [f.found for f in await preflight.check_postgres(Old())] == ["version 14"]


async def test_the_replica_profile_needs_waitaof(valkey):
    known = (await valkey.execute_command("COMMAND INFO", "WAITAOF"))[0] is not None
    found = [f.setting for f in await preflight.check_valkey(valkey, "replica")]
    assert ("WAITAOF" in found) is not known
