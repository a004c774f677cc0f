"""What a condition can ask of an order, and of a node.

Flat and typed: a name is one field, and a condition that asks for anything else is refused where
it is written. `facts` of an order are in this order everywhere, also in rows that wait: a field is
added at the end, and none is taken away.
"""

from typing import Final

from engine.kernel.expressions.types import Schema, flag, number, text, texts
from engine.kernel.limits import AMOUNT_MAX, QUANTITY_MAX

TAGS_MAX: Final = 64  # different ones of all lines of an order
LINES_MAX: Final = 400  # components of bundles included
UNITS_MAX: Final = LINES_MAX * QUANTITY_MAX

# Money in minor units, weight in grams, volume in cm3. `hour` and `weekday` (1 is Monday) are of
# the instant of payment in the channel's zone; `tags` are those of the order and of all its lines.
ORDER_SCHEMA: Final = Schema(
    text("channel"),
    text("campaign"),
    text("order_kind"),
    text("tier"),
    number("priority"),
    number("total", AMOUNT_MAX),
    number("units", UNITS_MAX),
    number("lines", LINES_MAX),
    number("grams"),
    number("cm3"),
    text("region"),
    text("province"),
    texts("tags", TAGS_MAX),
    text("buyer_tier"),
    number("cod", AMOUNT_MAX),
    number("insured", AMOUNT_MAX),
    text("fulfil_mode"),
    number("hour", 23),
    number("weekday", 7),
    flag("has_note"),
    flag("remote"),
    texts("skus", LINES_MAX),
    texts("categories", LINES_MAX),
    texts("brands", LINES_MAX),
    text("owner"),
    number("hops"),
)

NODE_SCHEMA: Final = Schema(
    text("node"),
    text("kind"),
    text("group"),
    text("region"),
    text("province"),
    texts("tags", TAGS_MAX),
    texts("modes", TAGS_MAX),
    number("sequence"),
    number("pick_cost", AMOUNT_MAX),
)
