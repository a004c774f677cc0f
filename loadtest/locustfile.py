r"""A peak for Locust: buyers who order, some of them again, and most of them pay.

    TIDEGATE_ADMIN_KEY=peak-admin-key-01 .venv/bin/tidegate up --ephemeral   # in another terminal
    TIDEGATE_ADMIN_KEY=peak-admin-key-01 .venv/bin/locust -f loadtest/locustfile.py \
        --headless -u 200 -r 50 -t 60s -H http://127.0.0.1:8080
    .venv/bin/tidegate verify                                              # nothing sold twice

With LOCUST_CURVE=spike the number of users follows the curve of that scenario (scenarios.toml), an
order a second and user; -u, -r and -t are then not needed, and LOCUST_SECONDS says how long it is.

Locust shows how an engine feels to people who wait for their answers: its users are a closed loop,
and a stalled engine is sent less. Where orders must come whoever waits, with a fault in the middle
and a verdict at the end, there is `tidegate drill run`; for what it costs, `tidegate bench`.
"""

import os
import random
import uuid
from http import HTTPStatus
from typing import Any

from locust import FastHttpUser, LoadTestShape, constant_pacing, events, task
from locust.env import Environment

from engine.simulation.drill import scenarios

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


if curve_of := os.environ.get("LOCUST_CURVE"):
    SCENARIO = scenarios.scaled(
        scenarios.load(curve_of),
        rate=None,
        seconds=float(os.environ.get("LOCUST_SECONDS", "0")) or None,
    )

    class Curved(LoadTestShape):
        """As many users as orders a second are due; Locust asks once a second."""

        def tick(self) -> tuple[int, float] | None:
            """Return how many users there should be now, and how fast to start them."""
            now = self.get_run_time()
            if now > SCENARIO.seconds:
                return None
            users = max(1, round(SCENARIO.curve.rate(now)))
            return users, float(max(10, users))
