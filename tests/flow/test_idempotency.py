"""The same order sent again, at any time and through any process, is one order with one answer."""

import asyncio
import random
from datetime import timedelta

import aiohttp

from engine.infra import keys
from engine.infra.servers import ports
from tests.fault.engines import ADMIN, an_order, certificate, id_of, open_sale
from tests.fault.proxy import holding, in_front_of, once

SAME = ("order_id", "lines", "pay_by")


def same(answer, first):
    assert answer.status == 200, answer.document
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert {name: answer.document[name] for name in SAME} == {name: first[name] for name in SAME}
    return answer.document


async def lose_the_reply(api, proxy, number, *lines):
    """Order through a process whose cell executes it and whose answer never arrives."""
    proxy.lose_reply = once(holding(id_of(number)))
    lost = await api.buy(number, *lines)
    assert (lost.status, lost.code) == (503, "outcome_unknown")
    assert lost.headers["Retry-After"]
    assert proxy.lost_replies == 1


async def sold_out_by_flag(api, eventually):
    """Wait until this process answers strangers without asking the cell."""
    asked = 0

    async def flagged():
        nonlocal asked
        asked += 1
        before = await api.cell.redis.info("commandstats")
        answer = await api.buy(f"stranger-{asked}")
        assert answer.code == "sold_out"
        after = await api.cell.redis.info("commandstats")
        calls = [found.get("cmdstat_evalsha", {}).get("calls") for found in (before, after)]
        return api.reservations.flags.refusal is not None and calls[0] == calls[1]

    await eventually(flagged)


async def test_the_last_unit_taken_with_a_lost_reply_is_never_sold_out_to_its_buyer(
    here, settings, eventually
):
    async with in_front_of(settings.valkey_url) as proxy:
        a = await here.api(valkey_url=proxy.url(settings.valkey_url))
        b = await here.api()
        await open_sale(a, A=2)
        await a.buy("other")  # also loads the script: a lost NOSCRIPT would prove nothing
        await lose_the_reply(a, proxy, "last")
        await here.stop("worker")  # the sweeper's calls would be taken for the cell being asked
        await sold_out_by_flag(b, eventually)
        first = same(await b.buy("last"), (await b.buy("last")).document)
        just_started = await here.api()
        same(await just_started.buy("last"), first)
        await sold_out_by_flag(just_started, eventually)
        for api in (a, b, just_started):
            same(await api.buy("last"), first)
        await here.worker()
        await certificate(b)


async def test_a_retry_just_after_the_window_closed_is_answered_as_before(
    here, settings, eventually
):
    async with in_front_of(settings.valkey_url) as proxy:
        a = await here.api(valkey_url=proxy.url(settings.valkey_url))
        b = await here.api()
        await open_sale(a, A=10, lasts=timedelta(seconds=2.5))
        first = (await a.buy("1")).document
        await lose_the_reply(a, proxy, "2")

        async def over():
            return (await b.buy("stranger", ("A", 1_000))).code == "ended"

        await eventually(over, within_s=15)
        same(await a.buy("1"), first)
        same(await b.buy("2"), same(await a.buy("2"), (await b.buy("2")).document))
        assert (await b.buy("2", ("A", 2))).code == "idempotency_conflict"


async def forget(api, number):
    """What `prune` does once the time of remembering is over."""
    await api.cell.redis.hdel(keys.of("1", "holds"), id_of(number))
    await api.cell.redis.zrem(keys.of("1", "due"), id_of(number))


async def test_after_pruning_an_ended_campaigns_order_is_answered_from_postgres(here, eventually):
    api = await here.api()
    await open_sale(api, A=10, B=10, lasts=timedelta(seconds=2.5))
    firsts = {}
    for number in ("open", "paid", "cancelled"):
        firsts[number] = (await api.buy(number, ("A", 1), ("B", 2))).document
    await api.pay(id_of("paid"), "p", 300)
    await api.cancel(id_of("cancelled"), "c")

    async def over():
        return (await api.buy("stranger", ("A", 1_000))).code == "ended"

    await eventually(over, within_s=15)
    await certificate(api)
    for number in firsts:
        await forget(api, number)
    words = {"open": "pending_payment", "paid": "paid", "cancelled": "cancelled"}
    for number, first in firsts.items():
        again = same(await api.buy(number, ("A", 1), ("B", 2)), first)
        assert again["status"] == words[number]
        assert (await api.buy(number, ("A", 2))).code == "idempotency_conflict"
    assert (await api.buy("stranger")).code == "ended"


async def test_after_a_restart_of_the_cell_the_answer_is_the_same(here, servers, eventually):
    api = await here.api()
    await open_sale(api, A=10)
    first = (await api.buy("1")).document
    paid = (await api.buy("2")).document
    await api.pay(id_of("2"), "p", 100)
    servers.kill("valkey")
    await eventually(lambda: ports.valkey_answers(servers.settings.valkey_url), within_s=20)

    async def again():
        return (await api.buy("1")).status == 200

    await eventually(again, within_s=20)
    same(await api.buy("1"), first)
    assert same(await api.buy("2"), paid)["status"] == "paid"
    just_started = await here.api()
    same(await just_started.buy("1"), first)
    await certificate(api)


