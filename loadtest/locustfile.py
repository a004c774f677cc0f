r"""A peak for Locust: buyers who order, some of them again, and most of them pay.

    TIDEGATE_ADMIN_KEY=peak-admin-key-01 .venv/bin/tidegate up --ephemeral   # in another terminal
    TIDEGATE_ADMIN_KEY=peak-admin-key-01 .venv/bin/locust -f loadtest/locustfile.py \
        --headless -u 200 -r 50 -t 60s -H http://127.0.0.1:8080
    .venv/bin/tidegate verify                                              # nothing sold twice

Locust shows how an engine feels to people who wait for their answers. It costs more CPU a request
than the engine does; for what the engine costs there is `tidegate bench`.
"""

import os
import random
import uuid
from http import HTTPStatus
from typing import Any

from locust import FastHttpUser, constant_pacing, events, task
from locust.env import Environment

SALE = f"locust-{uuid.uuid4().hex[:8]}"
SKUS = [f"LOCUST-{n}" for n in range(20)]
UNITS = int(os.environ.get("LOCUST_UNITS", "20000"))  # of each SKU
KEY = {"Authorization": f"Bearer {os.environ['TIDEGATE_ADMIN_KEY']}"}
AGAIN, PAYING = 0.05, 0.8  # of the buyers
PRICE = {"amount": 9_900, "currency": "CNY"}


@events.test_start.add_listener
def open_sale(environment: Environment, **_more: object) -> None:
    """Make the shop, its SKUs and a campaign of this run's own."""
    documents = {
        "channels/locust": {"name": "Locust"},
        **{f"skus/{sku}": {"name": sku} for sku in SKUS},
        f"campaigns/{SALE}": {
            "name": SALE, "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2036-01-01T00:00:00Z",
            "skus": [
                {"sku": sku, "quota": {"locust": UNITS}, "per_buyer_limit": 5} for sku in SKUS
            ],
        },
    }  # fmt: skip
    Buyer.host = environment.host
    client = Buyer(environment).client
    for path, document in documents.items():
        answer = client.put(f"/v1/{path}", json=document, headers=KEY, name="open the sale")
        assert answer.status_code in {200, 201}, answer.text


class Buyer(FastHttpUser):
    """One buyer a second and user: orders, now and then twice, and pays four times in five."""

    wait_time = constant_pacing(1)

    @task
    def buy(self) -> None:
        """Place an order; to be refused for stock is a right answer."""
        order = {
            "channel": "locust", "channel_order_id": uuid.uuid4().hex, "campaign": SALE,
            "buyer_id": uuid.uuid4().hex,
            "lines": [{"sku": random.choice(SKUS), "quantity": 1, "unit_price": PRICE}],
        }  # fmt: skip
        told = self._order(order)
        if told is None:
            return
        if random.random() < AGAIN:
            again = self._order(order, name="order again")
            assert again is None or again["order_id"] == told["order_id"]
        if random.random() < PAYING:
            body = {"payment_id": "p", "amount": told["payable"], "method": "alipay"}
            path = f"/v1/orders/{told['order_id']}/payments"
            self.client.post(path, json=body, headers=KEY, name="pay")

    def _order(self, order: dict[str, Any], name: str = "order") -> dict[str, Any] | None:
        with self.client.post(
            "/v1/orders", json=order, headers=KEY, name=name, catch_response=True
        ) as answer:
            if answer.status_code in {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED}:
                told: dict[str, Any] = answer.json()
                return told
            if answer.status_code == HTTPStatus.CONFLICT:
                answer.success()
            return None
