"""A real Prometheus asks a real engine during a short sale: nothing that is shown is empty.

With its exporters, where they are installed; what they alone tell is in `EXPORTED`.
"""

import asyncio
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import alerts
import dashboards
import pytest
import recording
from scaling import Scale

from engine import settings as settings_of
from engine.infra.servers.ports import free_port
from tests.conftest import eventually
from tests.fault.engines import ADMIN, an_order, campaign_of
from tests.fault.marketplace import TMALL, line, snapshot
from tests.ops.watching import exporters, prometheus, running

ROOT = Path(__file__).parents[2]
DRILL = Scale(0.01, 1)

EXPORTED = {
    "pg_up", "pg_stat_activity_count", "pg_settings_max_connections",
    "pg_stat_database_xact_commit", "redis_up", "redis_aof_delayed_fsync",
    "redis_commands_processed_total", "redis_connected_clients",
}  # fmt: skip
# Told once there was one.
SPIKES = {"redis_latency_spike_duration_seconds", "redis_latency_spike_last"}
OF_PROMETHEUS = {"up"}
NAME = re.compile(r"\b(?:tidegate|pg|redis|process)_\w+|\bup\b")


class Shop:
    """Calls of a shop to an API process."""

    def __init__(self, session, address):
        self._session, self._address = session, address
        self._sold_on = 0

    async def call(self, method, path, body=None):
        answer = await self._session.request(
            method, f"{self._address}{path}", json=body,
            headers={"Authorization": f"Bearer {ADMIN}"},
        )  # fmt: skip
        return answer.status, await answer.json(content_type=None)

    async def ready(self):
        try:
            answer = await self._session.get(f"{self._address}/readyz")
        except aiohttp.ClientError:
            return False
        return answer.status == 200

    async def sell(self):
        """Sell, to the end of the stock; a marketplace sells what there is and more."""
        for path, body in campaign_of({"A": 20, "B": 5, "D": 10_000}):
            assert (await self.call("PUT", path, body))[0] == 201
        await self.call("PUT", f"/v1/channels/{TMALL}", {"name": "T", "authority": "external"})
        await self.call("PUT", "/v1/skus/C", {"name": "C"})
        policy = {"sku": "C", "shared": 2, "channels": [{"channel": TMALL}]}
        assert (await self.call("PUT", "/v1/supply-policies/c", policy))[0] == 201
        await eventually(self._first, within_s=10)
        for n in range(24):
            status, order = await self.call("POST", "/v1/orders", an_order(f"o{n}"))
            if status == 202 and n % 2 == 0:
                money = {"amount": 100, "currency": "CNY"}
                path = f"/v1/orders/{order['order_id']}/payments"
                await self.call("POST", path, {"payment_id": "p", "amount": money})
            await asyncio.sleep(0.1)  # over some scrapes
        sold = [snapshot(f"t{n}", 1, "paid", line("C", 1)) for n in range(4)]
        unheard = snapshot("t9", 1, "paid", line("UNHEARD", 1))
        assert (await self.call("POST", "/v1/orders:sync", {"orders": [*sold, unheard]}))[0] == 200

    async def sell_on(self):
        """Sell one more of what does not end: a rate over seconds ends with the sale."""
        self._sold_on += 1
        order = an_order(f"on{self._sold_on}", ("D", 1))
        assert (await self.call("POST", "/v1/orders", order))[0] == 202

    async def _first(self):
        return (await self.call("POST", "/v1/orders", an_order("first")))[0] in {200, 202}


@asynccontextmanager
async def engine(settings):
    """An API process and a worker; what Prometheus is to ask, and a shop."""
    port, told = free_port(), free_port()
    environment = settings_of.environment(settings) | {
        "TIDEGATE_HTTP_PORT": str(port),
        "TIDEGATE_METRICS_PORT": str(told),
        "TIDEGATE_ADMIN_KEY": ADMIN,
        "PYTHONPATH": str(ROOT),
    }
    command = (sys.executable, "-m", "engine")
    async with (
        running(*command, "worker", **environment),
        running(*command, "api", **environment | {"TIDEGATE_METRICS_PORT": "0"}),
        aiohttp.ClientSession() as session,
    ):
        shop = Shop(session, f"http://127.0.0.1:{port}")
        await eventually(shop.ready, within_s=30)
        yield shop, {"api": [f"127.0.0.1:{port}"], "worker": [f"127.0.0.1:{told}"]}


def shown():
    """Every expression that is shown or judged, by where."""
    for board in dashboards.documents():
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield f"{board['uid']}, {panel['title']}", target["expr"]


@pytest.fixture
async def scraped(settings, tool, tmp_path):
    """The shop after a sale, Prometheus, and where processes tell their metrics."""
    binary = tool("prometheus", "prometheus")
    async with (
        engine(settings) as (shop, targets),
        exporters(tool, settings) as beside,
        prometheus(binary, tmp_path, targets | beside, DRILL) as found,
    ):
        await shop.sell()
        yield shop, found, [f"http://{at}/metrics" for one in targets.values() for at in one]


async def live(addresses):
    """What processes tell, by name, as each declares it."""
    async with aiohttp.ClientSession() as session:
        told = [await (await session.get(address)).text() for address in addresses]
    found = {name for text in told for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)}
    return found | {f"{name}{end}" for name in found for end in ("_bucket", "_sum", "_count")}


async def test_no_panel_is_empty_and_every_metric_exists(scraped):
    shop, found, addresses = scraped
    asked = [*shown(), *((one.name, DRILL.expr(one.expr)) for one in alerts.ALERTS)]
    asked += [(name, expr) for name, expr in recording.RECORDED]
    names = {name for _, expr in asked for name in NAME.findall(re.sub(r"\{.*?\}", "", expr))}
    left = set()

    async def known():
        left.clear()
        left.update(names - await live(addresses) - EXPORTED - SPIKES - OF_PROMETHEUS)
        assert left == set()
        return True

    await eventually(known, within_s=30)  # the first certificate comes after 10 s
    for name in EXPORTED:
        assert await found.ask(name), f"{name}: the exporter does not tell it"

    async def filled():
        await shop.sell_on()
        empty = [(where, expr) for where, expr in shown() if not _told(await found.ask(expr))]
        assert empty == []
        return True

    await eventually(filled, within_s=30)
    for _, expr in asked:
        await found.ask(expr)
    # What `absent()` waits for is told by those alone whose absence it means.
    for name, job in (("tidegate_http_in_flight", "api"), ("tidegate_role_beat_seconds", "worker")):
        assert {one["metric"]["job"] for one in await found.ask(name)} == {job}
    # Not those of lateness: with a drill's windows a busy machine fires them.
    certain = "OversoldByUs|CertificateBroken|PoolsBroken|NoApiAnswers|FactsMissing|ValkeyDown"
    assert await found.ask(f'ALERTS{{alertname=~"{certain}",alertstate="firing"}}') == []


def _told(result):
    return any(one["value"][1] != "NaN" for one in result)