async def test_a_hundred_at_once_are_one_order(here):
    apis = [await here.api(), await here.api()]
    await open_sale(apis[0], A=50)
    answers = await asyncio.gather(*(apis[n % 2].buy("1", ("A", 3)) for n in range(100)))
    assert sorted(one.status for one in answers) == [200] * 99 + [202]
    told = {str({name: one.document[name] for name in SAME}) for one in answers}
    assert len(told) == 1
    await certificate(apis[0])
    pool = await apis[0].process.pool.fetchrow("SELECT available, held FROM pools")
    assert tuple(pool) == (47, 3)


async def test_another_order_under_the_same_id_is_refused(here):
    api = await here.api()
    await open_sale(api, A=50, B=50)
    first = (await api.buy("1", ("A", 2))).document
    for lines, fields in (
        ([("A", 1)], {}),
        ([("B", 2)], {}),
        ([("A", 2), ("B", 1)], {}),
        ([("A", 2)], {"buyer_id": "somebody else"}),
        ([("A", 2)], {"amounts": {"payable": {"amount": 1, "currency": "CNY"}}}),
    ):
        answer = await api.buy("1", *lines, **fields)
        assert (answer.status, answer.code) == (422, "idempotency_conflict"), (lines, fields)
    same(await api.buy("1", ("A", 2), buyer_note="leave it at the door"), first)


async def test_a_repeat_tells_the_current_status(here, eventually):
    api = await here.api()
    await open_sale(api, A=50, hold_s=1, grace_s=0)
    firsts = {}
    for number in ("paid", "cancelled", "refunded", "expired"):
        firsts[number] = (await api.buy(number)).document
    await api.pay(id_of("paid"), "p", 100)
    await api.cancel(id_of("cancelled"), "c")
    await api.pay(id_of("refunded"), "p", 100)
    cancelled = await api.cancel(id_of("refunded"), "c")
    assert cancelled.status == 200, cancelled.document

    async def expired():
        return (await api.buy("expired")).document["status"] == "expired"

    await eventually(expired, within_s=15)
    words = {
        "paid": "paid", "cancelled": "cancelled", "refunded": "refund_due", "expired": "expired",
    }  # fmt: skip
    for number, first in firsts.items():
        again = same(await api.buy(number), first)
        shown = (await api.order(id_of(number))).document["status"]
        assert (again["status"], shown) == (words[number], words[number]), number


async def test_clients_that_leave_never_shift_an_answer_to_somebody_else(here):
    """Half of the clients hang up at random moments; the others get their own orders."""
    api = await here.api()
    await open_sale(api, A=10_000)
    rng = random.Random(5)
    left, answered = [], {}
    url = str(api.client.make_url("/v1/orders"))
    headers = {"Authorization": f"Bearer {ADMIN}"}

    async def one(session, number, patience_s):
        try:
            async with asyncio.timeout(patience_s):
                async with session.post(url, json=an_order(number), headers=headers) as answer:
                    answered[number] = await answer.json()
        except TimeoutError:
            left.append(number)

    async with aiohttp.ClientSession() as session:
        for wave in range(6):
            await asyncio.gather(
                *(
                    one(session, f"{wave}-{n}", rng.uniform(0, 0.03) if n % 2 else 30)
                    for n in range(80)
                )
            )
    assert len(left) > 30, "nobody hung up"
    assert {number: answer["order_id"] for number, answer in answered.items()} == {
        number: id_of(number) for number in answered
    }
    for number in [*left, *answered]:
        again = await api.buy(number)
        assert again.status in {200, 202}
        assert again.document["order_id"] == id_of(number)
    await certificate(api)
    assert await api.process.pool.fetchval("SELECT count(*) FROM orders") == 6 * 80


async def test_whatever_replies_are_lost_each_order_is_held_once(here, settings):
    rng = random.Random(7)
    async with in_front_of(settings.valkey_url) as proxy:
        a = await here.api(valkey_url=proxy.url(settings.valkey_url))
        b = await here.api()
        await open_sale(a, A=60)
        await a.buy("0")
        proxy.lose_reply = lambda chunk: b"EVALSHA" in chunk and rng.random() < 0.25
        proxy.lose_request = lambda chunk: b"EVALSHA" in chunk and rng.random() < 0.2

        async def insist(number):
            for attempt in range(100):
                answer = await (b if attempt % 3 == 2 else a).buy(number)
                if answer.status != 503:
                    return answer
            raise AssertionError(f"{number} never got an answer")

        answers = []
        for first in range(0, 100, 4):
            few = (insist(str(n)) for n in range(first, first + 4))
            answers += await asyncio.gather(*few)
        assert proxy.lost_replies > 3
        assert proxy.lost_requests > 3
        accepted = {str(n) for n, one in enumerate(answers) if one.status in {200, 202}}
        assert {one.status for one in answers} <= {200, 202, 409}
        assert len(accepted) == 60  # not one more and not one less
        for number in accepted:
            assert (await b.buy(number)).status == 200
        await certificate(b)
        rows = await b.process.pool.fetch("SELECT channel_order_id FROM orders")
        assert {row["channel_order_id"] for row in rows} == accepted
