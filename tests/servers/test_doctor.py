"""The doctor: each rule by a row, and the command over this machine with and without servers."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from engine.infra.preflight import Finding as Wrong
from engine.infra.servers import probing
from engine.infra.servers.doctor import examine
from engine.infra.servers.judging import MEND, NOTE, OK, judge
from engine.infra.servers.seen import Clocks, Machine, Port, Room, Seen, Servers, Syncs
from engine.kernel.clock import SystemClock
from engine.settings import Settings

GIB = 1 << 30
HOME = Path("/srv/tidegate")
MACHINE = Machine(8, 16 * GIB, 65_535, 4_096, 1, 1, "madvise")
SERVERS = Servers(["Valkey 9.1.2", "Postgres 18.6"], [], None, 4 * GIB, 16 * GIB)
ROOM = Room("data directory", HOME, 50 * GIB, 100 * GIB)
WELL = Seen(
    machine=MACHINE,
    ports=[Port("TIDEGATE_HTTP_PORT", "127.0.0.1", 8080, None)],
    rooms=[ROOM],
    syncs=Syncs(HOME, [0.4] * 98 + [1.5] * 2),
    clocks=Clocks({"Postgres": 0.002, "Valkey": -0.001}, 0.0),
    versions={"Python": "3.11.7"},
    unknown=[],
    binaries=[],
    unreachable=None,
    servers=SERVERS,
    ours=True,
)
TAKEN = Port("TIDEGATE_HTTP_PORT", "127.0.0.1", 8080, "address already in use", "nginx (pid 7)")
APPEND = Wrong(setting="Valkey appendonly", found="no", wanted="yes", how_to_set="CONFIG SET it")


def machine(**fields):
    return WELL._replace(machine=MACHINE._replace(**fields))


def running(**fields):
    return WELL._replace(servers=SERVERS._replace(**fields))


def slow(ms):
    return WELL._replace(syncs=Syncs(HOME, [ms] * 100))


def ported(**fields):
    return WELL._replace(ports=[TAKEN._replace(**fields)])


def free(gib, of=100, name="data directory"):
    return WELL._replace(rooms=[Room(name, HOME, int(gib * GIB), of * GIB)])


URLS = {"valkey_url": "redis://x", "database_url": "postgresql://x"}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a word that is judged

# fmt: off
RULES = [
    (WELL._replace(unknown=["TIDEGATE_HTPP_PORT"]), {}, MEND, "TIDEGATE_HTPP_PORT is set and is no",
     "did you mean TIDEGATE_HTTP_PORT? unset TIDEGATE_HTPP_PORT"),
    (WELL, {"ephemeral": True} | URLS, MEND, "named by URL", "unset TIDEGATE_EPH"),
    (WELL, {"database_url": "postgresql://x"}, NOTE, "TIDEGATE_DATABASE_URL is set and",
     "set TIDEGATE_VALKEY_URL, too"),
    (WELL, {"drain_seconds": 0}, MEND, "cuts off orders", "TIDEGATE_DRAIN_SECONDS=10"),
    (WELL, {"admin_key": "geheim"}, MEND, "has 6 characters", "openssl rand -base64 24"),
    (WELL, {"durability": "memory"}, NOTE, "up to 2 s of accepted",
     "TIDEGATE_DURABILITY=fsync"),
    (WELL, {"http_host": EVERYWHERE}, NOTE, "without TLS", "TIDEGATE_HTTP_HOST=127.0.0.1"),
    (WELL, {"api_processes": 8}, NOTE, "8 API processes, a worker", "TIDEGATE_API_PROCESSES=5"),
    (WELL._replace(binaries=[(False, "No Postgres was found: set TIDEGATE_PG_BIN.")]), {}, MEND,
     "No Postgres was found.", "set TIDEGATE_PG_BIN"),
    (ported(), {}, MEND, "is taken by nginx (pid 7).", "ss -ltnp 'sport = :8080'"),
    (ported(refused="permission denied"), {}, MEND, "cannot be used: permission denied",
     "TIDEGATE_HTTP_PORT"),
    (ported(ours=True), {}, OK, "is taken by nginx (pid 7), which answers /healthz.", ""),
    (machine(files=1_024), {}, MEND, "1,024 open files", "ulimit -n 65535"),
    (machine(files=8_192), {}, NOTE, "fewer than 16,384 connections", "LimitNOFILE=65535"),
    (machine(somaxconn=128), {}, NOTE, "somaxconn is 128", "-w net.core.somaxconn=4096"),
    (machine(migrates=0), {"api_processes": 2}, NOTE, "tcp_migrate_req is off", "_req=1"),
    (machine(overcommit=0), {}, NOTE, "overcommit is 0", "sysctl -w vm.overcommit_memory=1"),
    (machine(huge_pages="always"), {}, NOTE, "huge pages are always on", "echo madvise >"),
    (running(cell_memory_bytes=10 * GIB), {}, NOTE, "10.0 of 16.0 GiB", "SET maxmemory 8192mb"),
    (running(cell_memory_bytes=15 * GIB), {}, MEND, "15.0 of 16.0 GiB", "SET maxmemory 8192mb"),
    (WELL._replace(servers=None), {"valkey_maxmemory_mb": 15_000}, MEND, "14.6 of 16.0 GiB",
     "TIDEGATE_VALKEY_MAXMEMORY_MB=4096"),
    (free(1.5), {}, MEND, "Only 1.5 GiB", "TIDEGATE_DATA_DIR elsewhere"),
    (free(1.5, name="temporary directory"), {}, NOTE, "Only 1.5 GiB", "TMPDIR elsewhere"),
    (free(1.5, name="temporary directory"), {"ephemeral": True}, MEND, "Only 1.5 GiB", "TMPDIR"),
    (free(9), {}, NOTE, "9% of the disk", "du -xh"),
    (slow(20), {}, NOTE, "p99 20 ms; one a batch of 64 allows 3,200 orders/s", "power-loss"),
    (slow(100), {}, MEND, "allows 640 orders/s", "power-loss protection"),
    (slow(0.005), {}, NOTE, "too quick for a disk", "TIDEGATE_DATA_DIR"),
    (WELL._replace(syncs=Syncs(HOME, [], "read-only file system")), {}, MEND,
     "cannot be written (read-only file system)", "TIDEGATE_DATA_DIR"),
    (WELL._replace(clocks=Clocks({"Postgres": -1.2}, 0)), {}, MEND,
     "The clock of Postgres is 1.200 s behind this machine's", "timedatectl set-ntp true"),
    (WELL._replace(clocks=Clocks({}, 30.0)), {}, MEND, "jumped by +30.0 s", "timedatectl"),
    (WELL._replace(servers=None, unreachable="refused"), {}, MEND, "not answer: refused",
     "config show"),
    (running(wrong=[APPEND]), {}, MEND, "Valkey appendonly is no, wanted is yes.", "CONFIG SET it"),
    (running(schema="the database lacks 0061_x: run `tidegate migrate` first"), {}, MEND,
     "The database lacks 0061_x.", "run `tidegate migrate` first"),
]
# fmt: on


@pytest.mark.parametrize(("seen", "changed", "level", "told", "remedy"), RULES)
def test_a_rule(seen, changed, level, told, remedy):
    found = judge(seen, Settings(data_dir=HOME, **changed))
    (finding,) = [one for one in found if told in one.told]
    assert finding.level == level
    assert remedy in finding.remedy
    assert bool(finding.remedy) == (level != OK)
    assert [one for one in found if one.level != OK] == [finding] * (level != OK)


def test_a_slow_disk_is_no_matter_where_nobody_waits_for_it():
    found = judge(slow(100), Settings(data_dir=HOME, durability="memory"))
    assert [one.area for one in found if one.level != OK] == ["settings"]


def test_what_is_well_is_only_told():
    found = judge(WELL, Settings(data_dir=HOME))
    assert {one.level for one in found} == {OK}
    assert {one.area for one in found} == {
        "settings", "versions", "ports", "kernel", "cores", "memory", "space", "disk", "clock",
        "servers",
    }  # fmt: skip
    blind = Machine(2, 16 * GIB, 65_535, None, None, None, None)
    nothing = WELL._replace(machine=blind, rooms=[], syncs=None, ports=[], servers=None, ours=False)
    assert {one.level for one in judge(nothing, Settings(data_dir=HOME))} == {OK}


def ask(settings):
    """Ask for the document; return it with the exit code."""
    told = []
    code = examine(settings, told.append, as_json=True)
    (text,) = told
    return code, msgspec.json.decode(text)


def house(settings, url, folder):
    """The shared servers as somebody else's."""
    return replace(settings, database_url=url, data_dir=folder, http_port=0, ephemeral=False)


