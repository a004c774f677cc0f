"""Webhooks: told what happened, signed, each key in order, until they took it."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from engine.infra import metrics
from engine.infra.http import keys
from engine.infra.http.keys import NewKey
from engine.infra.runtime import RUNTIME
from engine.kernel.types import MAIN
from engine.webhooks.rules import retrying
from engine.webhooks.service import endpoints, line, measuring, sending, telling
from engine.webhooks.service.sending import Sender
from engine.webhooks.store import delivering
from engine.webhooks.types.webhooks import Standing
from tests.conftest import eventually
from tests.flow.telling import PATH, notifying, world

PERSONAL = '{"code": "manual", "reason": "Li at 13812345678", "ship_to": "Nanshan 1"}'


@pytest.fixture
async def here(settings, pg):
    async with world(settings, pg) as one:
        yield one


async def test_what_happens_is_told_signed_and_nothing_of_a_person(here):
    made = await here.add("a", types=["order.*"])
    other = await here.add("b", types=["payment.refund_due"])
    third = await here.add("c", channels=["shop"])
    await here.happen(("o1", 7))
    await here.pg.execute("UPDATE orders SET trace = 't-1'")
    async with notifying(here):
        await here.pg.execute(
            "INSERT INTO events (at, kind, order_id, data) VALUES "
            "(now(), 'order.blocked', 'o1', $1), (now(), 'payment.refund_due', 'o1', '{}'),"
            "(now(), 'secret.kind', 'o1', '{}')",
            PERSONAL,
        )
        await here.takes("a", 2)
        await here.takes("b", 1)
        await here.noted(made)
    (headers, body), (later, blocked) = await here.receiver.seen("a", "?whole")
    told = Webhook(made["secret"]).verify(body, headers)
    assert told["type"] == "order.reserved"
    assert told["data"] == {
        "order_id": "o1", "channel": "mall", "channel_order_id": "o1", "state": "", "total": 7,
        "currency": "CNY",
    }  # fmt: skip
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(other["secret"]).verify(body, headers)
    assert headers["traceparent"] == later["traceparent"] == "t-1"
    assert "manual" in blocked
    assert not any(word in blocked for word in ("Li", "138", "Nanshan"))
    assert await here.receiver.seen("c") == []
    shown = await here.one(made)
    assert "secret" not in shown
    assert (shown["state"], shown["waiting"], shown["backlog"]) == ("active", 0, 0)
    tried = (await here.one(made, "/deliveries"))["items"]
    assert [(one["type"], one["outcome"], one["status"], one["attempt"]) for one in tried] == [
        ("order.blocked", "delivered", 204, 1), ("order.reserved", "delivered", 204, 1),
    ]  # fmt: skip
    assert (await here.one(third, "/deliveries"))["items"] == []


async def test_a_rotated_secret_signs_beside_the_former_one_until_that_ends(here):
    made = await here.add("a")
    async with notifying(here):
        rotated = await here.one(made, "/rotate", method="POST", body={"overlap_seconds": 60})
        assert rotated["former_until"]

        async def both_sign():
            await here.happen(("o1", 1))
            found = await here.receiver.seen("a", "?whole")
            for headers, body in found[-1:]:  # who delivers is told within a second
                assert " " in headers["webhook-signature"]
                for secret in (made["secret"], rotated["secret"]):
                    Webhook(secret).verify(body, headers)
            return found

        await eventually(both_sign)
        await here.pg.execute(
            "UPDATE webhook_secrets SET expires_at = now() WHERE expires_at > now()"
        )
        last = await here.one(made, "/rotate", method="POST", body={"overlap_seconds": 0})
        assert last["former_until"] is None

        async def is_new_alone():
            await here.happen(("o1", 2))
            headers, body = (await here.receiver.seen("a", "?whole"))[-1]
            assert " " not in headers["webhook-signature"]
            return Webhook(last["secret"]).verify(body, headers)

        await eventually(is_new_alone)
    assert (await here.one(made))["secrets"] == [None]


async def test_a_key_waits_for_its_failing_message_and_the_others_go_on(here):
    made = await here.add("a")
    await here.receiver.behave("a", keys={"o1": [500, 400, 503]})
    async with notifying(here):
        await here.happen(*[(f"o{n % 3}", n) for n in range(30)])
        await here.takes("a", 20)
        await here.waits(made, 10)
        assert {one[1] for one in await here.receiver.delivered("a")} == {"o0", "o2"}
        assert [one[1] for one in await here.receiver.seen("a")].count("o1") == 1

        async def nothing_waits():
            await here.due()
            return (await here.one(made))["waiting"] == 0

        await eventually(nothing_waits, 10)
    found = await here.receiver.delivered("a")
    for key in ("o0", "o1", "o2"):
        numbers = [n for _, one, n in found if one == key]
        assert numbers == sorted(numbers), key
        assert len(numbers) == 10
    assert len({one for one, _, _ in found}) == 30
    first = [one[0] for one in await here.receiver.seen("a") if one[1:3] == ["o1", 1]]
    assert len(first) == 4
    assert len(set(first)) == 1, "its id stays"


async def test_what_is_tried_in_vain_is_given_up_grouped_and_sent_again(here, monkeypatch):
    monkeypatch.setattr(retrying, "WAITS_S", [0.05])
    made = await here.add("a")
    await here.receiver.behave("a", keys={"o1": [400] * 2, "o2": [418] * 4})
    async with notifying(here):
        await here.happen(("o1", 1), ("o2", 2), ("o2", 3), ("o2", 4), ("o3", 5))
        await here.waits(made, 3, "dead")
        await here.takes("a", 2)
        groups = (await here.one(made, "/dead-letters", group="cause"))["groups"]
        found = [(one["cause"], one["letters"]) for one in groups]
        assert found == [("http_418", 2), ("http_400", 1)]
        letters = (await here.one(made, "/dead-letters", cause="http_418"))["items"]
        assert [(one["key"], one["attempts"]) for one in letters] == [("o2", 2), ("o2", 2)]
        values = await measuring.read(here.app[RUNTIME].pool, MAIN)
        assert values[metrics.WEBHOOK_BACKLOG] == {("waiting",): 0, ("dead",): 3}
        done = await here.one(made, "/replay", method="POST", body={"cause": "http_418"})
        assert done == {"replayed": 2, "next_sequence": None}
        await here.waits(made, 1, "dead")
        await here.takes("a", 4)


async def test_what_was_delivered_is_sent_again_by_number_instant_and_id(here, monkeypatch):
    monkeypatch.setattr(endpoints, "REPLAYED_AT_ONCE", 3)
    made = await here.add("a")
    async with notifying(here):
        await here.happen(*[(f"o{n}", n) for n in range(5)])
        await here.takes("a", 5)
        await here.noted(made)
        tried = (await here.one(made, "/deliveries"))["items"]
        first = min(one["sequence"] for one in tried)
        again = await replayed(here, made, from_sequence=first, to_sequence=first + 1)
        assert again == {"replayed": 2, "next_sequence": None}
        await here.takes("a", 7)
        moment = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        again = await replayed(here, made, from_at=moment)
        assert again == {"replayed": 3, "next_sequence": first + 3}
        again = await replayed(here, made, from_at=moment, from_sequence=first + 3)
        assert again["replayed"] == 2
        await here.takes("a", 12)
        assert (await replayed(here, made, to_at=moment))["replayed"] == 0
        name = tried[0]["message_id"]
        await replayed(here, made, message_ids=[name])
        assert (await here.takes("a", 13))[-1][0] == name
    await here.one(made, "/replay", 400, "POST", {})


async def replayed(here, made, **asked):
    """Ask that messages be sent again, when nothing is on its way."""
    await here.noted(made)
    return await here.one(made, "/replay", method="POST", body=asked)


async def test_an_endpoint_that_is_gone_is_disabled_told_of_and_told_all_when_it_is_back(here):
    made, desk = await here.add("a"), await here.add("desk", types=["webhook.disabled"])
    await here.receiver.behave("a", statuses=[410], status=204)
    async with notifying(here):
        await here.happen(("o1", 1))
        await here.takes("desk", 1)
        await here.happen(("o1", 2), ("o2", 3))
        shown = await here.one(made)
        assert (shown["state"], shown["cause"]) == ("disabled", "gone")
        await here.happen(("o1", 4))
        await here.takes("desk", 1)
        assert await here.receiver.delivered("a") == []
        shown = await here.one(made, "/enable", method="POST")
        assert shown["state"] == "active"
        found = await here.takes("a", 4)
        assert [n for _, key, n in found if key == "o1"] == [1, 2, 4]
    assert (await here.one(desk))["state"] == "active"
    body = (await here.receiver.seen("desk", "?whole"))[0][1]
    assert made["endpoint_id"] in body
    assert await here.one(made, "/disable", method="POST")
    assert (await here.one(made))["cause"] == "by_hand"


async def test_an_endpoint_that_fails_for_three_days_is_disabled_and_keeps_what_waits(here):
    made = await here.add("a")
    await here.receiver.behave("a", status=500)
    async with notifying(here):
        await here.happen(("o1", 1))
        await here.waits(made, 1)
    await here.pg.execute(
        "UPDATE webhook_endpoints SET failing_since = now() - interval '73 hours'"
    )
    await here.due()
    async with notifying(here, "n2"):

        async def is_disabled():
            return (await here.one(made))["state"] == "disabled"

        await eventually(is_disabled)
    shown = await here.one(made)
    assert (shown["cause"], shown["waiting"]) == ("failing", 1)


async def test_an_endpoint_that_does_not_answer_is_probed_and_goes_on_by_itself(here, monkeypatch):
    monkeypatch.setattr(retrying, "PROBE_FIRST_S", 0.5)
    made = await here.add("a")
    await here.receiver.behave("a", status=500)
    async with notifying(here):
        await here.happen(*[(f"o{n}", n) for n in range(200)])

        async def is_open():
            return (await here.one(made))["circuit"] == "open"

        await eventually(is_open)
        assert len(await here.receiver.seen("a")) <= 21, "what was on its way, and no more"
        await here.receiver.behave("a", status=204)
        await here.due()
        await here.takes("a", 183, 15)  # the probe comes after some seconds
        await here.due()
        await here.takes("a", 200, 15)
    assert (await here.one(made))["circuit"] == "closed"


async def test_retry_after_is_kept(here):
    made = await here.add("a")
    await here.receiver.behave("a", statuses=[429], headers={"Retry-After": "900"})
    async with notifying(here):
        await here.happen(("o1", 1))
        await here.waits(made, 1)
        wait = await here.pg.fetchval("SELECT due_at - now() FROM webhook_waiting")
        assert timedelta(minutes=14) < wait <= timedelta(minutes=15)
        await here.happen(("o2", 1))
        with pytest.raises(AssertionError):
            await here.takes("a", 1, 0.5)


A_WHILE_S = 1.5


async def beside_a_dead_one(here):
    """How long an endpoint takes for 300 messages beside one that never answers."""
    await here.receiver.behave("dead", delay_s=60)
    await here.happen(*[(f"o{n}", n) for n in range(300)])
    began = asyncio.get_running_loop().time()
    await here.takes("good", 300, 30)
    return asyncio.get_running_loop().time() - began


async def test_a_dead_endpoint_does_not_slow_another(here):
    await here.add("good")
    await here.add("dead")
    async with notifying(here):
        assert await beside_a_dead_one(here) < A_WHILE_S


async def test_control_where_they_share_what_is_on_the_way_it_does(here, monkeypatch):
    """One bound for all, as one pool of workers has it: the dead one takes all of it."""
    both = asyncio.Semaphore(8)
    send = Sender.send

    async def bounded(self, endpoint, item):
        async with both:
            return await send(self, endpoint, item)

    monkeypatch.setattr(Sender, "send", bounded)
    await here.add("good")
    await here.add("dead")
    async with notifying(here):
        assert await beside_a_dead_one(here) > A_WHILE_S


async def test_an_endpoint_that_takes_one_twice_or_slowly_gets_all_in_order(here):
    """It takes a message and cuts the line: the same comes again, with the same id."""
    await here.add("a")
    await here.receiver.behave("a", nth=7)
    async with notifying(here):
        await here.happen(*[(f"o{n % 20}", n) for n in range(100)])

        async def all_there():
            await here.due()
            found = await here.receiver.seen("a")
            assert len({one[0] for one in found}) == 100
            return len(await here.receiver.delivered("a")) >= 100

        await eventually(all_there, 15)
    firsts = {}
    for _, key, n, _ in await here.receiver.seen("a"):
        firsts.setdefault(key, []).append(n)
    for key, numbers in firsts.items():
        kept = list(dict.fromkeys(numbers))
        assert kept == sorted(kept), key


async def test_a_message_that_takes_long_does_not_hold_the_cursor_and_is_not_lost(
    settings, pg, monkeypatch
):
    monkeypatch.setattr(line, "_LONG_S", 0.2)
    async with world(settings, pg, webhook_timeout_seconds=3) as here:
        made = await here.add("a")
        await here.receiver.behave("a", delay_s=1.0)
        async with notifying(here):
            await here.happen(("slow", 1), ("slow", 2))

            async def on_its_way():
                return await here.receiver.seen("a")

            await eventually(on_its_way)
            await here.receiver.behave("a")
            await here.happen(("quick", 3))
            await here.takes("a", 1)
            await here.waits(made, 2)
            cursor = "SELECT cursor = (SELECT max(seq) FROM webhook_events) FROM webhook_endpoints"

            async def moved():
                return await here.pg.fetchval(cursor)

            await eventually(moved)
            found = await here.takes("a", 3)
            assert [n for _, key, n in found if key == "slow"] == [1, 2]
            await here.waits(made, 0)


async def test_a_test_says_what_came_of_it(here):
    made = await here.add("a")
    await here.receiver.behave("a", statuses=[503])
    first = await here.one(made, "/test", method="POST")
    assert (first["outcome"], first["status"]) == ("failed", 503)
    second = await here.one(made, "/test", method="POST")
    assert (second["outcome"], second["status"]) == ("delivered", 204)
    headers, body = (await here.receiver.seen("a", "?whole"))[-1]
    assert Webhook(made["secret"]).verify(body, headers)["type"] == "webhook.test"
    assert headers["webhook-id"] == second["message_id"]


async def test_an_endpoint_is_made_changed_listed_and_removed(here):
    made = await here.add("a", types=["order.paid"], description="books")
    assert base64.b64decode(made["secret"].removeprefix("whsec_"), validate=True)
    changed = await here.one(
        made, method="PUT", body={"url": made["url"], "types": ["stock.*"], "channels": ["mall"]}
    )
    assert (changed["types"], changed["channels"]) == (["stock.*"], ["mall"])
    assert [one["endpoint_id"] for one in (await here.call("GET", PATH))["items"]] == [
        made["endpoint_id"]
    ]
    await here.one(made, status=204, method="DELETE")
    await here.one(made, status=404)
    for path in ("/enable", "/disable", "/test"):
        await here.one(made, path, 404, "POST")
    await here.one(made, "/replay", 404, "POST", {"dead_only": True})


WRONG = [
    ({"url": "http://example.com/x"}, "/url"),
    ({"url": "https://10.0.0.1/x"}, "/url"),
    ({"url": "https://[::ffff:169.254.169.254]/"}, "/url"),
    ({"url": "https://localhost/"}, "/url"),
    ({"url": "https://2130706433/"}, "/url"),  # 127.0.0.1, to whoever looks it up
    ({"url": "https://127.1/"}, "/url"),
    ({"url": "ftp://example.com"}, "/url"),
    ({"types": ["order.nothing"]}, "/types/0"),
    ({"types": ["ord*"]}, "/types/0"),
    ({"channels": [""]}, "/channels/0"),
]


async def test_what_may_not_be_asked_for_is_refused_by_name(here):
    for wrong, pointer in WRONG:
        answer = await here.call("POST", PATH, {"url": here.receiver.url, **wrong}, 400)
        assert answer["errors"][0]["pointer"] == pointer, wrong
    assert (await here.call("GET", PATH))["items"] == []


async def test_a_name_that_leads_elsewhere_later_leads_nowhere(settings, pg, monkeypatch):
    """Looked at when it was created it was public; at the connection it is judged again."""
    async with world(settings, pg, plain_http_hosts="rebound.example") as here:
        port = here.receiver.url.rpartition(":")[2]
        where = ["93.184.215.14"]
        monkeypatch.setattr(
            sending, "_addresses", lambda _host, port, _family: [(2, (where[0], port))]
        )
        made = await here.add("x", url=f"http://rebound.example:{port}/x")
        where[0] = "127.0.0.1"
        answer = await here.one(made, "/test", method="POST")
        assert (answer["status"], answer["error"]) == (0, "private_address")
        assert await here.receiver.seen("x") == []
        monkeypatch.setattr(sending.targets, "is_forbidden", lambda _address: False)  # the control
        answer = await here.one(made, "/test", method="POST")
        assert answer["status"] == 204


async def test_a_key_of_one_channel_may_not(here):
    bound = await keys.create(here.app[RUNTIME].pool, MAIN, NewKey("b", ["orders:read"], "mall"))
    plain = await keys.create(here.app[RUNTIME].pool, MAIN, NewKey("p", ["orders:read"]))
    for key in (bound.key, plain.key):
        await here.call("GET", PATH, status=403, key=key)
        await here.call("POST", PATH, {"url": "https://example.com"}, 403, key=key)


async def test_of_two_notifiers_one_tells_an_endpoint_and_the_other_takes_over(here):
    await here.add("a")
    async with notifying(here, "n2"):
        async with notifying(here, "n1"):
            await here.happen(*[(f"o{n % 5}", n) for n in range(50)])
            await here.takes("a", 50)
        await here.happen(*[(f"o{n % 5}", n) for n in range(50, 100)])
        found = await here.takes("a", 100)
    assert len(found) == len({one[0] for one in found}) == 100


async def test_what_is_old_is_forgotten_but_not_what_somebody_waits_for(here):
    made = await here.add("a", types=["order.*"])
    await here.receiver.behave("a", keys={"o2": [400]})
    async with notifying(here):
        await here.happen(("o1", 1), ("o2", 2), ("o2", 3))
        await here.takes("a", 1)
        await here.waits(made, 2)
        await here.pg.execute("UPDATE webhook_events SET at = at - interval '15 days'")
        await here.pg.execute("UPDATE webhook_attempts SET at = at - interval '15 days'")
        assert not await telling.prune(here.app[RUNTIME])
        assert await here.pg.fetchval("SELECT count(*) FROM webhook_events") == 2
        assert await here.pg.fetchval("SELECT count(*) FROM webhook_attempts") == 0
        await here.due()
        await here.takes("a", 3)


async def test_who_lost_its_lease_writes_nothing_any_more(here):
    made = await here.add("a")
    pool = here.app[RUNTIME].pool
    (first,) = await delivering.lease(pool, MAIN, "n1", 60, 8)
    assert await delivering.lease(pool, MAIN, "n2", 60, 8) == []
    await here.pg.execute("UPDATE webhook_endpoints SET leased_until = now() - interval '1 s'")
    (second,) = await delivering.lease(pool, MAIN, "n2", 60, 8)
    name = made["endpoint_id"]
    async with pool.acquire() as tx, tx.transaction():
        assert not await delivering.stand(tx, name, first.token, 99, Standing())
        assert await delivering.stand(tx, name, second.token, 7, Standing())
    assert await here.pg.fetchval("SELECT cursor FROM webhook_endpoints") == 7
