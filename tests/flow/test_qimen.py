"""All that a warehouse tells in Qimen, over HTTP: dropped, repeated, at once and out of order.

Whatever the order, the state is right in the end, no unit leaves twice, and stock is what the
warehouse has.
"""

import asyncio
import random
from collections import Counter
from datetime import timedelta

import msgspec
import pytest

from engine.kernel.clock import instant
from engine.simulation.warehouse import languages
from engine.wms.consumer import Shipper
from engine.wms.rules import qimen, qimen_codec, qimen_fields, xml
from engine.wms.types import Item, Package, Report
from tests.conftest import eventually
from tests.flow.shipping import world

STILL = dict.fromkeys(("accept_ms", "pick_ms", "pack_ms", "ship_ms"), (600_000, 600_000))
GOODS = "counted"
WHOLE = {"A": 3, "B": 2}


class Teller:
    """A warehouse of which every message is at hand, and what each order must come to."""

    def __init__(self, here, seed):
        self.here, self.dice = here, random.Random(seed)
        self.access = here.server.access("qimen")
        self.now = instant(here.runtime.clock.now_ms())
        self.messages, self.hints, self.told = [], [], 0

    def say(self, order, kind, boxes=(), lines=(), text=""):
        """Put a message down that has to come through."""
        packages = tuple(
            Package("SF", waybill, items=tuple(Item(f"{order}-{sku}", n) for sku, n in inside))
            for waybill, inside in boxes
        )
        items = tuple(Item(f"{order}-{sku}", n) for sku, n in lines)
        self.messages.append(self._message(order, kind, packages=packages, lines=items, text=text))

    def hint(self, order, kind, step=""):
        """Put a message down that may be lost for ever."""
        self.hints.append(self._message(order, kind, step=step))

    def _message(self, order, kind, **more):
        self.told += 1
        at = self.now - timedelta(seconds=600 - self.told)
        code = f"{order}-s1"
        return languages.qimen_report(
            Report(kind, f"{code}#{self.told}", code, at, **more), self.access
        )

    def trouble(self, order):
        values = {"consignment_id": f"{order}-s1", "report_id": f"{order}!", "status": "ADDRESS",
                  "text": "cannot be read", "at": self.now}  # fmt: skip
        body = xml.render("request", qimen_codec.write(qimen_fields.TROUBLE, values))
        self.hints.append(("orderexception.report", body))

    def on_the_way(self, order):
        self.hint(order, "ACCEPTED")
        for step in ("picked", "packed"):
            self.hint(order, "PROGRESS", step)

    def confirm(self, order, kind, *boxes):
        units = Counter()
        for _, inside in boxes:
            units.update(dict(inside))
        self.say(order, kind, boxes=boxes, lines=tuple(units.items()))

    # What becomes of an order.

    def in_two_boxes(self, order):
        self.on_the_way(order)
        self.confirm(order, "SHIPPED", (f"{order}x", [("A", 3)]), (f"{order}y", [("B", 2)]))
        self.hint(order, "PROGRESS", "left")
        return "shipped", WHOLE

    def in_parts(self, order):
        self.on_the_way(order)
        self.confirm(order, "PARTLY_SHIPPED", (f"{order}x", [("A", 1)]))
        self.confirm(order, "PARTLY_SHIPPED", (f"{order}y", [("A", 1), ("B", 1)]))
        self.confirm(order, "SHIPPED", (f"{order}z", [("A", 1), ("B", 1)]))
        return "shipped", WHOLE

    def in_parts_told_again_in_the_end(self, order):
        self.confirm(order, "PARTLY_SHIPPED", (f"{order}x", [("A", 2)]))
        self.confirm(
            order, "SHIPPED", (f"{order}x", [("A", 2)]), (f"{order}y", [("A", 1), ("B", 2)])
        )
        return "shipped", WHOLE

    def without_what_lacks(self, order):
        self.say(order, "LACK", lines=[("B", 2)], text="缺货")
        self.confirm(order, "SHIPPED", (f"{order}x", [("A", 3)]))
        return "shipped", {"A": 3}

    def not_at_all(self, order):
        self.hint(order, "ACCEPTED")
        self.say(order, "LACK", lines=[("A", 3), ("B", 2)], text="缺货")
        return "rejected", {}

    def refused(self, order):
        self.hint(order, "ACCEPTED")
        self.say(order, "REJECTED")
        return "rejected", {}

    def given_up(self, order):
        self.on_the_way(order)
        self.say(order, "CANCELLED")
        return "cancelled", {}

    def given_up_and_sent(self, order):
        """Shipped beats cancelled: the parcel is gone."""
        self.say(order, "CANCELLED")
        self.confirm(order, "SHIPPED", (f"{order}x", [("A", 3), ("B", 2)]))
        return "shipped", WHOLE

    def with_trouble(self, order):
        self.on_the_way(order)
        self.trouble(order)
        self.hint(order, "PROGRESS", "trouble")
        self.say(order, "CANCEL_FAILED")
        self.confirm(order, "SHIPPED", (f"{order}x", [("A", 3), ("B", 2)]))
        return "shipped", WHOLE

    FATES = (
        in_two_boxes, in_parts, in_parts_told_again_in_the_end, without_what_lacks, not_at_all,
        refused, given_up, given_up_and_sent, with_trouble,
    )  # fmt: skip

    def stock(self, left):
        """A count in two pages, and changes: those for our own orders are in their confirms."""
        counted = [Item(GOODS, n, reference=f"c{n}", cause="check", total=n) for n in (7, -2)]
        for page, item in enumerate(counted, 1):
            at = self.now - timedelta(minutes=20)
            report = Report(
                "STOCK_DELTA", "count", "", at, lines=(item,), text="CHECK", page=page, pages=2
            )
            self.messages.append(languages.qimen_report(report, self.access))
        changes = [
            Item(f"{order}-{sku}", -n, reference=f"{order}{sku}", cause=f"{order}-s1")
            for order, units in left.items()
            for sku, n in units.items()
        ]
        changes.append(Item(GOODS, 4, reference="in", cause="entry"))
        changes.append(Item(GOODS, -1, reference="out", cause="somebody's"))
        for n, item in enumerate(changes):
            report = Report("STOCK_DELTA", f"change{n}", "", self.now, lines=(item,))
            self.messages.append(languages.qimen_report(report, self.access))
        return 7 - 2 + 4 - 1

    # How it is told.

    def in_any_order(self):
        """Some twice, some of it lost until all else was told, hints now and then for ever."""
        dice = self.dice
        told = [*self.messages, *(one for one in self.hints if dice.random() < 0.8)]
        dice.shuffle(told)
        late = [one for one in told if dice.random() < 0.2]
        told = [one for one in told if one not in late]
        for one in [one for one in told if dice.random() < 0.4]:
            told.insert(dice.randrange(len(told) + 1), one)
        return [*told, *late, *self.messages[: len(self.messages) // 2]]

    async def tell(self):
        """Tell all of it, some at once; everything is taken."""
        told = self.in_any_order()
        while told:
            now = [told.pop(0) for _ in range(min(len(told), self.dice.choice((1, 1, 2, 4))))]
            if self.dice.random() < 0.2:
                now.append(now[0])  # and itself beside it
            for answer in await asyncio.gather(*(self.post(*one) for one in now)):
                assert answer.outcome == "DONE", answer

    async def post(self, method, body):
        query = qimen.signed(self.access, method, body, self.here.runtime.clock.now_ms())
        async with self.here.surface.client.post(
            "/v1/wms/N/callbacks", params=query, data=body, headers={"Content-Type": "text/xml"}
        ) as response:
            return qimen.reply(await response.read(), self.access)


async def sent(here, orders):
    """Have a shipper ask for them, and nothing else happen."""
    shipper = asyncio.create_task(Shipper(here.runtime).run())
    for n in range(orders):
        await here.plan(n)

    async def all_of_them():
        return set((await here.states()).values()) == {"sent"}

    await eventually(all_of_them, within_s=20)
    shipper.cancel()
    await asyncio.wait([shipper])


async def sums(pg):
    rows = await pg.fetch(
        "SELECT k.sku, sum(b.committed) AS committed, sum(b.handed_over) AS handed_over,"
        " sum(b.shipped) AS shipped, sum(b.on_hand) AS on_hand"
        " FROM stock_balances AS b JOIN stock_keys AS k USING (key_id) GROUP BY k.sku"
    )
    return {row["sku"]: {name: int(row[name]) for name in row.keys() if name != "sku"}  # noqa: SIM118 - a record
            for row in rows}  # fmt: skip


async def check(here, pg, ends, goods):
    states = await here.states()
    assert states == {f"{order}-s1": state for order, (state, _) in ends.items()}
    left = Counter()
    for row in await pg.fetch("SELECT order_id, items FROM parcels"):
        for n, units in msgspec.json.decode(row["items"]):
            left[f"{row['order_id']}-{' AB'[n]}"] += units
    wanted = {f"{order}-{sku}": n for order, (_, units) in ends.items() for sku, n in units.items()}
    assert +left == +Counter(wanted)
    there = await sums(pg)
    lacks = {order for n, order in enumerate(ends) if Teller.FATES[n] is Teller.not_at_all}
    for order in ends:
        for sku, units in WHOLE.items():
            one = there[f"{order}-{sku}"]
            name = f"{order}-{sku}"
            assert (one["committed"], one["handed_over"], one["shipped"]) == (
                0, 0, wanted.get(name, 0)
            ), name  # fmt: skip
            # what lay there was never counted; what its confirm took is booked once, and what its
            # node has not is taken off once
            lost = units if order in lacks else 0
            assert one["on_hand"] == -wanted.get(name, 0) - lost, name
    assert there[GOODS]["on_hand"] == goods
    assert await pg.fetchval("SELECT count(*) FROM wms_callbacks WHERE kind = ''") == 0


async def walk(settings, database_url, pg, seed, told=Teller.tell):
    async with world(settings, database_url, pg, "qimen", **STILL) as here:
        await pg.execute(
            "INSERT INTO skus (tenant, sku, owner, version, document, actor)"
            " SELECT 'main', s, '', 1, jsonb_build_object('name', s), 'k'"
            " FROM unnest($1::text[]) AS s",
            [GOODS, *(f"o{n}-{sku}" for n in range(len(Teller.FATES)) for sku in WHOLE)],
        )
        await sent(here, len(Teller.FATES))
        one = Teller(here, seed)
        ends = {f"o{n}": fate(one, f"o{n}") for n, fate in enumerate(Teller.FATES)}
        goods = one.stock({order: units for order, (_, units) in ends.items()})
        await told(one)
        await check(here, pg, ends, goods)


@pytest.mark.parametrize("seed", range(6))
async def test_in_whatever_order_it_is_told_all_is_as_it_was(settings, database_url, pg, seed):
    await walk(settings, database_url, pg, seed)


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
@pytest.mark.parametrize("seed", range(100, 140))
async def test_many_orders_of_it(settings, database_url, pg, seed):
    await walk(settings, database_url, pg, seed)


async def test_control_one_that_is_lost_for_ever_is_missed(settings, database_url, pg):
    async def all_but_a_confirm(teller):
        (confirm,) = [one for one in teller.messages if b"o0x" in one[1]]
        teller.messages.remove(confirm)
        await teller.tell()

    with pytest.raises(AssertionError):
        await walk(settings, database_url, pg, 1, told=all_but_a_confirm)
