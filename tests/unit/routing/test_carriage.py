"""What routing asks of carriers is what carriers choose, whatever was kept of earlier questions."""

import random
from datetime import UTC, datetime

from engine.carriers.rules import choosing, quoting
from engine.carriers.types.services import RateCard, Service
from engine.places.rules.regions import Regions
from engine.places.service import daysoff
from engine.places.types.calendars import ALWAYS, NEVER, Calendar
from engine.routing.rules.carriage import Freight
from engine.routing.types.core import Line, Moment, Node, Order, Snapshot

NOW = round(datetime(2026, 9, 29, 2, tzinfo=UTC).timestamp() * 1000)
CITIES = ["310104", "330110", "440106", "650100", "540100"]
CN = daysoff.of("CN", range(2026, 2028))
OFFICE = Calendar(week=(((540, 1080),),) * 5 + ((), ()), holidays=CN)


def world(rnd):
    services = tuple(
        Service(
            f"s{n}", f"c{n % 2}", rnd.choice(["standard", "next_day", "cold", "instant"]),
            {"310000": "near", "": "far"}, (0, rnd.choice([900, 5_000, 50_000])),
            rnd.random() < 0.7,
            rnd.choice([0, 10_000, 1 << 40]), frozenset(rnd.choice([(), ("gas",)])),
            rnd.choice([0, 6_000]), {"": rnd.choice([-1, 600, 1_080])},
            {"near": rnd.randrange(3), "far": rnd.randrange(1, 6)}, score=rnd.randrange(2),
            ratio=rnd.choice([0, 40]), workdays=rnd.random() < 0.3,
        )
        for n in range(4)
    )  # fmt: skip
    cards = quoting.gathered([
        RateCard(f"k{n}", 1, f"s{n}", 0, 1 << 60, "", "", 1000, rnd.randrange(500, 900), 1000, 100)
        for n in range(4) if rnd.random() < 0.9
    ])  # fmt: skip
    nodes = tuple(
        Node(f"n{no}", no, region=rnd.choice(CITIES), calendar=rnd.choice([ALWAYS, OFFICE, None]),
             handling=((0, rnd.randrange(600)), (5, 900)))
        for no in range(5)
    )  # fmt: skip
    off = frozenset(rnd.sample([("s0", "310000"), ("s1", ""), ("s2", "650100")], rnd.randrange(3)))
    capacity = {}
    load = tuple(rnd.randrange(10) for _ in nodes)
    index = {one.node: one.no for one in nodes}
    return Snapshot(
        nodes, index, {}, {}, capacity, load, services, cards, off, Regions([]), {}
    )  # fmt: skip


def order(rnd):
    lines = tuple(
        Line(n, f"k{n}", "g", 2, rnd.randrange(4_000), rnd.randrange(9_000), rnd.randrange(9_000),
             frozenset(rnd.choice([(), (), ("gas",)])),
             service=rnd.choice(["", "", "", "s1", "c0"]))
        for n in range(rnd.randrange(1, 4))
    )  # fmt: skip
    return Order(
        "o", "main", "c", (), rnd.choice(CITIES), None, None, lines,
        mode=rnd.choice(["ship", "ship", "instant"]), tier=rnd.choice(["", "", "next_day", "cold"]),
        cod=rnd.choice([0, 5_000]), insured=rnd.choice([0, 9_000]),
        deliver_by=rnd.choice([0, NOW + 2 * 86_400_000]),
        allow=frozenset(rnd.choice([(), (), ("s1", "s2", "c0")])),
        deny=frozenset(rnd.choice([(), (), ("s3",)])),
    )  # fmt: skip


def whole(one):
    return choosing.parcel_of([(line, line.units) for line in one.lines])


def test_an_offer_is_what_carriers_choose_and_reach_says_who_could():
    rnd, freight, offered = random.Random(11), Freight(), 0
    for _ in range(60):
        snap = world(rnd)
        for _ in range(20):
            one, now = order(rnd), NOW + rnd.randrange(3) * 60_000
            parcel, moment = whole(one), Moment(snap, now, {})
            reach = freight.reach(one, parcel, moment)
            for node in snap.nodes:
                told = freight.offer(one, node.no, parcel, moment)
                wanted = choosing.choose(one, parcel, node, snap, now)
                assert (told.service, told.quote) == (wanted.service, wanted.quote.price)
                assert bool(told.why) == (wanted.service < 0)
                if wanted.service < 0:
                    continue
                offered += 1
                assert (told.ship_at, told.deliver_at) == (wanted.ship_at, wanted.deliver_at)
                assert (told.card, told.card_version) == (wanted.quote.card, wanted.quote.version)
                assert told.day == wanted.slots[0][2]
                assert reach.served >> node.no & 1
                assert reach.deliver_at[node.no] <= told.deliver_at
    assert offered > 500


def test_a_service_without_room_gives_way_to_the_next_best():
    rnd = random.Random(3)
    snap, one = world(rnd), order(random.Random(1))
    one = one._replace(allow=frozenset(), deny=frozenset(), tier="", mode="ship", lines=(
        Line(1, "k", "g", 1, 500),))  # fmt: skip
    freight, parcel, full, seen = Freight(), whole(one), frozenset(), []
    while True:
        told = freight.offer(one, 0, parcel, Moment(snap, NOW, {}, full))
        if told.why:
            break
        seen.append(told.quote)
        full |= {(told.service, told.day)}
    assert len(seen) >= 2
    assert told.why == "full"


def test_what_is_fetched_leaves_when_it_is_ready():
    snap = world(random.Random(3))
    one = order(random.Random(1))._replace(mode="pickup")
    reach = Freight().reach(one, whole(one), Moment(snap, NOW, {}))
    assert reach.open == reach.served == (1 << len(snap.nodes)) - 1
    assert reach.ship_at == reach.deliver_at
    assert all(at < NEVER for at in reach.ship_at)


def test_what_is_kept_of_a_minute_does_not_grow_with_the_number_of_nodes():
    """Of 1,000 nodes and 201 kinds as many lanes are kept as of 20 nodes and 10,000 kinds."""
    snap = world(random.Random(3))
    nodes = tuple(snap.nodes[0]._replace(node=f"n{no:04}", no=no) for no in range(1_000))
    snap = snap._replace(nodes=nodes, index={one.node: one.no for one in nodes},
                         load=(0,) * 1_000, services=())  # fmt: skip
    freight, one = Freight(), order(random.Random(1))._replace(mode="ship")
    for n in range(201):
        asked = one._replace(region=f"{310_000 + n}")
        freight.reach(asked, whole(asked), Moment(snap, NOW, {}))
    lanes = freight._lanes  # noqa: SLF001 - nothing else tells how much is kept
    assert sum(len(kept) for kept in lanes.values()) <= 200_000


def test_what_was_asked_on_the_full_minute_changes_no_answer_after_it():
    rnd, differed = random.Random(5), 0
    for _ in range(40):
        snap, one = world(rnd), order(rnd)
        parcel, freight = whole(one), Freight()
        freight.reach(one, parcel, Moment(snap, NOW, {}))
        for now in (NOW + 1, NOW + 59_999, NOW + 60_000, NOW + 60_001):
            moment = Moment(snap, now, {})
            assert freight.reach(one, parcel, moment) == Freight().reach(one, parcel, moment)
            for node in snap.nodes:
                told = freight.offer(one, node.no, parcel, moment)
                assert told == Freight().offer(one, node.no, parcel, moment)
                differed += told != Freight().offer(one, node.no, parcel, Moment(snap, NOW, {}))
    assert differed
