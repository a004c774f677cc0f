"""Who brings a parcel, and the word for each that does not; a table over three services."""

import random
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from engine.carriers.rules import choosing, quoting
from engine.carriers.types.services import RateCard, Service, Surcharge
from engine.places.service import daysoff
from engine.places.types.calendars import ALWAYS, Calendar

CHINA = timezone(timedelta(hours=8))
CN = daysoff.of("CN", range(2026, 2027))


def ms(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp() * 1000)


NOW = ms("2026-11-11 10:00")
TODAY = datetime(2026, 11, 11).date().toordinal()  # noqa: DTZ001 - a day
EAST = {"310000": "near", "330000": "near", "": "far"}
AIR = Service("air", "sf", "next_day", EAST, days={"near": 1, "far": 1}, cutoffs={"": 1080})
ROAD = Service("road", "yto", "standard", EAST, days={"near": 2, "far": 4}, cutoffs={"": 1080})
RAIL = Service("rail", "zto", "standard", EAST, days={"near": 2, "far": 4}, cutoffs={"": 1080})


def card(service, first, **more):
    return RateCard("c-" + service, 3, service, 0, 1 << 60, "", "", 1000, first, 1000, 100, **more)


CARDS = quoting.gathered([card("air", 1800), card("road", 600), card("rail", 600)])


def item(units=1, grams=800, **more):
    line = {"units": units, "grams": grams, "cm3": 2_000, "value": 9_900, "tags": frozenset(),
            "service": ""}  # fmt: skip
    return SimpleNamespace(**line | more)


def order(*lines, **more):
    told = {"region": "310104", "mode": "ship", "tier": "", "cod": 0, "insured": 0, "ship_by": 0,
            "deliver_by": 0, "allow": frozenset(), "deny": frozenset()}  # fmt: skip
    return SimpleNamespace(lines=lines or (item(),), **told | more)


def node(**more):
    told = {"node": "HZ", "no": 0, "region": "330110", "calendar": ALWAYS, "handling": ((0, 60),)}
    return SimpleNamespace(**told | more)


def world(*services, **more):
    told = {"services": services or (AIR, ROAD, RAIL), "cards": CARDS, "off": frozenset(),
            "capacity": {}, "load": (0,)}  # fmt: skip
    return SimpleNamespace(**told | more)


def choose(one, where=None, known=None, at=NOW, units=None):
    known = known or world()
    parts = [(line, units or line.units) for line in one.lines]
    found = choosing.choose_service(one, parts, where or node(), known, at)
    names = [service.service for service in known.services]
    taken = names[found.service] if found.service >= 0 else ""
    return taken, found.why, {names[no]: word for no, word in found.reasons}, found


def used(service, orders, limit=None, dim="orders"):
    return {("service", service, TODAY, dim): (orders, limit)}


def but(service, **more):
    """The three, of which one is otherwise."""
    return world(*(one._replace(**more) if one is service else one for one in (AIR, ROAD, RAIL)))


