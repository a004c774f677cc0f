"""A brand with two warehouses that simulators play, a carrier, a plan, and a shop to buy in."""

from contextlib import asynccontextmanager

from engine.simulation.warehouse import Books, Knobs, Server
from engine.simulation.warehouse.languages import CODES
from tests.conftest import eventually
from tests.fault.engines import house

SECRET = "a secret of sixteen"  # noqa: S105 - of nodes that are played
HERE = {"hangzhou": ("浙江省", "杭州市", "330100"), "beijing": ("北京市", "北京市", "110100")}
SHIP_TO = {
    "name": "张三", "phone": "13800000000", "country": "CN", "province": "浙江省", "city": "宁波市",
    "region_code": "330200", "address": "中山路 1 号",
}  # fmt: skip
QUICK = dict.fromkeys(("accept_ms", "pick_ms", "pack_ms", "ship_ms"), (1, 5))
STILL = dict.fromkeys(("accept_ms", "pick_ms", "pack_ms", "ship_ms"), (600_000, 600_000))
NEAREST = {
    "plan": "near",
    "stages": [
        {"seq": 1, "rules": [{"seq": 1, "name": "nearest", "scorers": [{"metric": "distance"}]}]}
    ],
}


class Brand:
    """What can be asked of it."""

    def __init__(self, api, pg, servers):
        self.api, self.pg, self.servers, self.told = api, pg, servers, 0

    async def call(self, method, path, body=None, *, status=(200, 201)):
        answer = await self.api.call(method, path, body)
        wanted = status if isinstance(status, tuple) else (status,)
        assert answer.status in wanted, answer.document
        return answer.document

    async def get(self, path):
        return await self.call("GET", path)

    async def put(self, path, body):
        return await self.call("PUT", path, body)

    async def receive(self, node, **units):
        self.told += 1
        lines = [{"node": node, "sku": sku, "quantity": n} for sku, n in units.items()]
        body = {"reference": f"m{self.told}", "kind": "receipt", "lines": lines}
        await self.call("POST", "/v1/inventory/movements", body)

    async def activate(self, plan=NEAREST):
        kept = await self.put(f"/v1/routing-plans/{plan['plan']}", plan)
        path = f"/v1/routing-plans/{plan['plan']}/versions/{kept['version']}/activate"
        await self.call("POST", path)

    async def buy(self, number, *lines, **fields):
        """Buy and pay; return the order's id."""
        fields = {"campaign": "", "ship_to": SHIP_TO} | fields

        async def on_sale():
            bought = await self.api.buy(number, *lines, **fields)
            return bought if bought.code not in {"sold_out", "not_on_sale"} else None

        bought = await eventually(on_sale, within_s=20)  # counts take a moment to be for sale
        assert bought.status == 202, bought.document
        units = sum(n for _, n in lines)
        order_id = bought.document["order_id"]
        paid = await self.api.pay(order_id, f"pay-{number}", 100 * units)
        assert paid.status in {200, 202}, paid.document
        return order_id

    async def fulfilment(self, order_id):
        return (await self.get(f"/v1/orders/{order_id}"))["fulfilment_state"]

    async def shipments(self, order_id):
        rows = await self.pg.fetch(
            "SELECT * FROM shipments WHERE order_id = $1 ORDER BY shipment_id", order_id
        )
        return [dict(row) for row in rows]

    async def queued(self, order_id):
        """Return (queue, reason) of an order, None if it waits nowhere."""
        row = await self.pg.fetchrow(
            "SELECT queue, reason FROM routing_queue WHERE order_id = $1", order_id
        )
        return tuple(row) if row else None


@asynccontextmanager
async def brand(settings, pg, eventually, *roles, language="plain", knobs=None, worker=True):
    """Run all of it; no plan decides yet. `knobs` are those of both warehouses."""
    where = {}
    async with house(settings) as here:
        if worker:
            await here.worker(*roles)
        api = await here.api()
        clock = api.process.clock
        one = Brand(api, pg, {})
        one.here = here
        for node in HERE:
            books = Books(Knobs(**(QUICK if knobs is None else knobs)))
            server = Server(books, clock, SECRET, node, lambda node=node: where[node])
            one.servers[node] = await here.stack.enter_async_context(server)
            where[node] = str(api.client.make_url(f"/v1/wms/{node}/callbacks"))
            here.beside(f"wms-{node}", lambda server=server: server.tell(language))
        await furnish(one, language)
        await eventually(lambda: api.registry.authority("main", "mall"))
        yield one


async def furnish(one, language):
    for sku in ("tea", "cup"):
        await one.put(f"/v1/skus/{sku}", {"name": sku, "grams": 300, "cm3": 900})
    await one.put("/v1/channels/mall", {"name": "mall"})
    for node, (province, city, code) in HERE.items():
        address = {
            "country": "CN", "province": province, "city": city, "region_code": code,
            "address": "某路 1 号",
        }  # fmt: skip
        await one.put(f"/v1/nodes/{node}", {"name": "仓", "address": address})
        server = one.servers[node]
        access = server.access(language)
        wms = {
            "language": language, "url": access.url, "warehouse": access.warehouse,
            "owner": "OWNER", "app_key": "sim", "customer": node, "codes": dict(CODES),
            "phone": "13900000000", "cancels_later": server.books.knobs.cancels_later,
        }  # fmt: skip
        await one.put(f"/v1/nodes/{node}/profile", {"wms": wms})
        await one.call("PUT", f"/v1/nodes/{node}/secret", {"secret": SECRET})
    await one.put(
        "/v1/carriers/sf-std",
        {"carrier": "SF", "tier": "standard", "zones": {"330000": "near", "*": "far"},
         "days": {"near": 1, "far": 3}},
    )  # fmt: skip
    await one.put(
        "/v1/rate-cards/sf-2026",
        {"service": "sf-std", "effective_from": "2026-01-01T00:00:00Z",
         "lines": [{"first_grams": 1000, "first": 800, "step_grams": 1000, "step": 200}]},
    )  # fmt: skip
    for sku in ("tea", "cup"):
        await one.put(f"/v1/supply-policies/{sku}", {"sku": sku, "channels": [{"channel": "mall"}]})
    await one.receive("hangzhou", tea=10, cup=2)
    await one.receive("beijing", tea=10, cup=10)
