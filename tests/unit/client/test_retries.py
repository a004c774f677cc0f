"""The client against a peer that answers, refuses, hangs and closes as it is told."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from random import Random

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from engine.client import (
    Client,
    ClientError,
    OutcomeUnknown,
    Placed,
    Problem,
    RetryPolicy,
    Unreachable,
)
from engine.client.retries import Budget, Tries, retry_after_s
from engine.kernel.clock import SystemClock
from engine.kernel.codec import decode_json

BODY = web.RequestKey("body", object)
QUICK = RetryPolicy(deadline_s=20, pause_s=0.005, pause_max_s=0.02)
SHORT = RetryPolicy(
    deadline_s=1, try_s=0.3, pause_s=0.005, pause_max_s=0.02, budget_burst=3, budget_per_s=0
)
PLACED = {
    "order_id": "o1", "status": "pending_payment", "pay_by": None,
    "payable": {"amount": 0, "currency": "CNY"},
    "lines": [{"line_id": "o1-1", "sku": "A", "quantity": 1}],
}  # fmt: skip
ORDER = {"channel": "mall", "channel_order_id": "c-1", "lines": [{"sku": "A", "quantity": 1}]}


def problem(status, code, **headers):
    document = {"status": status, "code": code, "detail": "why"}
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.json_response(document, status=status, headers=headers)


def taken(_request):
    return web.json_response(PLACED, status=202, headers={"Tidegate-Durability": "fsync"})


def again(_request):
    return web.json_response(PLACED, headers={"Idempotency-Replayed": "true"})


async def hang(_request):
    await asyncio.sleep(60)


def close(request):
    request.transport.abort()
    return web.Response()


def page(text, status):
    return lambda _: web.Response(status=status, text=text)


BUSY = problem(503, "overloaded")


@asynccontextmanager
async def peer(*script, policy=QUICK, **named):
    """A server that goes through a script of answers, and stays with its last one."""
    seen, steps = [], list(script)

    async def serve(request):
        request[BODY] = decode_json(await request.read() or b"null")
        seen.append(request)
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        answer = step(request)
        return await answer if asyncio.iscoroutine(answer) else answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    async with TestServer(app) as server:
        url = str(server.make_url("/"))
        async with Client(url, "k", retry=policy, chance=Random(1), **named) as client:
            yield client, seen


@pytest.mark.parametrize(
    "trouble",
    [
        BUSY, problem(503, "closed"), problem(503, "outcome_unknown"), problem(429, "rate_limited"),
        page("<h1>Bad gateway", 502), page("", 504), close, hang,
    ],
)  # fmt: skip
async def test_what_may_pass_is_tried_again_under_the_same_name(trouble):
    policy = replace(QUICK, try_s=0.3 if trouble is hang else 10)
    async with peer(trouble, trouble, taken, policy=policy) as (client, seen):
        placed = await client.place_order(ORDER)
    assert (placed.order_id, placed.durability, placed.replayed) == ("o1", "fsync", False)
    assert placed.lines[0].line_id == "o1-1"
    assert [one[BODY] for one in seen] == [ORDER] * 3
    ids = [one.headers["X-Request-Id"].split("-") for one in seen]
    assert len({call for call, _ in ids}) == 1
    assert [n for _, n in ids] == ["1", "2", "3"]
    assert {one.headers["Authorization"] for one in seen} == {"Bearer k"}
    waits = [int(one.headers["Tidegate-Deadline-Ms"]) for one in seen]
    assert all(0 < one <= policy.try_s * 1_000 for one in waits)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 413, 422, 428, 500, 501])
async def test_what_stands_is_not_tried_again(status):
    async with peer(problem(status, "so_it_is", X_Request_Id="r-7"), taken) as (client, seen):
        with pytest.raises(Problem) as told:
            await client.place_order(ORDER)
    assert (told.value.status, told.value.code, told.value.detail) == (status, "so_it_is", "why")
    assert (told.value.request_id, told.value.repeated) == ("r-7", False)
    assert len(seen) == 1


async def test_a_refusal_after_a_lost_answer_says_so():
    async with peer(close, problem(412, "precondition_failed")) as (client, _):
        with pytest.raises(Problem) as told:
            await client.put_sku("a/b", {"name": "A"}, etag='"3"')
    assert told.value.repeated


async def test_faults_of_a_request_are_told():
    document = {"code": "validation_failed", "detail": "no", "errors": [
        {"pointer": "/lines/0/quantity", "detail": "must be at least 1"}]}  # fmt: skip
    async with peer(lambda _: web.json_response(document, status=400)) as (client, _):
        with pytest.raises(Problem, match="/lines/0/quantity: must be at least 1") as told:
            await client.place_order(ORDER)
    assert told.value.errors[0].pointer == "/lines/0/quantity"


async def test_at_the_deadline_it_says_what_is_known():
    async with peer(hang, BUSY, policy=SHORT) as (client, _):
        with pytest.raises(OutcomeUnknown, match="POST /v1/orders c-1: ") as told:
            await client.place_order(ORDER)
        assert told.value.name == "c-1"
    async with Client("http://127.0.0.1:9", "k", retry=SHORT) as client:
        with pytest.raises(Unreachable):
            await client.place_order(ORDER)


async def test_retry_after_is_kept_and_never_waited_for_in_vain():
    clock = SystemClock()
    async with peer(problem(503, "closed", Retry_After="1"), taken) as (client, _):
        began = clock.monotonic()
        await client.place_order(ORDER)
        assert clock.monotonic() - began >= 0.9
    minute = formatdate(clock.now_ms() / 1_000 + 60, usegmt=True)
    async with peer(problem(503, "closed", Retry_After=minute), taken) as (client, seen):
        began = clock.monotonic()
        with pytest.raises(Problem, match="closed"):  # nothing was done, and it says so
            await client.place_order(ORDER)
        assert clock.monotonic() - began < QUICK.deadline_s / 2
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", 0), ("7", 7), ("soon", 0), ("-3", 0), ("Wed, 11 Nov 2026 00:00:05 GMT", 5),
     ("Wed, 11 Nov 2026 00:00:05 -0000", 5), ("Tue, 10 Nov 2026 00:00:05 GMT", 0)],
)  # fmt: skip
def test_retry_after_comes_in_two_ways(header, seconds):
    assert retry_after_s(header, 1_794_355_200_000) == seconds


async def test_many_who_fail_make_no_storm():
    """The control, a budget without a bound, sends several times as much."""

    async def sent(policy):
        async with peer(*[BUSY] * 400, taken, policy=policy) as (client, seen):
            calls = [client.place_order(ORDER) for _ in range(100)]
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert not [one for one in ends if not isinstance(one, Placed | ClientError)]
        return len(seen)

    assert await sent(replace(SHORT, try_s=5)) <= 100 + 3 + 10
    assert await sent(replace(QUICK, budget_burst=100_000)) > 400


async def test_a_retry_that_helped_costs_nothing():
    steps = [close, taken] * 40
    async with peer(*steps, policy=RetryPolicy(pause_s=0.001, budget_burst=1)) as (client, seen):
        for _ in range(40):
            await client.place_order(ORDER)
    assert len(seen) == 80


async def test_those_who_wait_find_out_by_themselves_that_it_is_over():
    """Without the trickle nobody would ask again: everybody waits, and nobody calls."""
    policy = RetryPolicy(
        deadline_s=20, pause_s=0.005, pause_max_s=0.02, budget_burst=2, budget_per_s=20
    )
    async with peer(*[BUSY] * 20, taken, policy=policy) as (client, _):
        placed = await asyncio.gather(*(client.place_order(ORDER) for _ in range(8)))
    assert len(placed) == 8


def test_pauses_grow_and_differ():
    policy = RetryPolicy(pause_s=0.1, pause_max_s=2.0)
    tries = [
        Tries(policy, Budget(policy, SystemClock()), SystemClock(), Random(n)) for n in range(50)
    ]
    rounds = [sorted(one._next_pause() for one in tries) for _ in range(12)]  # noqa: SLF001
    assert all(0.1 <= pause <= 2.0 for pauses in rounds for pause in pauses)
    assert len(set(rounds[0])) == 50
    assert rounds[-1][25] > 3 * rounds[0][25]


async def test_what_has_no_name_of_its_own_is_not_done_twice():
    key = {"name": "a key", "scopes": ["orders:read"]}
    made = lambda _: web.json_response({"key": "secret"}, status=201)  # noqa: E731
    async with peer(close, made) as (client, seen):
        with pytest.raises(OutcomeUnknown):
            await client.request("POST", "/v1/keys", key, repeatable=False)
        assert len(seen) == 1
    async with peer(BUSY, made) as (client, seen):  # it says that nothing was done
        reply = await client.request("POST", "/v1/keys", key, repeatable=False)
        assert (reply.status, len(seen)) == (201, 2)


def judged(words, *, lose=()):
    """A batch call that answers each order by the next of its words."""
    left = {name: list(said) for name, said in words.items()}
    sent = []

    def answer(request):
        names = [one["channel_order_id"] for one in request[BODY]["orders"]]
        sent.append(names)
        results = []
        for name in names:
            status, code = left[name].pop(0)
            told = {"order": PLACED} if status < 300 else {"code": code, "detail": ""}
            results.append({"status": status, **told})
        return close(request) if len(sent) in lose else web.json_response({"results": results})

    return answer, sent


NOT_NOW, LOST, SOLD, TAKEN, KNOWN = (
    (503, "overloaded"), (503, "outcome_unknown"), (409, "sold_out"), (202, ""), (200, ""),
)  # fmt: skip


def orders(*names):
    return [{**ORDER, "channel_order_id": name} for name in names]


async def test_of_many_only_those_without_an_answer_are_sent_again():
    words = {"a": [TAKEN], "b": [NOT_NOW, TAKEN], "c": [SOLD], "d": [LOST, NOT_NOW, KNOWN]}
    answer, sent = judged(words)
    async with peer(answer) as (client, _):
        found = await client.place_orders(orders(*words))
    assert sent == [["a", "b", "c", "d"], ["b", "d"], ["d"]]
    assert [(one.status, one.code) for one in found] == [TAKEN, TAKEN, SOLD, KNOWN]
    assert found[3].order.order_id == "o1"


async def test_what_of_many_never_got_an_answer_says_so():
    answer, _ = judged({"a": [TAKEN], "b": [NOT_NOW] * 999})
    async with peer(answer, policy=SHORT) as (client, _):
        found = await client.place_orders(orders("a", "b"))
    assert [(one.status, one.code) for one in found] == [TAKEN, NOT_NOW]
    answer, _ = judged({"a": [TAKEN], "b": [NOT_NOW] * 999}, lose=range(2, 999))
    async with peer(answer, policy=SHORT) as (client, _):
        found = await client.place_orders(orders("a", "b"))
    assert [(one.status, one.code) for one in found] == [TAKEN, LOST]


async def test_a_document_is_changed_over_what_was_read():
    version = [3]

    def document(request):
        if request.method == "PUT":
            if request.headers["If-Match"] != f'"{version[0]}"':
                return problem(412, "precondition_failed")(request)
            return web.json_response(request[BODY], headers={"ETag": '"9"'})
        etag = f'"{version[0]}"'
        version[0] = min(5, version[0] + 1)  # somebody else changes it twice
        return web.json_response({"name": "old"}, headers={"ETag": etag})

    async with peer(document) as (client, seen):
        reply = await client.change("/v1/skus/A", lambda read: {"name": read["name"] + "!"})
    assert (reply.document, reply.etag) == ({"name": "old!"}, '"9"')
    assert [one.method for one in seen] == ["GET", "PUT"] * 3


async def test_a_trace_and_odd_names_go_through():
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with peer(again, trace=lambda: trace) as (client, seen):
        await client.get_order("a/b c?d")
        await client.request("GET", "/v1/orders", query={"status": "", "due": True, "limit": 3})
    assert seen[0].raw_path == "/v1/orders/a%2Fb%20c%3Fd"
    assert seen[0].headers["traceparent"] == trace
    assert seen[1].query_string == "due=true&limit=3"
