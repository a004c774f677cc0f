"""Accepted claims that the cell lost are put back by whoever accepted them, however slow he is."""

import asyncio

from engine.assurance.restorer import Restorer
from engine.infra import keys
from tests.fault.engines import certificate, house, id_of, open_sale


async def keep(redis):
    """Remember a cell as it stands."""
    return {key: await redis.dump(key) for key in keys.every("1") if await redis.exists(key)}


async def put(redis, kept):
    """The cell as it stood, behind a server that was started anew: what came later is gone.

    At one instant, as a server loads its disk: a cell seen empty meanwhile stays closed for good.
    """
    async with redis.pipeline(transaction=True) as at_once:
        at_once.delete(*keys.every("1"))
        for key, body in kept.items():
            at_once.restore(key, 0, body)
        at_once.hset(keys.of("1", "cell"), "run_id", "of the server before")
        await at_once.execute()


async def test_a_slow_process_still_has_its_claims_when_others_are_recorded_again(  # noqa: PLR0915 - one story
    settings, eventually, monkeypatch
):
    """The log goes on behind its claims, and what is recorded there says nothing about them."""
    slow = asyncio.Event()
    restore = Restorer._restore  # noqa: SLF001 - made slow, as a busy machine makes it

    async def late(self, state):
        while self._process == "api-1" and not slow.is_set():
            await self.start()  # it lives, and the opening waits for it
            await asyncio.sleep(0.2)
        await restore(self, state)

    monkeypatch.setattr(Restorer, "_restore", late)
    slow.set()
    async with house(settings) as here:
        await here.worker("keeper", "sweeper", "publisher", name="worker")
        await here.worker("recorder", name="recorder")
        a, b = await here.api(), await here.api()
        await open_sale(a, A=100)
        await certificate(a)
        await here.stop("recorder")
        before = await keep(a.cell.redis)
        for n in range(5):
            assert (await a.buy(f"a{n}")).status == 202
            assert (await b.buy(f"b{n}")).status == 202
        paid = await a.pay(id_of("a0"), "p", 100)
        assert paid.document["state"] == "applied"
        slow.clear()
        await put(a.cell.redis, before)
        await here.worker("recorder", name="recorder again")

        async def recorded(count):
            found = await a.process.pool.fetchval("SELECT count(*) FROM orders")
            assert found == count, f"{found} recorded, kept {len(a.reservations.kept)}"
            return True

        await eventually(lambda: recorded(5), within_s=15)
        assert len(a.reservations.kept) == 6
        assert not await eventually_shorter(a)
        slow.set()
        await eventually(lambda: recorded(10), within_s=10)

        async def is_paid():
            return (await a.order(id_of("a0"))).document["status"] == "paid"

        await eventually(is_paid, within_s=10)
        await certificate(a)


async def eventually_shorter(api):
    """Whether claims are let go of within three readings of the recorder's position."""
    for _ in range(30):
        if len(api.reservations.kept) < 6:
            return True
        await asyncio.sleep(0.03)
    return False


async def test_a_cancel_and_the_payment_of_the_rest_come_back_together(settings, eventually):
    """Who answered both is alive: nothing that was said is taken back."""
    async with house(settings) as here:
        api = await cancelled_and_paid(here, 1, eventually)

        async def is_back():
            shown = (await api.order(id_of("1"))).document
            assert shown["lines"][0]["open_quantity"] == 1
            assert [one["state"] for one in shown["payments"]] == ["applied"]
            return True

        await eventually(is_back, within_s=15)
        assert (await api.pay(id_of("1"), "p", 100)).document["state"] == "applied"
        await certificate(api)


async def test_money_for_an_order_that_asks_for_another_amount_by_now_is_seen(settings, eventually):
    """The cell lost a line's cancel with whoever answered it: it asks for the whole again."""
    async with house(settings) as here:
        api = await cancelled_and_paid(here, 2, eventually)

        async def is_seen():
            shown = (await api.order(id_of("1"))).document["payments"]
            assert [(one["state"], one["reason"]) for one in shown] == [
                ("refund_due", "wrong_amount")
            ]
            return True

        await eventually(is_seen, within_s=15)
        assert (await api.pay(id_of("1"), "p", 100)).document["state"] == "refund_due"
        await certificate(api)


async def cancelled_and_paid(here, apis, eventually):
    """One process answers a line's cancel, the last one its payment; the cell loses both.

    Of two processes the first one dies with it. Returns the last one, once the cell is open again.
    """
    await here.worker("keeper", "sweeper", "publisher", "settler", name="worker")
    await here.worker("recorder", name="recorder")
    first = last = await here.api()
    if apis > 1:
        last = await here.api()
    await open_sale(first, A=100)
    assert (await first.buy("1", ("A", 2))).status == 202
    await certificate(first)
    await here.stop("recorder")
    before = await keep(first.cell.redis)
    body = {"cancel_id": "c", "lines": [{"line_id": f"{id_of('1')}-1", "quantity": 1}]}
    cancel = await first.call("POST", f"/v1/orders/{id_of('1')}/cancel", body)
    assert cancel.document["payable"]["amount"] == 100
    assert (await last.pay(id_of("1"), "p", 100)).document["state"] == "applied"
    if apis > 1:
        await here.stop("api-1")
    await put(last.cell.redis, before)
    await eventually(lambda: last.cell.epoch == 2, within_s=30)
    await here.worker("recorder", name="recorder again")
    return last
