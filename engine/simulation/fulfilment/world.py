"""The everyday shop's world as its operator sets it up: goods, warehouses, carriers, rules, plan.

Nothing of it is a condition in CEL but the rule of review, so that a machine without its library
plays all but the hold.
"""

from typing import Any, Final

from engine.simulation.fulfilment.types import CURRENCY, MALL, MARKET, Good, Place, Site
from engine.simulation.warehouse import Knobs, Server
from engine.simulation.warehouse.languages import CODES

EAST: Final = Site("hangzhou", "杭州仓", "浙江省", "杭州市", "330100", "plain")
NORTH: Final = Site("beijing", "北京仓", "北京市", "北京市", "110000", "qimen")
SITES: Final = (EAST, NORTH)
_BOTH: Final = (EAST.node, NORTH.node)

GOODS: Final = (
    Good("DAY-01", "龙井 250 g", 12_800, 320, 900, _BOTH),
    Good("DAY-02", "盖碗", 6_900, 480, 1_600, _BOTH),
    Good("DAY-03", "茶巾", 1_500, 90, 200, _BOTH),
    Good("DAY-04", "公道杯", 4_500, 350, 1_100, _BOTH),
    Good("DAY-05", "铁壶", 39_900, 1_900, 5_200, _BOTH),
    Good("DAY-06", "普洱饼 357 g", 18_800, 400, 1_300, _BOTH),
    Good("DAY-07", "竹茶盘", 15_900, 2_600, 9_800, (EAST.node,)),
    Good("DAY-08", "景泰蓝茶罐", 26_800, 700, 2_400, (NORTH.node,)),
)
UNITS_EACH: Final = 600

PLACES: Final = (
    Place("浙江省", "宁波市", "330200"), Place("江苏省", "南京市", "320100"),
    Place("上海市", "上海市", "310000"), Place("安徽省", "合肥市", "340100"),
    Place("福建省", "厦门市", "350200"), Place("广东省", "广州市", "440100"),
    Place("北京市", "北京市", "110000"), Place("天津市", "天津市", "120000"),
    Place("河北省", "石家庄市", "130100"), Place("山东省", "济南市", "370100"),
    Place("辽宁省", "沈阳市", "210100"), Place("四川省", "成都市", "510100"),
)  # fmt: skip
FOLLOWED_PLACE: Final = Place("江苏省", "南京市", "320100")
# Both carriers have stopped going there: its orders wait, with their reason.
CUT_OFF: Final = Place("新疆维吾尔自治区", "乌鲁木齐市", "650100")

RISK_MIN: Final = 80
REVIEW: Final[dict[str, Any]] = {
    "rules": [
        {
            "name": "risk",
            "when": f"channel == '{MALL}' && risk >= {RISK_MIN}",
            "reason": f"the risk service says {RISK_MIN} or more",
        }
    ]
}

_EAST_ZONE: Final = ("310000", "320000", "330000", "340000", "350000", "360000")
_NORTH_ZONE: Final = ("110000", "120000", "130000", "140000", "150000", "210000", "370000")
_ZONES: Final = {
    **dict.fromkeys(_EAST_ZONE, "east"), **dict.fromkeys(_NORTH_ZONE, "north"), "*": "far"
}  # fmt: skip
# By service: its document, and first and further kilogram within a zone, between both, beyond.
NEXT_DAY: Final = "next_day"
SERVICES: Final[dict[str, dict[str, Any]]] = {
    "sf-next-day": {
        "carrier": "SF", "tier": NEXT_DAY, "zones": _ZONES,
        "days": {"east": 1, "north": 1, "far": 2}, "divisor": 6_000,
    },
    "yto-standard": {
        "carrier": "YTO", "tier": "standard", "zones": _ZONES,
        "days": {"east": 2, "north": 2, "far": 4}, "divisor": 8_000,
    },
}  # fmt: skip
_PRICES: Final = {
    "sf-next-day": ((1_200, 200), (1_800, 500), (2_300, 1_000)),
    "yto-standard": ((450, 100), (700, 250), (1_000, 500)),
}
_HOME: Final = {"330000": "east", "110000": "north"}

NEAREST_STAGES: Final[list[dict[str, Any]]] = [
    {
        "seq": 1,
        "rules": [
            {
                "seq": 1, "name": "one parcel, the cheapest, then the nearest",
                "assignment": "SINGLE_NODE",
                "scorers": [{"metric": "freight"}, {"metric": "distance"}],
            },
            {
                "seq": 2, "name": "as few parcels as can be", "assignment": "MIN_SPLIT",
                "scorers": [{"metric": "parcels"}, {"metric": "freight"}],
                "on_unfilled": {"do": "PARK", "queue": "UNFILLABLE", "reason": "nobody_can_send"},
            },
        ],
    }
]  # fmt: skip

# One warehouse is quick; the other takes its time to pick, which is when a refund still helps.
QUICK: Final = Knobs(
    accept_ms=(20, 150), pick_ms=(100, 600), pack_ms=(100, 400), ship_ms=(100, 400),
    repeat_callback=0.05, lost_callback=0.03, split_parcels=0.03,
)  # fmt: skip
SLOW: Final = Knobs(
    accept_ms=(20, 150), pick_ms=(2_500, 3_500), pack_ms=(100, 400), ship_ms=(100, 400),
    repeat_callback=0.05, reorder=0.1, cancel_until="packed",
)  # fmt: skip
KNOBS: Final = {EAST.node: QUICK, NORTH.node: SLOW}


def plan_of(mark: str) -> dict[str, Any]:
    """Return the plan of a run, under a name that is its own."""
    return {"plan": f"demo-{mark}", "stages": NEAREST_STAGES}


def node_of(site: Site) -> dict[str, Any]:
    """Return a warehouse as stock knows it."""
    address = {
        "country": "CN", "province": site.province, "city": site.city,
        "region_code": site.region, "address": "物流园 1 号",
    }  # fmt: skip
    return {"name": site.name, "address": address}


def profile_of(site: Site, server: Server) -> dict[str, Any]:
    """Return how a warehouse works and is spoken to."""
    access = server.access(site.language)  # type: ignore[arg-type]  # of two that it speaks
    return {
        "handling": [{"load": 0, "minutes": 120}],
        "cutoffs": {"*": "18:00"},
        "wms": {
            "language": site.language, "url": access.url, "warehouse": access.warehouse,
            "owner": access.owner, "app_key": access.app_key, "customer": access.customer,
            "codes": dict(CODES), "phone": "13900000000", "can_query": access.can_query,
            "cancels_later": access.cancels_later,
        },
    }  # fmt: skip


def card_of(service: str) -> dict[str, Any]:
    """Return what a service costs."""
    near, between, beyond = _PRICES[service]
    lines = []
    for origin, home in _HOME.items():
        for dest in ("east", "north", "far"):
            first, step = near if dest == home else beyond if dest == "far" else between
            lines.append(
                {"origin": origin, "dest": dest, "first_grams": 1_000, "first": first,
                 "step_grams": 1_000, "step": step}
            )  # fmt: skip
    return {
        "service": service, "effective_from": "2026-01-01T00:00:00Z", "currency": CURRENCY,
        "lines": lines,
    }  # fmt: skip


def policy_of(good: Good) -> dict[str, Any]:
    """Return that both shops sell all there is of a SKU, whoever comes first."""
    return {"sku": good.sku, "channels": [{"channel": MALL}, {"channel": MARKET}]}
