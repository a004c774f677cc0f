"""A cell that lost its data is rebuilt from Postgres, value by value, and goes on."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from engine.assurance.keeper import Keeper
from engine.infra import keys
from engine.infra.cell import Cell, client
from engine.kernel.clock import SystemClock
from engine.kernel.errors import Misconfigured, OutcomeUnknown
from tests.fault.engines import CHANNEL, certificate, house, id_of
from tests.fault.marketplace import TMALL, line, put, recorded, snapshot, synced
from tests.lua.builders import (
    COUNTERS,
    DRAWS,
    OWED,
    PAYMENTS,
    SEP,
    STATE,
    WARNED,
    unpack,
)

SOON = timedelta(seconds=2)
DEBTS, ROUND = 8, 9
PLACED_AT = datetime.now(UTC).isoformat()
WORLD = {
    "sku": ("A", "B", "C", "D", "tea"),
    "policy": {
        "sku": "tea",
        "shared": 12,
        "channels": [
            {"channel": CHANNEL, "quota": 3, "shared_cap": 4},
            {"channel": TMALL, "quota": 1},
        ],
    },
}


def campaign(name, skus, ends=timedelta(hours=1), **more):
    now = datetime.now(UTC)
    return {
        "name": name,
        "starts_at": (now - timedelta(hours=1)).isoformat(),
        "ends_at": (now + ends).isoformat(),
        "channels": [CHANNEL],
        "skus": skus,
        "hold_seconds": 600,
        "grace_seconds": 60,
    } | more


def sku(name, units, **more):
    return {"sku": name, "quota": {CHANNEL: units}} | more


def told(number, version, status, *lines):
    return snapshot(number, version, status, *lines, placed_at=PLACED_AT)


def fen(amount):
    return {"amount": amount, "currency": "CNY"}


@pytest.fixture
async def here(settings):
    async with house(settings) as one:
        await one.worker()
        yield one


@pytest.fixture
async def api(here, eventually):
    """A shop and a marketplace, with campaigns, limits, caps, a presale and one that ended."""
    one = await here.api()
    await put(one, f"/v1/channels/{CHANNEL}", {"name": "Mall"})
    await put(one, f"/v1/channels/{TMALL}", {"name": "Tmall", "authority": "external"})
    for name in WORLD["sku"]:
        await put(one, f"/v1/skus/{name}", {"name": name})
    await put(one, "/v1/supply-policies/tea", WORLD["policy"])
    limits = [
        {"scope": "campaign", "by": "phone", "max": 9, "counts": "units"},
        {"scope": "campaign", "by": "buyer_id", "max": 5, "counts": "orders"},
    ]
    goods = [sku("A", 20, per_buyer_limit=4), sku("B", 20)]
    await put(one, "/v1/campaigns/sale", campaign("Sale", goods, limits=limits))
    await put(one, "/v1/campaigns/drop", campaign("Drop", [sku("A", 2), sku("B", 2)]))
    presale = campaign(
        "Presale", [sku("C", 9, deposit=fen(30))],
        balance_until=(datetime.now(UTC) + timedelta(days=9)).isoformat(),
    )  # fmt: skip
    await put(one, "/v1/campaigns/pre", presale)
    short = campaign(
        "Short", [sku("D", 9)], ends=SOON, hold_seconds=1, grace_seconds=1,
        at_end="return_to_shared",
    )  # fmt: skip
    await put(one, "/v1/campaigns/short", short)

    async def all_told():
        return await one.cell.redis.hlen(keys.of("1", "rules")) >= 2 + 4 + 6 + 2

    await eventually(all_told, within_s=20)
    await eventually(lambda: one.registry.authority("main", TMALL))
    return one


def buy(api, number, *lines, **fields):
    return api.buy(number, *lines, **{"buyer_keys": {"phone": f"p-{number}"}} | fields)


async def ok(answer, status=202):
    found = await answer
    assert found.status == status, found.document
    return found.document


async def trade(api, eventually):  # noqa: PLR0915 - one statement a state
    """Bring about every kind of state that an order, a pool or a rule can have."""
    await ok(buy(api, "d1", ("D", 2), campaign="short"))  # expires
    await ok(buy(api, "d2", ("D", 1), campaign="short"))  # is paid late, and held again
    await ok(buy(api, "d3", ("D", 1), campaign="short"))  # paid in time, in a pool that ends
    await ok(api.pay(id_of("d3"), "p", 100), 200)
    both = (("A", 2), ("B", 3))
    await ok(buy(api, "pending", *both, buyer_id="b1"))
    await ok(buy(api, "partly", *both, buyer_id="b2"))
    cut = {"cancel_id": "c1", "lines": [{"line_id": f"{id_of('partly')}-2", "quantity": 2}]}
    await ok(api.call("POST", f"/v1/orders/{id_of('partly')}/cancel", cut), 200)
    await ok(buy(api, "gone", *both, buyer_id="b2"))
    await ok(api.cancel(id_of("gone"), "c2"), 200)
    await ok(buy(api, "cart", *both, buyer_id="b3"))
    relation = {"relations": [{"kind": "split_from", "channel_order_id": "cart"}]}
    await ok(buy(api, "part", ("B", 2), buyer_id="b3", **relation))
    await ok(buy(api, "older", ("A", 1), buyer_id="b4"))
    await ok(buy(api, "newer", ("A", 1), buyer_id="b4", replace_unpaid=True))
    two = [
        {"sku": "B", "quantity": 1, "unit_price": fen(100)},
        {"sku": "A", "quantity": 50, "unit_price": fen(100), "on_short": "drop"},
    ]
    await ok(buy(api, "dropped", lines=two, campaign="drop", buyer_id="b5"))
    for number in ("paid", "returned", "coming back"):
        await ok(buy(api, number, *both, buyer_id=f"b-{number}"))
        await ok(api.pay(id_of(number), "p1", 500), 200)
    await ok(api.pay(id_of("paid"), "p2", 500), 200)  # a second payment: refund due
    await ok(buy(api, "pre", ("C", 2), campaign="pre", buyer_id="b6"))
    await ok(buy(api, "pre-paid", ("C", 2), campaign="pre", buyer_id="b7"))
    await ok(api.pay(id_of("pre-paid"), "d", 60), 200)
    await ok(buy(api, "tea", ("tea", 5), campaign="", buyer_id="b8"))
    assert (
        await synced(
            api,
            told("t1", 1, "unpaid", line("tea", 2)),
            told("t2", 1, "paid", line("tea", 9), line("nobody knows")),
            told("t3", 1, "shipped", line("tea", 1)),
            told("t4", 3, "closed", line("tea", 1)),
        )
        == ["created"] * 4
    )
    await ok(api.call("POST", "/v1/skus/B/pause", {"reason": "a look"}), 200)
    await ok(api.call("POST", "/v1/campaigns/pre/pause", {}), 200)
    await recorded(api)
    cut = {"cancel_id": "c3", "lines": [{"line_id": f"{id_of('returned')}-2", "quantity": 1}]}
    await ok(api.call("POST", f"/v1/orders/{id_of('returned')}/cancel", cut), 200)

    async def over():
        pool = api.process.pool
        ended = await pool.fetchval("SELECT count(*) FROM pools WHERE ended")
        waiting = await pool.fetchval("SELECT count(*) FROM stock_returns WHERE log_id = ''")
        expired = await pool.fetchval("SELECT state FROM orders WHERE order_id = $1", id_of("d2"))
        return ended == 1 and not waiting and expired == "closed"

    await eventually(over, within_s=20)
    await ok(api.pay(id_of("d2"), "late", 100), 200)
    await certificate(api)
    await recorded(api)


async def contents(redis):
    """The cell, decoded."""
    found = {}
    for name in ("pools", "holds", "rules"):
        stored = await redis.hgetall(keys.of("1", name))
        found[name] = {key.decode(): unpack(value) for key, value in stored.items()}
    for name in ("counters", "once", "cell"):
        stored = await redis.hgetall(keys.of("1", name))
        found[name] = {key.decode(): value.decode() for key, value in stored.items()}
    for name in ("due", "done"):
        scores = await redis.zrange(keys.of("1", name), 0, -1, withscores=True)
        found[name] = {key.decode(): int(score) for key, score in scores}
    return found


def comparable(found):
    """Without what a rebuild may leave out; the ADR lists it."""
    for name in ("epoch", "run_id", "last", "now", "closed_at", "trimmed_to"):
        found["cell"].pop(name, None)
    waiting = {one for one, hold in found["holds"].items() if hold[STATE] == "P"}
    mine = {name for name in found["counters"] if name.startswith("m" + SEP)}
    # where a buyer's newest order has ended, an older one that waits may take its place
    assert {found["counters"].pop(name) for name in mine} <= waiting
    found["done"] = set(found["done"])  # it is remembered a little longer
    found["once"] = set(found["once"])
    for pool in found["pools"].values():
        if len(pool) > DEBTS:
            pool[DEBTS], pool[ROUND] = sorted(pool[DEBTS]), pool[ROUND] if pool[OWED] else 0
        if pool[DEBTS:] == [[], 0]:
            del pool[DEBTS:]
    for hold in found["holds"].values():
        hold[WARNED] = hold[WARNED] if hold[STATE] == "P" else 0  # nobody asks any more
        hold[COUNTERS], hold[DRAWS] = sorted(hold[COUNTERS]), sorted(hold[DRAWS], key=str)
        hold[PAYMENTS] = sorted(hold[PAYMENTS])
    return found


def changed(before, after):
    """What differs, as {key: (before, after)}."""
    if not isinstance(before, dict):
        return {one: one in after for one in before ^ after}
    return {
        one: (before.get(one), after.get(one))
        for one in before.keys() | after.keys()
        if before.get(one) != after.get(one)
    }


@pytest.fixture
async def keeper(api, settings):
    redis = client(settings.valkey_url)
    yield Keeper(Cell(redis, settings.cell, SystemClock()), api.process.pool, SystemClock())
    await redis.aclose()


async def lose(here, api):
    """Stop the workers and delete everything."""
    await here.stop("worker")
    await api.cell.redis.flushall()


async def test_every_value_is_what_it_was(here, api, keeper, eventually):
    await trade(api, eventually)
    await here.stop("worker")
    await ok(api.cancel(id_of("coming back"), "c4"), 200)  # its units wait for a worker
    before = await contents(api.cell.redis)
    await api.cell.redis.flushall()
    assert await keeper.open(None) == ""
    after = await contents(api.cell.redis)
    expected, found = comparable(before), comparable(after)
    for name, values in expected.items():
        assert changed(values, found[name]) == {}, name
    await here.worker()
    await eventually(lambda: api.cell.is_open)
    await goes_on(api, eventually)


async def goes_on(api, eventually):
    """Everything answers as before the loss, and what was on its way is finished."""
    both = (("A", 2), ("B", 3))
    again = await ok(buy(api, "pending", *both, buyer_id="b1"), 200)
    assert again["status"] == "pending_payment"
    other = await buy(api, "pending", ("A", 1), buyer_id="b1")
    assert other.code == "idempotency_conflict"
    assert (await ok(buy(api, "gone", *both, buyer_id="b2"), 200))["status"] == "cancelled"
    assert (await buy(api, "b", ("B", 1), buyer_id="b9")).code == "paused"
    assert (await buy(api, "a", ("A", 3), buyer_id="b1")).code == "limit_reached"
    assert (await ok(api.pay(id_of("paid"), "p1", 500), 200))["state"] == "applied"
    assert (await ok(api.pay(id_of("pending"), "p", 500), 200))["state"] == "applied"
    assert (await ok(api.pay(id_of("pre-paid"), "b", 140), 200))["state"] == "applied"
    await ok(api.cancel(id_of("partly"), "c1"), 200)  # it came before
    await ok(api.cancel(id_of("cart"), "c9"), 200)
    assert await synced(
        api, told("t1", 1, "unpaid", line("tea", 2)), told("t1", 2, "paid", line("tea", 1))
    ) == ["unchanged", "updated"]

    async def came_back():
        row = await api.process.pool.fetchrow(
            "SELECT log_id FROM stock_returns WHERE order_id = $1", id_of("coming back")
        )
        return row["log_id"]

    await eventually(came_back, within_s=20)
    await certificate(api)


async def refilled(redis, saved):
    """Bring back what an older copy has, under another run of the server."""
    await redis.flushall()
    for name, packed in saved.items():
        await redis.restore(name, 0, packed)
    await redis.hset(keys.of("1", "cell"), "run_id", "another")


async def saved_of(redis):
    return {name: await redis.dump(name) for name in await redis.keys("*")}


async def test_an_older_copy_becomes_what_it_was(here, api, keeper):
    """A replica that lagged behind, or a file that lost its end."""
    redis = api.cell.redis
    await ok(buy(api, "before", ("A", 2)))
    await recorded(api)
    older = await saved_of(redis)
    await ok(buy(api, "after", ("A", 2)))
    await ok(api.pay(id_of("before"), "p", 200), 200)
    await certificate(api)
    await here.stop("worker")
    before = comparable(await contents(redis))
    await refilled(redis, older)
    assert await keeper.open(await api.cell.refresh()) == ""
    assert comparable(await contents(redis)) == before
    reason = await api.process.pool.fetchval("SELECT reason FROM recoveries")
    assert reason.startswith("the cell's log ends at ")


class Flaky(Cell):
    """A cell to which a keeper may send so many calls before it is killed."""

    calls_left = 10**9

    def _next(self):
        self.calls_left -= 1
        if self.calls_left < 0:
            raise OutcomeUnknown

    async def call(self, *args, **kwargs):
        self._next()
        return await super().call(*args, **kwargs)

    async def call_with(self, *args, **kwargs):
        self._next()
        return await super().call_with(*args, **kwargs)


async def test_a_keeper_that_is_killed_anywhere_is_followed_by_another(
    here, api, settings, monkeypatch
):
    monkeypatch.setattr("engine.assurance.rebuilding.REBUILD_ITEMS_PER_CALL", 3)
    for number in range(7):
        await ok(buy(api, str(number), ("A", 1)))
    await certificate(api)
    await here.stop("worker")
    redis, pool = api.cell.redis, api.process.pool
    before = comparable(await contents(redis))
    await redis.flushall()
    own = client(settings.valkey_url)
    opened, calls = "not yet", 0
    while opened == "not yet":
        cell = Flaky(own, settings.cell, SystemClock())
        cell.calls_left, calls = calls, calls + 1
        try:
            opened = await Keeper(cell, pool, SystemClock()).open(await cell.refresh())
        except OutcomeUnknown:
            assert not asyncio.current_task().cancelling(), "a loop would take it for its end"
    await own.aclose()
    assert opened == ""
    assert calls > 10
    assert comparable(await contents(redis)) == before


async def test_two_keepers_at_once_rebuild_it_once(here, api, eventually):
    for number in range(7):
        await ok(buy(api, str(number), ("A", 1)))
    await certificate(api)
    await here.stop("worker")
    before = comparable(await contents(api.cell.redis))
    await api.cell.redis.flushall()
    await eventually(lambda: not api.cell.is_open)
    for name in ("one", "other"):
        await here.worker("keeper", "recorder", name=name)
    await eventually(lambda: api.cell.is_open, within_s=20)
    await certificate(api)
    assert comparable(await contents(api.cell.redis)) == before


async def test_what_postgres_lacks_comes_from_the_processes_that_accepted_it(here, api, eventually):
    await ok(buy(api, "recorded", ("A", 3), buyer_id="b1"))
    await certificate(api)
    await here.stop("worker")
    for number in range(5):
        await ok(buy(api, str(number), ("A", 1), ("B", 2)))
    await ok(api.pay(id_of("0"), "p", 300), 200)
    await ok(api.pay(id_of("recorded"), "p", 300), 200)
    before = comparable(await contents(api.cell.redis))
    await api.cell.redis.flushall()
    await here.worker()
    await eventually(lambda: not api.cell.is_open)
    await eventually(lambda: api.cell.is_open, within_s=20)
    await certificate(api)

    async def booked():
        rows = await api.process.pool.fetch("SELECT FROM payments WHERE state = 'applied'")
        return len(rows) == 2

    await eventually(booked, within_s=20)
    assert comparable(await contents(api.cell.redis)) == before
    row = await api.process.pool.fetchrow("SELECT * FROM recoveries")
    assert row["accepted_after"] == 6


async def test_what_nobody_can_hand_in_is_counted(here, api, eventually):
    """The process that accepted it is gone, too: how much is known, which ones nobody knows."""
    await certificate_or_nothing(api)
    await here.stop("worker")
    await here.worker("keeper", "sweeper")
    for number in range(5):
        await ok(buy(api, str(number), ("A", 1)))
    state = await api.cell.refresh()
    assert state.accepted == 5
    await asyncio.sleep(0.5)  # the keeper has looked
    api.reservations.kept.clear()
    await api.cell.redis.flushall()
    await eventually(lambda: not api.cell.is_open)
    await here.worker("recorder", "publisher", name="others")
    await eventually(lambda: api.cell.is_open, within_s=20)

    async def counted():
        row = await api.process.pool.fetchrow(
            "SELECT * FROM recoveries WHERE opened_at > now() - interval '1 minute'"
        )
        return row and (row["accepted_before"], row["accepted_after"]) == (5, 0)

    await eventually(counted, within_s=20)


async def certificate_or_nothing(api):
    await recorded(api)


async def test_a_rebuild_without_what_was_counted_exceeds_a_limit(here, api, keeper, monkeypatch):
    """The control: what this file proves would be seen if it were missing."""
    await ok(buy(api, "1", ("A", 4), buyer_id="b1"))
    await certificate(api)
    await lose(here, api)
    assert await keeper.open(None) == ""
    await api.cell.refresh()
    assert (await buy(api, "2", ("A", 1), buyer_id="b1")).code == "limit_reached"
    await api.cell.redis.flushall()
    monkeypatch.setattr("engine.assurance.rebuilding._COUNTERS", 15)  # payments: there are none
    assert await keeper.open(None) == ""
    await api.cell.refresh()
    await ok(buy(api, "2", ("A", 1), buyer_id="b1"))


async def test_a_database_that_does_not_agree_with_itself_is_not_rebuilt_from(
    here, api, keeper, pg
):
    await ok(buy(api, "1", ("A", 4)))
    await certificate(api)
    await lose(here, api)
    await pg.execute("UPDATE pools SET held = held + 1, available = available - 1 WHERE held > 0")
    reason = await keeper.open(None)
    assert reason.startswith("Postgres does not agree with itself about pools p")
    assert (await buy(api, "2", ("A", 1))).code == "closed"


async def test_the_cell_of_another_database_is_refused_unless_it_is_empty(
    here, api, keeper, eventually
):
    await ok(buy(api, "1", ("A", 4)))
    await certificate(api)
    await here.stop("worker")
    await api.cell.redis.hset(keys.of("1", "cell"), mapping={"identity": "another"})
    with pytest.raises(Misconfigured, match="another database"):
        await keeper.open(await api.cell.refresh())
    await api.cell.redis.delete(keys.of("1", "pools"), keys.of("1", "holds"))
    with pytest.raises(Misconfigured, match="another database"):
        await keeper.open(await api.cell.refresh())  # it is open: about to be filled
    await api.cell.redis.hset(keys.of("1", "cell"), "phase", "closed")
    assert await keeper.open(await api.cell.refresh()) == ""
    await eventually(lambda: api.cell.is_open)
    await ok(buy(api, "1", ("A", 4)), 200)


async def test_units_that_changed_hands_unseen_stay_with_who_has_them(here, api, eventually):
    """A cancel and an end that Postgres never saw made room for orders that it never saw."""
    await ok(buy(api, "d1", ("D", 5), campaign="short"))
    await ok(buy(api, "p1", ("A", 2), campaign="drop"))
    await recorded(api)
    await here.stop("worker")
    await here.worker("sweeper")

    async def ended():
        hold = unpack(await api.cell.redis.hget(keys.of("1", "holds"), id_of("d1")))
        return hold[STATE] == "E"

    await ok(api.cancel(id_of("p1"), "c"), 200)
    await ok(buy(api, "p2", ("A", 2), campaign="drop"))
    await eventually(ended, within_s=10)
    before = comparable(await contents(api.cell.redis))
    await here.stop("worker")
    await api.cell.redis.flushall()
    await eventually(lambda: not api.cell.is_open)
    await here.worker()
    await eventually(lambda: api.cell.is_open, within_s=20)
    await certificate(api)
    after = comparable(await contents(api.cell.redis))
    for number in ("p1", "p2"):
        assert after["holds"][id_of(number)][STATE] == before["holds"][id_of(number)][STATE]