def of(document, area):
    return [one for one in document["findings"] if one["area"] == area]


def test_without_an_instance_it_looks_at_the_machine_alone(tmp_path):
    settings = Settings(
        data_dir=tmp_path / "home", http_port=1, admin_key="tg-a-secret-of-24-letters"
    )
    code, document = ask(replace(settings, http_port=0))
    assert document["mend"] == sum(one["level"] == MEND for one in document["findings"])
    assert code == (document["mend"] > 0)
    assert of(document, "servers")[0]["told"].startswith("No instance runs in")
    (disk,) = of(document, "disk")
    assert f"in {tmp_path}: median" in disk["told"] or "too quick" in disk["told"]
    assert list(tmp_path.iterdir()) == []
    assert "secret" not in str(document)


def test_a_port_is_taken_by_somebody_with_a_name(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        _, document = ask(Settings(data_dir=tmp_path, http_port=number))
    (port,) = of(document, "ports")
    assert port["level"] == MEND
    assert f"(pid {os.getpid()})" in port["told"]


@pytest.fixture(autouse=True)
def _no_name_of_the_tests(monkeypatch):
    """What only tests read is no setting, and to the doctor a mistyped one."""
    monkeypatch.delenv("TIDEGATE_TEST_DATA", raising=False)


def test_over_servers_it_tells_their_versions_clocks_and_schema(
    database_url, server_settings, tmp_path
):
    settings = house(server_settings, database_url, tmp_path)
    code, document = ask(settings)
    assert code == 0, document
    told = [one["told"] for one in of(document, "servers")]
    assert told[0].startswith(("Valkey", "Redis"))
    assert told[-1] == "The schema is that of this version."
    assert [one["level"] for one in of(document, "clock")] == [OK, OK]


def test_an_empty_database_and_a_dead_server_are_to_be_mended(
    empty_database_url, server_settings, tmp_path
):
    settings = replace(
        server_settings, database_url=empty_database_url, data_dir=tmp_path, http_port=0
    )
    code, document = ask(settings)
    assert code == 1
    assert [one["remedy"] for one in of(document, "servers")][-1] == "run `tidegate migrate` first"
    code, document = ask(replace(settings, database_url="postgresql://u:hush@127.0.0.1:1/x"))
    assert code == 1
    assert "do not answer" in of(document, "servers")[0]["told"]
    assert "hush" not in str(document)


def test_syncing_is_bounded_in_number_and_time(tmp_path):
    class Slow(SystemClock):
        def __init__(self):
            self.now = 0.0

        def monotonic(self):
            self.now += 0.1
            return self.now

    assert len(probing.synced(tmp_path, SystemClock()).ms) <= probing.SYNCS
    assert 0 < len(probing.synced(tmp_path, Slow()).ms) < 10
    assert probing.synced(tmp_path / "none", SystemClock()).refused == "no such file or directory"
