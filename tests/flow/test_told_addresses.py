"""A marketplace's snapshot with another address: what nodes have is stopped, once a change."""

import asyncio
from datetime import UTC, datetime

import pytest

from engine.aftersales import answering
from engine.shipments.service.queueing import INTERCEPT
from engine.shipments.types.shipments import Package
from engine.wms import store as wms
from tests.fault import marketplace
from tests.fault.engines import certificate, house
from tests.flow.test_stops import BEIJING, MOVED, SHANGHAI, Shop, change
from tests.flow.test_sync_odd import forget

LINE = marketplace.line("A", 3)
HIDDEN = {"consignee_id": "oaid-1", "region_code": "310115", "name": "L*"}
BEYOND = {"name": "Lin", "region_code": "440305", "address": "4 Shennan Road"}


class Sold(Shop):
    """An order of 3 A that a marketplace sold; the settler's turn comes when a test says so."""

    def __init__(self, api):
        super().__init__(api)
        self.order_id = marketplace.id_of("t")

    async def tell(self, version, ship_to, status="paid", line=LINE, **more):
        """Have a snapshot recorded; return what became of it."""
        body = marketplace.snapshot("t", version, status, line, ship_to=ship_to, **more)
        (word,) = await marketplace.synced(self.api, body)
        await marketplace.recorded(self.api)
        return word

    async def settle(self):
        return await answering.settle_told(self.pool, self.api.process.clock)

    async def answers(self):
        """Return (cause_id, answer) of the stops, in the order of their revisions."""
        rows = await self.pool.fetch(
            "SELECT s.cause_id, s.answer FROM stops AS s LEFT JOIN order_addresses AS a"
            " ON a.order_id = s.order_id AND a.change_id = s.cause_id"
            " WHERE s.cause = 'address' ORDER BY a.revision"
        )
        return [tuple(row) for row in rows]

    async def revisions(self):
        rows = await self.pool.fetch(
            "SELECT change_id, state FROM order_addresses ORDER BY revision"
        )
        return [tuple(row) for row in rows]

    async def counted(self, *kinds):
        return [len(await self.told(f"order.address_{kind}")) for kind in kinds]


@pytest.fixture
async def here(settings):
    """A worker that records; nothing else has a turn but when a test gives it one."""
    async with house(settings) as one:
        await one.worker("recorder", "sweeper", "keeper", "publisher")
        yield one


@pytest.fixture
async def sold(here):
    api = await here.api()
    await marketplace.open_shops(api, A=10)
    one = Sold(api)
    assert await one.tell(1, SHANGHAI) == "created"
    return one


async def test_what_no_node_has_yet_goes_to_the_new_address_and_nothing_is_stopped(sold):
    assert await sold.tell(2, BEIJING) == "updated"
    assert await sold.settle() == 0
    assert (await sold.answers(), await sold.revisions(), await sold.blocks()) == ([], [], [])
    assert (await sold.order())["document"]["ship_to"]["region_code"] == "110105"


@pytest.mark.parametrize(("ship_to", "again"), [(MOVED, True), (BEIJING, False)])
async def test_what_was_planned_is_withdrawn_and_sent_to_the_new_address(sold, ship_to, again):
    (code,) = await sold.plan({1: 3})
    await sold.tell(2, ship_to)
    assert await sold.blocks() == ["address_change"], "with the snapshot, not with the settler"
    assert await sold.begin(code) == "blocked"
    assert await sold.settle() == 1
    assert await sold.answers() == [("told:2", "stopped")]
    assert await sold.states() == (["cancelled", "planned"] if again else ["cancelled"])
    assert (await sold.axes())[2] == ("routed" if again else "unrouted")
    assert (await sold.blocks(), await sold.settle()) == ([], 0)
    (changed,) = await sold.told("order.address_changed")
    assert changed["data"]["rerouted"] is not again
    (told,) = await sold.told("order.address_told")
    assert told["data"] == {"change_id": "told:2", "revision": 1, "region": ship_to["region_code"]}
    await certificate(sold.api)


@pytest.mark.parametrize(("ship_to", "again"), [(MOVED, True), (BEIJING, False)])
@pytest.mark.parametrize("state", ["sent", "accepted"])
async def test_what_a_node_has_is_stopped_first(sold, ship_to, again, state):
    (code,) = await sold.plan({1: 3})
    await sold.send(code)
    if state == "accepted":
        await sold.say(code, "accepted")
    await sold.tell(2, ship_to)
    await sold.settle()
    assert (await sold.answers(), await sold.states()) == ([("told:2", "")], ["stopping"])
    assert await sold.begin(code) == "cancel"
    await sold.say(code, "cancelled")
    assert await sold.answers() == [("told:2", "stopped")]
    assert await sold.revisions() == [("told:2", "applied")]
    assert await sold.states() == (["cancelled", "planned"] if again else ["cancelled"])
    assert await sold.blocks() == []
    assert await sold.committed() == (3 if again else 0)
    if again:
        assert await sold.begin(f"{sold.order_id}-s2") == "create"
    to_send = await wms.facts(sold.pool, [sold.order_id])
    assert to_send[sold.order_id].ship_to["address"] == ship_to["address"]
    await certificate(sold.api)


