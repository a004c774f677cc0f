"""Two people press the same button at once: each thing is done once."""

import asyncio
from contextlib import asynccontextmanager

from engine.desk.service import remedying
from engine.desk.service.remedying import Hands
from engine.desk.types import RemedyIn
from engine.infra.http.auth import Principal
from engine.infra.runtime import RUNTIME
from engine.kernel.types import MAIN
from engine.routing.service import waiting
from engine.routing.service.waiting import Again
from tests.flow.test_routing_queue import house_of

ORDERS = [f"o{n}" for n in range(12)]
RETRIED = "SELECT order_id FROM events WHERE kind = 'order.retried' ORDER BY order_id"


@asynccontextmanager
async def parked(settings, database_url, pg):
    async with house_of(settings, database_url, pg) as house:
        for order_id in ORDERS:
            await house.add(order_id, "MANUAL", "too_many_hops")
        yield house.surface.app[RUNTIME]


async def retried(pg):
    return [row["order_id"] for row in await pg.fetch(RETRIED)]


async def test_control_who_does_not_say_where_it_waits_has_it_tried_twice(
    settings, database_url, pg
):
    """If this told each order once, the race below would prove nothing."""
    async with parked(settings, database_url, pg) as runtime:
        again = [Again(one, "", "", "k") for one in ORDERS * 2]
        await asyncio.gather(*(waiting.retry(runtime, MAIN, one) for one in again))
        assert len(await retried(pg)) == 2 * len(ORDERS)


async def test_two_runs_at_once_do_each_once(settings, database_url, pg):
    async with parked(settings, database_url, pg) as runtime:
        principal = Principal("k", MAIN, frozenset({"admin"}))
        hands = Hands(runtime, None, None, principal)
        asked = [
            RemedyIn(
                "route_again", code="route_by_hand", dry_run=False, expect_max=len(ORDERS),
                remedy_id=name, reason="x",
            )
            for name in ("a", "b", "c")
        ]  # fmt: skip
        runs = await asyncio.gather(*(remedying.run(hands, one) for one in asked))
        results = [one for answer, _ in runs for one in answer.results]
        done = [one.order_id for one in results if one.outcome == "done"]
        assert sorted(done) == sorted(ORDERS) == await retried(pg)
        skipped = [one.detail for one in results if one.outcome == "skipped"]
        assert set(skipped) <= {"the order waits in NEW now"}


async def test_one_run_sent_twice_at_once_is_one_run(settings, database_url, pg):
    async with parked(settings, database_url, pg) as runtime:
        hands = Hands(runtime, None, None, Principal("k", MAIN, frozenset({"admin"})))
        asked = RemedyIn(
            "route_again", code="route_by_hand", dry_run=False, expect_max=len(ORDERS),
            remedy_id="a", reason="x", limit=5,
        )  # fmt: skip
        runs = await asyncio.gather(
            *(remedying.run(hands, asked) for _ in range(3)), return_exceptions=True
        )
        answers = [one[0] for one in runs if isinstance(one, tuple)]
        assert answers
        assert all(one == answers[0] for one in answers)
        assert len(await retried(pg)) == 5
        # a run that was broken off goes on with what it had written down
        await pg.execute("UPDATE desk_remedies SET answer = NULL, until = now() - interval '1 s'")
        answer, replayed = await remedying.run(hands, asked)
        assert not replayed
        assert answer.outcomes == {"skipped": 5}
        assert len(await retried(pg)) == 5
        assert (await remedying.run(hands, asked)) == (answer, True)
