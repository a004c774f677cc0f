"""Tries a client that a public generator made of our description; ops/generated-client runs it.

It sells one unit: what is accepted, shown, paid and refused has to come back as the types that the
description promises, and every call of it has to be there.
"""

import importlib
import json  # noqa: TID251 - it runs where the engine is not
import os
import pkgutil
import re
import secrets
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import generated
from generated import AuthenticatedClient
from generated.api.campaigns import get_campaigns_campaign, put_campaigns_campaign
from generated.api.channels import put_channels_channel
from generated.api.orders import get_orders_order_id, post_orders, post_orders_order_id_payments
from generated.api.skus import put_skus_sku
from generated.models import (
    Accepted,
    CampaignFields,
    CampaignSku,
    CampaignSkuQuota,
    CampaignView,
    ChannelFields,
    LineIn,
    Money,
    OrderIn,
    OrderView,
    Paid,
    PaymentIn,
    Problem,
    SkuFields,
)

CALL = re.compile(r"generated\.api\.\w+\.\w+")
METHODS = {"get", "put", "post", "delete"}
WITHIN_S = 20.0
PRICE = Money(amount=100, currency="CNY")


def main() -> None:
    """Fail at the first thing that is otherwise than described."""
    description, url = sys.argv[1:]
    key = os.environ["TIDEGATE_ADMIN_KEY"]  # noqa: TID251 - as below
    print(f"{every_call(Path(description))} calls, all of them generated")
    with AuthenticatedClient(url, token=key) as client:
        sell(client, f"gen-{secrets.token_hex(4)}")
    print("placed, read, paid; sold out is a typed 409")


def every_call(description: Path) -> int:
    """Import all that was generated; return how many calls it has, which is all of them."""
    found = [one.name for one in pkgutil.walk_packages(generated.__path__, "generated.")]
    for name in found:
        importlib.import_module(name)
    paths = json.loads(description.read_bytes())["paths"]
    described = sum(len(METHODS & item.keys()) for item in paths.values())
    calls = sum(CALL.fullmatch(name) is not None for name in found)
    assert calls == described, f"{calls} of {described} calls were generated"
    return calls


def sell(client: AuthenticatedClient, name: str) -> None:
    """Sell the one unit of a campaign, and ask for another one."""
    open_campaign(client, name)
    told = post_orders.sync_detailed(client=client, body=order(name, 1))
    assert (told.status_code, type(told.parsed)) == (202, Accepted), told
    order_id = told.parsed.order_id
    shown = get_orders_order_id.sync(order_id, client=client)
    assert isinstance(shown, OrderView), shown
    assert (shown.order_id, shown.channel, shown.payable.amount) == (order_id, name, 100)
    payment = PaymentIn(payment_id="p1", amount=PRICE)
    paid = post_orders_order_id_payments.sync(order_id, client=client, body=payment)
    assert isinstance(paid, Paid), paid
    assert (paid.order_id, paid.state) == (order_id, "applied")
    refused = post_orders.sync_detailed(client=client, body=order(name, 2))
    assert (refused.status_code, type(refused.parsed)) == (409, Problem), refused
    assert refused.parsed.code == "sold_out"
    unknown = get_orders_order_id.sync(f"{name}-none", client=client)
    assert isinstance(unknown, Problem), unknown
    assert (unknown.status, unknown.code) == (404, "not_found")


def open_campaign(client: AuthenticatedClient, name: str) -> None:
    """Put a campaign with one unit, and wait until it is on sale."""
    put_channels_channel.sync(name, client=client, body=ChannelFields(name="Generated"))
    put_skus_sku.sync(name, client=client, body=SkuFields(name="Generated"))
    now = datetime.now(UTC)  # noqa: TID251 - as above
    fields = CampaignFields(
        name="Generated",
        starts_at=now - timedelta(hours=1),
        ends_at=now + timedelta(hours=1),
        channels=[name],
        skus=[CampaignSku(sku=name, quota=CampaignSkuQuota.from_dict({name: 1}))],
    )
    shown = put_campaigns_campaign.sync(name, client=client, body=fields)
    until = time.monotonic() + WITHIN_S
    while not (isinstance(shown, CampaignView) and shown.published):
        assert time.monotonic() < until, shown
        time.sleep(0.05)
        shown = get_campaigns_campaign.sync(name, client=client)


def order(name: str, n: int) -> OrderIn:
    """Return an order for one unit."""
    line = LineIn(sku=name, quantity=1, unit_price=PRICE)
    return OrderIn(
        channel=name, channel_order_id=f"{name}-{n}", campaign=name, buyer_id="b", lines=[line]
    )


if __name__ == "__main__":
    main()