@pytest.mark.parametrize("state", ["picked", "shipped"])
async def test_what_is_too_far_leaves_and_is_said_to(sold, state):
    (code,) = await sold.plan({1: 3})
    await sold.send(code)
    await sold.say(code, state)
    await sold.tell(2, BEIJING)
    await sold.settle()
    assert await sold.answers() == [("told:2", "not_stopped")]
    assert await sold.revisions() == [("told:2", "refused")]
    (refused,) = await sold.told("order.address_refused")
    assert refused["data"]["answer"] == "not_stopped"
    assert (await sold.blocks(), await sold.states()) == ([], [state])
    assert await sold.counted("told", "changed", "refused") == [1, 0, 1]


async def not_let_go(sold):
    """Beijing is told of what a node has, and it does not let go of it; return the shipment."""
    (code,) = await sold.plan({1: 3})
    await sold.send(code)
    await sold.tell(2, BEIJING)
    await sold.settle()
    await sold.say(code, "cancel_failed")
    assert await sold.answers() == [("told:2", "not_stopped")]
    return code


async def test_a_node_that_does_not_let_go_refuses_it(sold):
    await not_let_go(sold)
    assert await sold.counted("told", "changed", "refused") == [1, 0, 1]
    assert await sold.blocks() == []


async def test_a_carrier_is_asked_to_turn_round_what_left(sold):
    (code,) = await sold.plan({1: 3}, intercepts=True)
    await sold.send(code)
    await sold.say(code, "shipped", Package("sf", "W1"))
    await sold.tell(2, BEIJING, "shipped")
    await sold.settle()
    assert await sold.answers() == [("told:2", "intercept_requested")]
    kinds = await sold.pool.fetch("SELECT kind FROM jobs")
    assert INTERCEPT in {row["kind"] for row in kinds}


async def test_of_what_left_in_part_the_rest_goes_to_the_new_address(sold):
    first, second = await sold.plan({1: 2}, {1: 1})
    await sold.send(first)
    await sold.say(first, "shipped", Package("sf", "W1"))
    await sold.tell(2, BEIJING)
    await sold.settle()
    assert await sold.answers() == [("told:2", "not_stopped")]
    assert await sold.states() == ["shipped", "cancelled"]
    assert await sold.begin(second) == "gone"
    assert (await sold.axes())[2] == "partly_shipped"


@pytest.mark.parametrize(
    "ship_to",
    [
        SHANGHAI, SHANGHAI | {"address": " 1  century avenue"}, SHANGHAI | {"postcode": "200120"},
        {"name": "L*", "region_code": "310115", "address": "1 C***"}, None,
    ],
)  # fmt: skip
async def test_the_same_told_in_another_way_stops_nothing(sold, ship_to):
    (code,) = await sold.plan({1: 3})
    await sold.tell(2, ship_to, seller_note="a memo")
    assert await sold.settle() == 0
    assert (await sold.blocks(), await sold.begin(code)) == ([], "create")


@pytest.mark.parametrize(
    ("more", "stops"),
    [({"name": "Li*", "phone": "1*"}, 0), ({"consignee_id": "oaid-2"}, 1),
     ({"region_code": "110105"}, 1)],
)  # fmt: skip
async def test_of_an_encrypted_consignee_its_id_and_region_are_compared(sold, more, stops):
    await sold.tell(2, HIDDEN)
    await sold.plan({1: 3})
    await sold.tell(3, HIDDEN | more)
    assert await sold.settle() == stops


async def test_repeats_and_older_versions_ask_nothing_again(sold):
    (code,) = await sold.plan({1: 3})
    await sold.send(code)
    assert await sold.tell(5, BEIJING) == "updated"
    await sold.settle()
    assert await sold.tell(5, BEIJING) == "unchanged"
    assert await sold.tell(4, MOVED) == "stale"
    assert await sold.tell(6, BEIJING, seller_note="a memo") == "updated"
    assert await sold.settle() == 0
    assert await sold.answers() == [("told:5", "")]
    assert await sold.counted("told") == [1]


async def test_a_version_that_comes_again_after_it_was_forgotten_is_another_change(sold):
    """The cell takes it for a first one: what Postgres has by then goes where the former said."""
    young = {"placed_at": datetime.now(UTC).isoformat()}
    await sold.plan({1: 3})
    await sold.tell(2, MOVED)
    await sold.settle()
    for version, ship_to in ((1, SHANGHAI), (2, MOVED)):
        await forget(sold.api, "t")
        assert await sold.tell(version, ship_to, **young) == "created"
        await sold.settle()
    assert await sold.answers() == [(one, "stopped") for one in ("told:2", "told:1", "told:2:3")]
    assert await sold.states() == ["cancelled", "cancelled", "cancelled", "planned"]