A = frozenset
CASES = [
    # why, order, node, world, taken, by which step, words of the others
    ("cheapest, then by name", order(), None, None,
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("denied", order(deny=A({"rail"})), None, None,
     "road", "cost", {"air": "dearer", "rail": "denied"}),
    ("denied by carrier", order(deny=A({"zto", "yto"})), None, None,
     "air", "only", {"road": "denied", "rail": "denied"}),
    ("allowed", order(allow=A({"air"})), None, None,
     "air", "only", {"road": "not_allowed", "rail": "not_allowed"}),
    ("allowed and denied", order(allow=A({"air"}), deny=A({"air"})), None, None,
     "", "no_service", {"air": "denied", "road": "not_allowed", "rail": "not_allowed"}),
    ("a designation is hard", order(item(service="air")), None, None,
     "air", "only", {"road": "not_designated", "rail": "not_designated"}),
    ("a designated carrier", order(item(service="sf")), None, None,
     "air", "only", {"road": "not_designated", "rail": "not_designated"}),
    ("a designation that is denied", order(item(service="air"), deny=A({"air"})), None, None, "",
     "no_service", {"air": "denied", "road": "not_designated", "rail": "not_designated"}),
    ("designations that contradict", order(item(service="air"), item(service="road")), None, None,
     "", "no_service", dict.fromkeys(("air", "road", "rail"), "not_designated")),
    ("one designation of two lines", order(item(service="air"), item()), None, None,
     "air", "only", {"road": "not_designated", "rail": "not_designated"}),
    ("promised for tomorrow", order(deliver_by=ms("2026-11-12 23:59")), None, None,
     "air", "promise", {"road": "late", "rail": "late"}),
    ("promised for the instant it arrives", order(deliver_by=ms("2026-11-12 20:00")), None, None,
     "air", "promise", {"road": "late", "rail": "late"}),
    ("promised a minute before", order(deliver_by=ms("2026-11-12 19:59")), None, None,
     "air", "promise", {"road": "late", "rail": "late"}),
    ("promised late enough for all", order(deliver_by=ms("2026-11-13 20:00")), None, None,
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("to be sent before any leaves: the earliest", order(ship_by=ms("2026-11-11 12:00")), None,
     None, "air", "promise", {"road": "late", "rail": "late"}),
    ("to be sent when they leave", order(ship_by=ms("2026-11-11 18:00")), None, None,
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("a tier that is asked for", order(tier="next_day"), None, None,
     "air", "only", {"road": "tier", "rail": "tier"}),
    ("a faster one may stand for it", order(tier="two_day"), None, None,
     "air", "only", {"road": "tier", "rail": "tier"}),
    ("a slower one may not", order(tier="same_day"), None, None,
     "", "no_service", dict.fromkeys(("air", "road", "rail"), "tier")),
    ("cold chain stands for itself", order(tier="cold"), None, but(ROAD, tier="cold"),
     "road", "only", {"air": "tier", "rail": "tier"}),
    ("and for nothing else", order(), None, but(ROAD, tier="cold"),
     "rail", "cost", {"air": "dearer", "road": "tier"}),
    ("instant by its mode", order(mode="instant"), None, but(AIR, tier="instant"),
     "air", "only", {"road": "tier", "rail": "tier"}),
    ("instant is not for others", order(), None, but(RAIL, tier="instant"),
     "road", "cost", {"air": "dearer", "rail": "tier"}),
    ("disabled", order(), None, but(RAIL, enabled=False),
     "road", "cost", {"air": "dearer", "rail": "disabled"}),
    ("does not collect here", order(), None, but(RAIL, nodes=A({"GZ"})),
     "road", "cost", {"air": "dearer", "rail": "not_here"}),
    ("switched off for the district", order(), None, world(off=A({("rail", "310104")})),
     "road", "cost", {"air": "dearer", "rail": "off"}),
    ("switched off for the city", order(), None, world(off=A({("rail", "310100")})),
     "road", "cost", {"air": "dearer", "rail": "off"}),
    ("switched off for the province", order(), None, world(off=A({("rail", "310000")})),
     "road", "cost", {"air": "dearer", "rail": "off"}),
    ("switched off for another district", order(), None, world(off=A({("rail", "310105")})),
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("switched off everywhere", order(), None, world(off=A({("rail", "")})),
     "road", "cost", {"air": "dearer", "rail": "off"}),
    ("does not serve it", order(region="650100"), None, but(RAIL, zones={"310000": "near"}),
     "road", "cost", {"air": "dearer", "rail": "no_zone"}),
    ("has no days for its zone", order(), None, but(RAIL, days={"far": 4}),
     "road", "cost", {"air": "dearer", "rail": "no_zone"}),
    ("at its heaviest", order(), None, but(RAIL, grams=(0, 800)),
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("too heavy by a gram", order(), None, but(RAIL, grams=(0, 799)),
     "road", "cost", {"air": "dearer", "rail": "too_heavy"}),
    ("too light by a gram", order(), None, but(RAIL, grams=(801, 9000)),
     "road", "cost", {"air": "dearer", "rail": "too_light"}),
    ("too big", order(), None, but(RAIL, cm3_max=1999),
     "road", "cost", {"air": "dearer", "rail": "too_big"}),
    ("as big as may be", order(), None, but(RAIL, cm3_max=2000),
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("no cash on delivery", order(cod=9900), None, but(RAIL, cod=False),
     "road", "cost", {"air": "dearer", "rail": "cod"}),
    ("none is asked", order(), None, but(RAIL, cod=False),
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("insured too high", order(insured=9901), None, but(RAIL, insured_max=9900),
     "road", "cost", {"air": "dearer", "rail": "insurance"}),
    ("insured as high as may be", order(insured=9900), None, but(RAIL, insured_max=9900),
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("what it does not take", order(item(tags=A({"gas"}))), None, but(RAIL, tags_not=A({"gas"})),
     "road", "cost", {"air": "dearer", "rail": "tag"}),
    ("no rate", order(), None, world(cards=quoting.gathered([card("air", 1800)])),
     "air", "only", {"road": "no_rate", "rail": "no_rate"}),
    ("full", order(), None, world(capacity=used("rail", 500, 500)),
     "road", "cost", {"air": "dearer", "rail": "full"}),
    ("the last one", order(), None, world(capacity=used("rail", 499, 500)),
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("takes none", order(), None, world(capacity=used("rail", 0, 0)),
     "road", "cost", {"air": "dearer", "rail": "full"}),
    ("no limit", order(), None, world(capacity=used("rail", 10**9)),
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("full by weight", order(), None, world(capacity=used("rail", 201, 1000, "grams")),
     "road", "cost", {"air": "dearer", "rail": "full"}),
    ("full by weight but for it", order(), None, world(capacity=used("rail", 200, 1000, "grams")),
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("a better score", order(), None, but(ROAD, score=9),
     "road", "scorecard", {"air": "dearer", "rail": "scorecard"}),
    ("cost before score", order(), None, but(AIR, score=99),
     "rail", "id", {"air": "dearer", "road": "id"}),
    ("closed for ever", order(), node(calendar=Calendar(week=((),) * 7)), None,
     "", "no_service", dict.fromkeys(("air", "road", "rail"), "closed")),
    ("pauses for ever", order(), None, but(RAIL, pauses=A(range(TODAY, TODAY + 400))),
     "road", "cost", {"air": "dearer", "rail": "not_running"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("why", "one", "where", "known", "taken", "by", "words"), CASES, ids=lambda one: str(one)[:40]
)
def test_who_brings_it(why, one, where, known, taken, by, words):  # noqa: PLR0913, PLR0917
    assert choose(one, where, known)[:3] == (taken, by, words), why


def test_a_share_of_the_day_is_kept_where_all_else_is_equal():
    """60 to 40: whoever is furthest behind is next; the counts of a day come to the shares."""
    capacity, services = {}, (ROAD._replace(ratio=60), RAIL._replace(ratio=40))
    taken = []
    for _ in range(100):
        name, by, words, _ = choose(order(), known=world(*services, capacity=capacity))
        taken.append(name)
        assert by in {"ratio", "id"}
        assert set(words.values()) <= {"ratio", "id"}
        key = ("service", name, TODAY, "orders")
        capacity[key] = (capacity.get(key, (0, None))[0] + 1, None)
    assert (taken.count("road"), taken.count("rail")) == (60, 40)
    assert all(abs(taken[:n].count("road") - 0.6 * n) <= 1 for n in range(100))


def test_a_choice_says_when_for_how_much_by_which_card_and_what_it_uses():
    _, _, _, found = choose(order(item(units=4, grams=5_000)), units=2)
    assert (found.quote.card, found.quote.version) == ("c-rail", 3)
    assert (found.grams, found.quote.billed_g, found.quote.price) == (2_500, 2_500, 800)
    assert found.ship_at == ms("2026-11-11 18:00")
    assert found.deliver_at == ms("2026-11-13 20:00")
    assert found.slots == (
        ("service", "rail", TODAY, "orders", 1), ("service", "rail", TODAY, "grams", 2_500),
    )  # fmt: skip


def test_load_and_cut_off_of_the_node_decide_the_day():
    busy = node(handling=((0, 60), (100, 600)))
    _, _, _, found = choose(order(), busy, world(load=(100,)))
    assert found.ship_at == ms("2026-11-12 18:00")
    early = ROAD._replace(cutoffs={"": 1080, "HZ": 600})
    _, _, _, found = choose(order(allow=A({"road"})), known=world(early))
    assert found.ship_at == ms("2026-11-12 10:00")
    assert found.slots[0] == ("service", "road", TODAY + 1, "orders", 1)


def test_the_card_of_the_day_on_which_it_leaves_counts():
    later = quoting.gathered([card("road", 600), card("road", 700)._replace(
        version=4, since=ms("2026-11-12 00:00"))])  # fmt: skip
    known = world(ROAD, cards=later)
    assert choose(order(), known=known)[3].quote.version == 3
    assert choose(order(), known=known, at=ms("2026-11-11 17:01"))[3].quote.version == 4


def test_what_is_collected_and_insured_is_shared_by_value():
    """An order of 100.00 and 200.00 in two parcels: a third and two thirds of the insurance."""
    lines = item(value=10_000), item(value=20_000)
    one = order(*lines, insured=10_000)
    known = but(RAIL, insured_max=3_334)
    parts = [choosing.choose_service(one, [(line, 1)], node(), known, NOW) for line in lines]
    assert [known.services[found.service].service for found in parts] == ["rail", "road"]


def test_the_order_of_services_changes_nothing():
    lines = [but(ROAD, score=9), world(), but(RAIL, enabled=False)]
    for known in lines:
        taken = choose(order(), known=known)[:3]
        known.services = known.services[::-1]
        assert choose(order(), known=known)[:3] == taken


def test_a_parcel_over_national_day_is_promised_for_after_it():
    office = Calendar(week=(((540, 1080),),) * 5 + ((), ()), days=dict.fromkeys(CN.off, ()),
                      holidays=CN)  # fmt: skip
    slow = ROAD._replace(workdays=True)
    at = ms("2026-09-30 17:30")
    found = choose(order(), node(calendar=office), world(slow), at)[3]
    assert found.ship_at == ms("2026-10-08 18:00")
    assert found.deliver_at == ms("2026-10-10 20:00"), "a Saturday that is worked instead"


def test_the_quick_way_takes_what_the_told_way_takes():
    rnd = random.Random(4)
    kinds = ["standard", "standard", "next_day", "cold", "instant"]
    taken = 0
    for _ in range(400):
        services = [
            Service(
                f"s{n}", f"c{n % 2}", rnd.choice(kinds), EAST, (0, rnd.choice([900, 9_000])),
                rnd.random() < 0.7, rnd.choice([0, 9_000, 1 << 40]),
                A(rnd.choice([(), ("gas",)])), rnd.choice([0, 6_000]),
                {"": rnd.choice([-1, 600, 1_080])}, {"near": rnd.randrange(3), "far": 4},
                score=rnd.randrange(2), ratio=rnd.choice([0, 40]), workdays=rnd.random() < 0.3,
            )
            for n in range(5)
        ]  # fmt: skip
        fees = (Surcharge("cod", bp=100, least=300), Surcharge("oversize", bp=900, over_g=1_500),
                Surcharge("remote", fixed=500, regions=A({"310000"})))  # fmt: skip
        lines = [
            card(f"s{n}", rnd.choice([600, 700]), surcharges=rnd.choice([(), fees]), tax_bp=600)
            for n in range(5) if rnd.random() < 0.9
        ]  # fmt: skip
        full = {
            ("service", f"s{n}", TODAY, "orders"): (rnd.randrange(3), rnd.choice([None, 2]))
            for n in range(5)
        }
        known = world(*services, cards=quoting.gathered(lines), capacity=full,
                      off=A(rnd.choice([(), (("s1", "310000"),)])))  # fmt: skip
        one = order(
            item(2, rnd.randrange(4_000), tags=A(rnd.choice([(), ("gas",)]))), item(),
            cod=rnd.choice([0, 5_000]), insured=rnd.choice([0, 9_000]),
            deliver_by=rnd.choice([0, ms("2026-11-12 23:00")]), deny=A(rnd.choice([(), ("c1",)])),
        )  # fmt: skip
        parcel = choosing.parcel_of([(line, line.units) for line in one.lines])
        told = choosing.choose(one, parcel, node(), known, NOW)
        of = choosing.standing(one, parcel, known)
        found = choosing.lanes(of, one.region, node(), known, NOW, {}, [])
        lane, price, why = choosing.best(found, one, parcel, known.capacity, ())
        assert (lane.no if lane else -1) == told.service
        assert (price, bool(why)) == (told.quote.price, told.service < 0)
        taken += told.service >= 0
    assert taken > 100


def test_what_weight_and_promise_decide_is_what_all_decides():
    rnd = random.Random(7)
    quick = 0
    for _ in range(400):
        services = [
            ROAD._replace(
                service=f"s{n}", cm3_max=rnd.choice([0, 0, 2_000]), divisor=rnd.choice([0, 6_000]),
                grams=(rnd.choice([0, 500]), rnd.choice([1_000, 40_000])),
                days={"near": n + 1, "far": 9}, score=rnd.randrange(3),
            )
            for n in range(4)
        ]  # fmt: skip
        lines = [
            card(f"s{n}", rnd.choice([600, 640, 700]))._replace(
                step=rnd.choice([0, 90, 100]), step_g=rnd.choice([0, 500, 1_000]),
                least=rnd.choice([0, 800]), tax_bp=rnd.choice([0] * 9 + [600]),
                rounding=rnd.choice(["CEIL_STEP"] * 9 + ["HALF"]),
            )
            for n in range(4)
        ]  # fmt: skip
        known = world(*services, cards=quoting.gathered(lines))
        one = order(
            item(2, rnd.randrange(8_000)), deliver_by=rnd.choice([0, ms("2026-11-12 23:00")])
        )
        parcel = choosing.parcel_of([(line, line.units) for line in one.lines])
        of = choosing.standing(one, parcel, known)
        found = choosing.lanes(of, one.region, node(), known, NOW, {}, [])
        lane, price = choosing.cheapest(found, one, parcel)
        if lane is not None:
            assert (lane, price, "") == choosing.best(found, one, parcel, known.capacity, ())
            quick += 1
    assert 100 < quick < 390, "what has a tie, or more than weight, is asked of `best`"


def test_what_is_used_up_gives_way_to_the_next():
    known, one = world(), order()
    parcel = choosing.parcel_of([(one.lines[0], 1)])
    of = choosing.standing(one, parcel, known)
    found, full, names = choosing.lanes(of, one.region, node(), known, NOW, {}, []), set(), []
    while True:
        lane, _, why = choosing.best(found, one, parcel, {}, full)
        if lane is None:
            break
        names.append(lane.service.service)
        full.add((lane.no, lane.day))
    assert (names, why) == (["rail", "road", "air"], "full")
