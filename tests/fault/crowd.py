"""Everybody around a living stock: buyers, a marketplace, people who change things."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.kernel.ids import order_id as order_id_of
from tests.fault.engines import Answer, Api, an_order
from tests.fault.marketplace import TMALL, line, snapshot
from tests.fault.world import World

OURS = ("mall", "app")
SKUS = ["tea", "cup", "pot", "jar"]
BUNDLE = "set"
NODES = {"E1": "east", "E2": "east", "W1": "west", "W2": "west"}
LINKS = {"1": ("tea", 1), "2": ("cup", 2), "3": ("pot", 1), "4": ("jar", 1)}
HOLDS = {"hold_seconds": 3, "grace_seconds": 0}


async def settled(ask: Callable[..., Any], *what: Any, **fields: Any) -> Answer:
    """Ask the same again while nobody can say what became of it, as a shop would."""
    for _ in range(300):
        answer: Answer = await ask(*what, **fields)
        if answer.status not in {429, 503}:
            break
        await asyncio.sleep(0.1)
    return answer


@dataclass
class Scene:
    """What all of them share; `stays` are paid orders that nobody cancels any more."""

    apis: list[Api]
    world: World
    rng: random.Random
    said: Counter[str] = field(default_factory=Counter)
    stays: set[str] = field(default_factory=set)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def api(self) -> Api:
        return self.rng.choice(self.apis)

    async def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Write a document over whatever is there."""
        headers = {}
        if (before := await self.api.call("GET", path)).status == 200:
            headers["If_Match"] = before.headers["ETag"]
        answer = await self.api.call("PUT", path, body, **headers)
        assert answer.status in {200, 201}, answer.document
        document: dict[str, Any] = answer.document
        return document


async def buy(scene: Scene, buyer: int, rng: random.Random) -> None:
    """Order as long as the sale runs; pay, cancel, or let it expire."""
    n = 0
    while not scene.over.is_set():
        n += 1
        number, channel = f"b{buyer}-{n}", rng.choice(OURS)
        skus = rng.choice([["tea"], ["cup"], ["pot"], ["jar"], ["tea", "cup"], [BUNDLE]])
        units = [(sku, rng.randint(1, 3)) for sku in skus]
        campaign = rng.choice(["", "sale"]) if skus[0] in {"tea", "cup"} else ""
        body = an_order(number, *units, channel=channel, campaign=campaign)
        answer = await settled(scene.api.call, "POST", "/v1/orders", body)
        scene.said[f"{channel} {answer.code or answer.status}"] += 1
        if answer.status not in {200, 201, 202}:
            await asyncio.sleep(0.05)
            continue
        order_id, chance = order_id_of("main", channel, number), rng.random()
        if chance < 0.6:
            total = sum(100 * quantity for _, quantity in units)
            await asyncio.sleep(rng.choice([0, 0.05, 0.2]))
            paid = await settled(scene.api.pay, order_id, "p", total)
            scene.said[f"paid {paid.code or paid.document['state']}"] += 1
            if chance < 0.4:
                scene.stays.add(order_id)
                continue
        if chance < 0.8:
            answer = await settled(scene.api.cancel, order_id, "c")
            scene.said[f"cancelled {answer.code or answer.status}"] += 1