async def test_two_changes_of_which_nobody_asked_are_answered_and_the_last_one_holds(sold):
    await sold.plan({1: 3})
    await sold.tell(2, BEIJING)
    await sold.tell(3, MOVED)
    assert await sold.settle() == 1
    assert await sold.revisions() == [("told:2", "refused"), ("told:3", "applied")]
    assert await sold.answers() == [("told:3", "stopped")]
    assert await sold.states() == ["cancelled", "planned"], (
        "it stays in the region it was routed by"
    )
    assert await sold.counted("told", "changed", "refused") == [2, 1, 1]
    assert await sold.blocks() == []


@pytest.mark.parametrize(
    ("second", "third", "again"),
    [(MOVED, SHANGHAI, True), (MOVED, BEIJING, False), (BEIJING, BEYOND, False),
     (BEIJING, MOVED, True)],
)  # fmt: skip
async def test_a_change_before_the_former_is_answered_is_planned_once(sold, second, third, again):
    (code,) = await sold.plan({1: 3})
    await sold.send(code)
    await sold.tell(2, second)
    await sold.settle()
    await sold.tell(3, third)
    await sold.settle()
    assert await sold.answers() == [("told:2", ""), ("told:3", "")]
    assert await sold.begin(code) == "cancel"
    await sold.say(code, "cancelled")
    assert await sold.answers() == [("told:2", "stopped"), ("told:3", "stopped")]
    assert await sold.states() == (["cancelled", "planned"] if again else ["cancelled"])
    assert await sold.committed() == (3 if again else 0)
    assert await sold.blocks() == []
    await certificate(sold.api)


@pytest.mark.parametrize("sent", [True, False])
async def test_what_is_refunded_in_the_same_version_is_not_planned_again(sold, sent):
    first, second = await sold.plan({1: 2}, {1: 1})
    if sent:
        await sold.send(first, second)
    fewer = marketplace.line("A", 3, refunded_quantity=2)
    await sold.tell(2, MOVED, line=fewer)
    await sold.settle()
    for code in (first, second) if sent else ():
        await sold.say(code, "cancelled")
    assert await sold.answers() == [("told:2", "stopped")]
    assert await sold.states() == ["cancelled", "cancelled", "planned"]
    assert await sold.committed() == 1
    assert await sold.begin(f"{sold.order_id}-s3") == "create"
    await certificate(sold.api)


async def test_an_order_that_is_over_before_anybody_asked_is_not_asked_about(sold):
    await sold.plan({1: 3})
    await sold.tell(2, BEIJING)
    gone = marketplace.line("A", 3, refunded_quantity=3)
    await sold.tell(3, BEYOND, "closed", line=gone)
    assert await sold.settle() == 1
    assert (await sold.revisions(), await sold.answers()) == ([("told:2", "refused")], [])
    assert await sold.blocks() == []


async def test_an_order_that_was_delivered_is_left_alone(sold):
    (code,) = await sold.plan({1: 3})
    await sold.send(code)
    await sold.say(code, "shipped", Package("sf", "W1"))
    await sold.tell(2, BEIJING, "delivered")
    assert (await sold.settle(), await sold.blocks()) == (0, [])


async def test_several_settlers_ask_once(sold):
    (code,) = await sold.plan({1: 3})
    await sold.send(code)
    await sold.tell(2, BEIJING)
    await asyncio.gather(*(sold.settle() for _ in range(4)))
    assert await sold.answers() == [("told:2", "")]
    assert len(await sold.told("order.stop_requested")) == 1


async def test_the_block_of_a_person_stays(sold):
    await sold.plan({1: 3})
    await sold.post("blocks", code="address_change", reason="the buyer called")
    await sold.tell(2, BEIJING)
    await sold.settle()
    assert await sold.revisions() == [("told:2", "applied")]
    assert await sold.blocks() == ["address_change"]


async def test_our_own_call_is_still_the_wrong_one(sold):
    assert (await change(sold, BEIJING))[1]["code"] == "wrong_call"


async def test_a_region_that_a_node_refused_is_not_the_one_it_was_routed_by(sold):
    """The node says no to Beijing, then lets go for another street there: it is routed anew."""
    code = await not_let_go(sold)
    await sold.tell(3, {**BEIJING, "address": "another street"})
    await sold.settle()
    await sold.say(code, "cancelled")
    assert await sold.answers() == [("told:2", "not_stopped"), ("told:3", "stopped")]
    assert await sold.states() == ["cancelled"], "it was routed for Shanghai"
