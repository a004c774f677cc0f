"""The metrics of several processes at one port: sums that never fall, whoever is killed."""

import asyncio
import os
import signal
from dataclasses import replace
from http import HTTPStatus

import pytest

from engine.infra.meters.families import Document, Family, encode
from engine.infra.meters.socket import FACTS, OWN
from engine.infra.servers import ports
from engine.infra.servers.errors import CannotStart
from engine.infra.servers.gathering import Gatherer
from engine.infra.servers.supervisor import Supervisor
from tests.fault.scraped import read, require_clean

ANSWERED = ("tidegate_http_requests_total", "/v1/orders", "401")


@pytest.fixture
def instance(settings, tmp_path):
    """An API process over the shared servers, and metrics at a port."""
    own = replace(settings, data_dir=tmp_path / "d", http_port=0, metrics_port=ports.free_port())
    with Supervisor(own, ephemeral=False, api_processes=1, workers=0) as supervisor:
        supervisor.start_engine()
        yield supervisor


def text_of(supervisor):
    status, text = ports.get(f"http://127.0.0.1:{supervisor.settings.metrics_port}", "/metrics")
    assert status == HTTPStatus.OK
    return text


def post(supervisor, times):
    """Be answered by the hot route: whoever has no key is told so."""
    for _ in range(times):
        assert ports.post(supervisor.address, "/v1/orders") == HTTPStatus.UNAUTHORIZED
