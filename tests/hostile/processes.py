"""An API process and a worker as `tidegate api` and `tidegate worker` run, and their logs."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec
import redis

from engine import settings as settings_of
from engine.infra.servers import ports
from engine.settings import Settings
from tests.fault.engines import ADMIN, an_order, campaign_of

READY_WITHIN_S = 30.0
STOCK = {"A": 1_000_000, "B": 1_000_000}


@dataclass
class Engine:
    """A running instance; `keys` are texts of API keys by a name of the test's own."""

    settings: Settings
    port: int
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, name: str, *command: str) -> None:
        """Start a process whose output goes into a file of its own."""
        environment = settings_of.environment(self.settings) | {"TIDEGATE_PROCESS_NAME": name}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "engine", *command],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def logged(self, name: str = "*") -> str:
        """Everything a process has written so far; of all processes without a name."""
        found = sorted(self.folder.glob(f"{name}.log"))
        return "".join(path.read_text(errors="replace") for path in found)

    def rss(self, name: str = "api") -> int:
        """Bytes of memory a process has now."""
        status = Path(f"/proc/{self.processes[name].pid}/status").read_text()
        (line,) = [one for one in status.splitlines() if one.startswith("VmRSS:")]
        return int(line.split()[1]) * 1_024

    def alive(self) -> None:
        """Fail unless every process still runs and nothing was logged as unexpected."""
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name} ended: {self.logged(name)[-2_000:]}"
        wrong = [line for line in self.logged().splitlines() if '"level":"error"' in line]
        assert not wrong, wrong[:3]

    async def call(
        self, method: str, path: str, body: object = None, key: str = ADMIN
    ) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {key}"}
            async with session.request(
                method, self.url + path, json=body, headers=headers
            ) as answer:
                raw = await answer.read()
                return answer.status, msgspec.json.decode(raw) if raw else None

    async def buy(self, number: str, **fields: Any) -> tuple[int, Any]:
        return await self.call("POST", "/v1/orders", an_order(number, **fields))

    async def open_sale(self) -> None:
        for path, body in campaign_of(STOCK):
            status, document = await self.call("PUT", path, body)
            assert status == 201, document
        deadline = time.monotonic() + READY_WITHIN_S
        while (told := await self.buy("first"))[0] != 202:
            assert time.monotonic() < deadline, told
            await asyncio.sleep(0.05)

    async def ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        told: object = "nothing"
        while True:
            for process in self.processes.values():
                assert process.poll() is None, self.logged()[-2_000:]
            try:
                status, told = await self.call("GET", "/readyz")
                if status == 200:
                    return
            except aiohttp.ClientError as away:
                told = away
            assert time.monotonic() < deadline, told
            await asyncio.sleep(0.05)

    async def sql(self, statement: str, *values: object) -> list[Any]:
        connection = await asyncpg.connect(self.settings.database_url)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()


@contextmanager
def running(shared: Settings, template: str, name: str, folder: Path) -> Iterator[Engine]:
    """Run an instance over a database of its own on servers that are there."""
    admin = shared.database_url or ""
    database = f"hostile_{name}"
    asyncio.run(_execute(admin, f"CREATE DATABASE {database} TEMPLATE {template}"))
    with redis.Redis.from_url(shared.valkey_url or "", protocol=2) as client:
        client.flushall()
    port = ports.free_port("127.0.0.1")
    changed: Mapping[str, str] = {
        "TIDEGATE_DATABASE_URL": admin.rpartition("/")[0] + f"/{database}",
        "TIDEGATE_HTTP_HOST": "127.0.0.1",
        "TIDEGATE_HTTP_PORT": str(port),
        "TIDEGATE_ADMIN_KEY": ADMIN,
        "TIDEGATE_LOG_LEVEL": "debug",  # whatever is ever told
    }
    settings = settings_of.load(settings_of.environment(shared) | changed)
    engine = Engine(settings, port, folder)
    try:
        engine.start("worker", "worker")
        engine.start("api", "api")
        asyncio.run(engine.ready())
        asyncio.run(engine.open_sale())
        yield engine
    finally:
        for process in engine.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in engine.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        asyncio.run(_execute(admin, f"DROP DATABASE {database} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
