"""One instance for all drills that may share one; each sells a campaign of its own."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine import settings as settings_of
from engine.infra.migrate import migrate
from engine.infra.servers.supervisor import Supervisor
from engine.simulation.drill.places import Place

KEY = "drill-admin-key-01"


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    """A whole instance, with the servers that faults are done to."""
    settings = replace(settings_of.load(), http_port=0, admin_key=KEY, drain_seconds=1)
    with Supervisor(settings, ephemeral=True, api_processes=1) as supervisor:
        asyncio.run(migrate(supervisor.settings.database_url or ""))
        supervisor.start_engine()
        supervisor.wait_ready()
        yield Place(supervisor.settings, supervisor.address, KEY, supervisor)