class Mart:
    """A marketplace: it shows what it was told, sells what it shows, and tells of it later."""

    def __init__(self, scene: Scene, rng: random.Random) -> None:
        self.scene, self.rng = scene, rng
        self.shown: dict[str, int] = {}
        self.sold = 0

    async def show(self) -> None:
        """Take numbers and confirm them, some after a while."""
        while not self.scene.over.is_set():
            await self.round()
            await asyncio.sleep(0.1)

    async def round(self) -> int:
        """Take what is pending; return how many there were."""
        path = f"/v1/publications?channel={TMALL}&pending=true"
        rows = (await settled(self.scene.api.call, "GET", path)).document["items"]
        if not rows:
            return 0
        await asyncio.sleep(self.rng.choice([0, 0.1, 0.3]))
        items = []
        for one in rows:
            self.shown[one["item_id"]] = one["published"]
            items.append({name: one[name] for name in ("item_id", "sku_id", "number")})
            items[-1]["accepted"] = True
        body = {"channel": TMALL, "items": items}
        answer = await settled(self.scene.api.call, "POST", "/v1/publications:ack", body)
        assert answer.status == 200, answer.document
        return len(rows)

    async def sell(self) -> None:
        while not self.scene.over.is_set():
            await asyncio.sleep(self.rng.uniform(0, 0.15))
            some = [item for item, pieces in self.shown.items() if pieces > 0]
            if not some:
                continue
            self.sold += 1
            item, number = self.rng.choice(some), f"t{self.sold}"
            sku, units = LINKS[item]
            pieces = min(self.shown[item], self.rng.randint(1, 2))
            self.shown[item] -= pieces
            await self._tell(number, sku, pieces * units)

    async def _tell(self, number: str, sku: str, units: int) -> None:
        """Most are paid and stay; some are closed, some give a unit back."""
        await asyncio.sleep(self.rng.choice([0, 0, 0.2]))
        chance, documents = self.rng.random(), []
        if chance < 0.3:
            documents.append(snapshot(number, 1, "unpaid", line(sku, units)))
        documents.append(snapshot(number, 2, "paid", line(sku, units)))
        if 0.3 < chance < 0.45:
            documents.append(snapshot(number, 3, "closed", line(sku, units)))
        elif 0.45 < chance < 0.55:
            documents.append(snapshot(number, 3, "paid", line(sku, units, refunded_quantity=1)))
        if chance < 0.15:
            documents.reverse()
        for document in documents:
            body = {"orders": [document]}
            answer = await settled(self.scene.api.call, "POST", "/v1/orders:sync", body)
            (result,) = answer.document["results"]
            while result["status"] == 503:
                answer = await settled(self.scene.api.call, "POST", "/v1/orders:sync", body)
                (result,) = answer.document["results"]
            assert result["status"] == 200, result
            self.scene.said[f"tmall {result['result']}"] += 1
        if chance >= 0.55 or chance < 0.3:
            self.scene.stays.add(order_id_of("main", TMALL, number))


class Operator:
    """Changes policies, rules and nodes, moves units, pauses."""

    def __init__(self, scene: Scene, rng: random.Random) -> None:
        self.scene, self.rng, self.moves = scene, rng, 0
        self.backorder = 0
        self.safety: dict[tuple[str, str], int] = {}

    async def run(self) -> None:
        deeds = [self.policy, self.policy, self.wide, self.rule, self.node, self.move, self.move,
                 self.drain, self.pause, self.credit]  # fmt: skip
        while not self.scene.over.is_set():
            await asyncio.sleep(self.rng.uniform(0.05, 0.4))
            deed = self.rng.choice(deeds)
            self.scene.said[f"did {deed.__name__}"] += 1
            await deed()

    async def policy(self) -> None:
        """Tea has one of its own, over both groups."""
        quota, rng = self.rng.choice([0, 10, 30]), self.rng
        own = {"channel": "app", "ratio": rng.choice([0, 0.25, 0.6]), "floor": rng.choice([0, 4])}
        channels = [
            {"channel": "mall", "quota": quota, "priority": rng.randint(0, 2),
             "draw_order": rng.choice([["own", "shared"], ["own", "shared:west", "shared"]])},
            own,
            {"channel": TMALL, "quota": rng.choice([0, 15, 25])},
        ]  # fmt: skip
        body = {"sku": "tea", "node_groups": ["east", "west"], "channels": channels}
        await self.scene.put("/v1/supply-policies/tea", body)

    async def wide(self) -> None:
        """Cups and pots are drinkware; only of the east."""
        rng = self.rng
        channels = [
            {"channel": "mall", "ratio": rng.choice([0.1, 0.3333]), "cap": rng.choice([None, 20])},
            {"channel": "app", "ratio": rng.choice([0.2, 0.3]), "floor": rng.choice([0, 6]),
             "shared_cap": rng.choice([None, 30])},
            {"channel": TMALL, "ratio": rng.choice([0.1, 0.3])},
        ]  # fmt: skip
        body = {"category": "drinkware", "node_groups": ["east"], "channels": channels}
        await self.scene.put("/v1/supply-policies/drinkware", body)

    async def credit(self) -> None:
        """Jars may be sold although they are not there yet."""
        units = self.rng.choice([0, 3, 8])
        channels = [
            {"channel": "mall", "quota": self.rng.choice([0, 8]), "backorder": units},
            {"channel": "app"}, {"channel": TMALL},
        ]  # fmt: skip
        body = {"sku": "jar", "node_groups": ["west", "east"], "channels": channels}
        with self.scene.world.changing(credit={("jar", "west"): units - self.backorder}):
            await self.scene.put("/v1/supply-policies/jar", body)
        self.backorder = units

    async def rule(self, node: str = "", sku: str = "", units: int | None = None) -> None:
        """Some units of a SKU stay at a node."""
        node, sku = node or self.rng.choice(list(NODES)), sku or self.rng.choice(SKUS)
        units = self.rng.choice([0, 3, 10]) if units is None else units
        body = {"kind": "safety", "match": {"sku": sku, "node": node}, "units": units}
        change = units - self.safety.get((node, sku), 0)
        with self.scene.world.changing(safety={(node, sku): change}):
            await self.scene.put(f"/v1/stock-rules/{node}-{sku}", body)
        self.safety[node, sku] = units

    async def node(self, node: str = "", *, on: bool | None = None) -> None:
        """Switch a node off, or on again."""
        node = node or self.rng.choice(["E2", "W2"])
        is_on = not self.scene.world.numbers["off", node]
        on = (not is_on) if on is None else on
        body = {"name": node, "group": NODES[node], "enabled": on}
        with self.scene.world.changing(off={(node,): is_on - on}):
            await self.scene.put(f"/v1/nodes/{node}", body)

    async def move(self, source: str = "") -> None:
        """Move some units between pools of a SKU, which may have fewer."""
        self.moves += 1
        group, sku = self.rng.choice([("east", "tea"), ("east", "cup"), ("east", "pot")])
        source = source or self.rng.choice([*OURS, ""])
        target = self.rng.choice([one for one in (*OURS, "", TMALL) if one != source])
        body = {"move_id": f"m{self.moves}", "sku": sku, "units": self.rng.randint(1, 8),
                "from": {"channel": source, "node_group": group},
                "to": {"channel": target, "node_group": group}}  # fmt: skip
        answer = await settled(self.scene.api.call, "POST", "/v1/pools:move", body)
        self.scene.said[f"move {answer.code or answer.document['state']}"] += 1

    async def drain(self) -> None:
        await self.move(TMALL)

    async def pause(self) -> None:
        sku = self.rng.choice(SKUS)
        for verb in ("pause", "resume"):
            answer = await settled(self.scene.api.call, "POST", f"/v1/skus/{sku}/{verb}", {})
            assert answer.status == 200, answer.document
            await asyncio.sleep(self.rng.uniform(0, 0.3))


