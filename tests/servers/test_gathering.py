"""The metrics of several processes at one port: sums that never fall, whoever is killed."""

import asyncio
import platform
import signal
import socket
import struct
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path

import pytest

from engine.infra.meters.families import Document, Family, encode
from engine.infra.meters.socket import FACTS, OWN
from engine.infra.servers import ports, process
from engine.infra.servers.errors import CannotStart
from engine.infra.servers.gathering import Gatherer
from engine.infra.servers.supervisor import Supervisor
from tests.fault.scraped import read, require_clean

SKIPPED = "tidegate_metrics_skipped_total"
ANSWERED = ("tidegate_http_requests_total", "/v1/orders", "401")


@pytest.fixture
def instance(settings):
    """An API process over the shared servers, and metrics at a port."""
    own = replace(settings, http_port=0, metrics_port=ports.free_port())
    with Supervisor(own, ephemeral=True, api_processes=1, workers=0) as supervisor:
        supervisor.start_engine()
        yield supervisor


@pytest.fixture
def folder():
    """A directory whose name is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="tg-") as path:
        yield Path(path)


def text_of(port):
    link = HTTPConnection("127.0.0.1", port, timeout=10)
    link.request("GET", "/metrics")
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    assert answer.status == HTTPStatus.OK
    return text


def answered(supervisor):
    return read(text_of(supervisor.settings.metrics_port)).get(ANSWERED, 0)


def order(supervisor, times):
    """Ask the hot route without a key, so that its own lane answers."""
    link = HTTPConnection("127.0.0.1", supervisor.settings.http_port, timeout=5)
    for _ in range(times):
        link.request("POST", "/v1/orders", body="{}", headers={"Content-Type": "application/json"})
        answer = link.getresponse()
        answer.read()
        assert answer.status == HTTPStatus.UNAUTHORIZED
    link.close()


def wait_alive(supervisor):
    assert process.until(lambda: ports.get(supervisor.address, "/healthz")[0] == 200, within_s=20)


def test_sums_outlive_a_process_that_is_killed_and_gauges_tell_who_lives(instance):
    wait_alive(instance)
    order(instance, 3)
    assert answered(instance) == 3
    pid = instance.kill("api-0", signal.SIGKILL)
    assert answered(instance) == 3  # nobody answers: what it told last
    assert ("tidegate_http_connections", "api-0") not in read(
        text_of(instance.settings.metrics_port)
    )
    instance.wait_replaced("api-0", pid)
    wait_alive(instance)
    order(instance, 2)
    text = text_of(instance.settings.metrics_port)
    now = read(text)
    assert now[ANSWERED] == 5
    assert now["tidegate_http_request_seconds_count", "/v1/orders"] == 5
    assert now["tidegate_process_restarts_total", "api-0"] == 1
    assert now["tidegate_http_connections", "api-0"] >= 0
    assert now["tidegate_cell_open", "1"] == 0  # a fact: once, and of nobody
    assert now["process_cpu_seconds_total", "up"] > 0
    assert now["tidegate_build_info", "api-0", platform.python_version(), version("tidegate")] == 1
    asyncio.run(require_clean(text))


@contextmanager
def child(path, *documents):
    """A process that tells these documents, one each time it is asked; then it says nothing."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        asked = []

        def tell():
            for one in documents:
                link, _ = listening.accept()
                with link:
                    asked.append(link.recv(16))
                    link.sendall(one)

        thread = threading.Thread(target=tell)
        thread.start()
        yield asked
        thread.join()


@contextmanager
def gatherer(folder, *names):
    one = Gatherer(folder, lambda: names, lambda _: 0, host="127.0.0.1", port=0)
    try:
        yield one
    finally:
        one.close()


def telling(n):
    family = Family("tidegate_n", "counter", "N", (), "sum", [((), [n])])
    return encode(Document("a", [family]))


def test_one_that_does_not_answer_in_time_is_left_out_and_counted(folder, monkeypatch):
    monkeypatch.setattr("engine.infra.servers.gathering._OWN_WITHIN_S", 0.2)
    monkeypatch.setattr("engine.infra.servers.gathering.POLL_SECONDS", 600)
    fact = encode(Document("a", [Family("tidegate_f", "gauge", "F", (), "fact", [((), [2.0])])]))
    with gatherer(folder, "valkey", "worker-0", "worker-1", "worker-2") as one:
        with (
            child(one.socket_of("worker-0"), telling(1.0)) as asked,
            child(one.socket_of("worker-1"), telling(2.0), b"no document"),
        ):
            first = read(text_of(one.port))
            second = read(text_of(one.port))  # one says nothing, one nonsense, one is not there
        assert asked == [OWN]
    skipped = {key[1]: n for key, n in second.items() if key[0] == SKIPPED and "worker" in key[1]}
    assert first["tidegate_n_total",] == second["tidegate_n_total",] == 3
    assert skipped == {"worker-0": 1, "worker-1": 1}
    with gatherer(folder / "facts", "api-0", "api-1") as one:
        with child(one.socket_of("api-1"), *[fact] * 2) as asked:
            assert read(text_of(one.port))["tidegate_f",] == 2
        assert sorted(asked) == [FACTS, OWN]


def test_who_asks_and_goes_is_no_news(folder, monkeypatch, capsys):
    monkeypatch.setattr("engine.infra.servers.gathering.POLL_SECONDS", 600)
    asked, gone = threading.Event(), threading.Event()

    def names():
        asked.set()
        gone.wait()
        return []

    one = Gatherer(folder, names, lambda _: 0, host="127.0.0.1", port=0)
    with socket.create_connection(("127.0.0.1", one.port)) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        asked.wait()
    answering = [each for each in threading.enumerate() if "process_request" in each.name]
    gone.set()
    for each in answering:
        each.join()
    one.close()
    assert answering
    assert capsys.readouterr().err == ""


def test_what_cannot_be_listened_to_is_refused_with_what_to_set(folder):
    with gatherer(folder) as one, pytest.raises(CannotStart, match="TIDEGATE_METRICS_PORT"):
        Gatherer(folder, list, lambda _: 0, host="127.0.0.1", port=one.port)
    deep = folder / ("d" * 90)
    with pytest.raises(CannotStart, match="TIDEGATE_DATA_DIR"):
        Gatherer(deep, list, lambda _: 0, host="127.0.0.1", port=0)
