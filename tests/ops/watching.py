"""A real Prometheus over what is made for a drill, and the exporters of both servers."""

import asyncio
import os
import subprocess
from contextlib import asynccontextmanager

import aiohttp
import make
import scraping

from engine.infra.servers.ports import free_port
from tests.conftest import eventually


@asynccontextmanager
async def running(*command, **environment):
    """Run a program until the block ends; ended by its own id, and waited for."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


class Prometheus:
    """A Prometheus that asks every second, and what it answers."""

    def __init__(self, session, address):
        self._session, self._address = session, address

    async def ask(self, expr):
        answer = await self._session.get(
            f"{self._address}/api/v1/query",
            params={"query": expr.replace("$__rate_interval", "5s")},
        )
        document = await answer.json()
        assert document["status"] == "success", f"{expr}: {document}"
        return document["data"]["result"]

    async def firing(self):
        """Return the names of alerts that fire."""
        found = await self.ask('ALERTS{alertstate="firing"}')
        return {one["metric"]["alertname"] for one in found}

    async def healthy(self, jobs):
        found = await self.ask("up == 1")
        return {one["metric"]["job"] for one in found} == set(jobs)


@asynccontextmanager
async def prometheus(binary, folder, targets, scale):
    """Start it over files made for a drill, on a port of its own of this machine."""
    port = free_port()
    for name, text in make.files(scale, scraping.Asked(targets, [])).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    options = [
        f"--config.file={folder}/prometheus/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.wal-segment-size=10MB",
    ]
    async with running(binary, *options), aiohttp.ClientSession() as session:
        one = Prometheus(session, f"http://127.0.0.1:{port}")

        async def ready():
            try:
                return await one.healthy(targets)
            except aiohttp.ClientError:
                return False

        await eventually(ready, within_s=20)
        yield one


@asynccontextmanager
async def exporters(tool, settings):
    """Run those of both servers of an instance; where each is asked, by its job."""
    postgres = tool("prometheus-postgres-exporter", "prometheus-postgres-exporter")
    valkey = tool("prometheus-redis-exporter", "prometheus-redis-exporter")
    ports = {"postgres": free_port(), "valkey": free_port()}
    source = f"{settings.database_url}?sslmode=disable"
    async with (
        running(postgres, f"--web.listen-address=127.0.0.1:{ports['postgres']}",
                "--no-collector.bgwriter", DATA_SOURCE_NAME=source),
        running(valkey, f"-web.listen-address=127.0.0.1:{ports['valkey']}",
                f"-redis.addr={settings.valkey_url}"),
    ):  # fmt: skip
        yield {job: [f"127.0.0.1:{port}"] for job, port in ports.items()}