async def open_shops(scene: Scene, operator: Operator) -> None:
    """Put everything that the sale begins with, without stock."""
    for node, group in NODES.items():
        await scene.put(f"/v1/nodes/{node}", {"name": node, "group": group})
    for sku in SKUS:
        more = {"category": "drinkware"} if sku in {"cup", "pot"} else {}
        await scene.put(f"/v1/skus/{sku}", {"name": sku} | more)
    parts = [{"sku": "tea", "quantity": 1}, {"sku": "cup", "quantity": 2}]
    await scene.put(f"/v1/skus/{BUNDLE}", {"name": "set", "components": parts})
    for channel in OURS:
        await scene.put(f"/v1/channels/{channel}", {"name": channel} | HOLDS)
    await scene.put(f"/v1/channels/{TMALL}", {"name": TMALL, "authority": "external"})
    links = [
        {"channel": TMALL, "item_id": item, "sku_id": "", "sku": sku, "units_per": units}
        for item, (sku, units) in LINKS.items()
    ]
    answer = await scene.api.call("POST", "/v1/listings", {"listings": links})
    assert answer.status == 200, answer.document
    await operator.policy()
    await operator.wide()
    await operator.credit()


async def open_sale(scene: Scene, *, lasts_s: float) -> None:
    """Put a campaign with waves and lending that ends."""
    now = datetime.now(UTC)
    campaign = {
        "name": "Sale", "starts_at": (now - timedelta(hours=1)).isoformat(),
        "ends_at": (now + timedelta(seconds=lasts_s)).isoformat(),
        "channels": list(OURS),
        "skus": [
            {"sku": "tea", "quota": {"mall": 15, "app": 15}},
            {"sku": "cup", "quota": {"mall": 10, "app": 4}, "draws_shared": True},
        ],
        "waves": [
            {"at": (now + timedelta(seconds=part * lasts_s)).isoformat(), "sku": "tea",
             "quota": {"mall": 8, "app": 4}}
            for part in (0.3, 0.6)
        ],
        "elastic": {"floor": 2, "step": 4, "cool_down_seconds": 1, "horizon_seconds": 20},
    }  # fmt: skip
    await scene.put("/v1/campaigns/sale", campaign | HOLDS)
