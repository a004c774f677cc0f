"""What is decided of webhooks: signatures, addresses, waits, filters, and what is told."""

import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from engine.app import OPERATIONS, document
from engine.kernel.clock import rfc3339
from engine.webhooks.rules import events, filters, retrying, signing, targets
from engine.webhooks.service import describing
from engine.webhooks.types.webhooks import About, Answer, Happened

AT = datetime(2026, 11, 11, tzinfo=UTC)
KIND = re.compile(r'"((?:order|payment|shipment|parcel|ack|hold|stock|carrier|plan)\.[a-z_]+)"')
# What stays inside: of our own work, or told by another event.
INSIDE = {
    "ack.retried", "order.retried", "shipment.intercept_asked", "shipment.reject_asked",
    "shipment.reject_refused",
}  # fmt: skip


def test_the_published_vector():
    """Of the specification's own libraries."""
    key = signing.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signing.signatures(
        [key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_official_library_takes_each_of_several_secrets():
    keys = [bytes(range(n, n + 32)) for n in (0, 50)]
    at_s = int(datetime.now(UTC).timestamp())
    body = '{"type": "x", "name": "收件"}'
    headers = {
        "webhook-id": "evt_1", "webhook-timestamp": str(at_s),
        "webhook-signature": signing.signatures(keys, "evt_1", at_s, body.encode()),
    }  # fmt: skip
    for key in keys:
        assert Webhook(signing.text_of(key)).verify(body, headers)["type"] == "x"
    with pytest.raises(Exception, match="signature"):
        Webhook(signing.text_of(bytes(32))).verify(body, headers)


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.9.9.9", "169.254.169.254",
        "0.0.0.1", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1",
        "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::",
        "2001:0:7f00:1::", "64:ff9b:1::a00:1", "fec0::1", "100::1", "what",
    ],
)  # fmt: skip
def test_an_address_that_nobody_outside_has_is_refused(address):
    assert targets.is_forbidden(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07::1"])
def test_a_public_address_is_not(address):
    assert not targets.is_forbidden(address)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("https://example.com/hook", ""),
        ("http://example.com/hook", "TIDEGATE_PLAIN_HTTP_HOSTS"),
        ("http://plain.example/hook", ""),
        ("http://here.example/hook", "TIDEGATE_PLAIN"),
        ("https://here.example/hook", ""),
        ("https://10.0.0.9/", ""),
        ("https://10.0.0.8/", "TIDEGATE_WEBHOOK_PRIVATE_HOSTS"),
        ("http://127.0.0.1/", "https"),
        ("https://LOCALHOST./", "TIDEGATE_WEBHOOK_PRIVATE_HOSTS"),
        ("https://[::1]/", "TIDEGATE_WEBHOOK_PRIVATE_HOSTS"),
        ("https://u:p@example.com/", "user name"),
        ("https://example.com/#x", "fragment"),
        ("https://example.com:0/", "address"),
        ("https://exa mple.com/", "address"),
        ("https://example.com/" + "x" * 2_048, "characters"),
    ],
)
def test_where_webhooks_may_go(url, word):
    found = targets.fault(url, {"plain.example"}, {"10.0.0.9", "here.example"})
    assert (word in found) if word else not found


def test_waits_grow_over_three_days_and_end():
    waits = [retrying.wait_s(n, 0.5) for n in range(1, len(retrying.WAITS_S) + 1)]
    assert waits[:6] == [5, 60, 300, 1_800, 7_200, 18_000]
    assert sum(waits) > retrying.DISABLED_AFTER_S
    assert retrying.wait_s(len(waits) + 1, 0.5) is None
    assert retrying.wait_s(1, 0.0) == 4
    assert retrying.wait_s(1, 1.0) == pytest.approx(6)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0), ("120", 120), (" 7 ", 7), ("999999999999", 3_600), ("-1", 0), ("soon", 0),
        ("Wed, 11 Nov 2026 00:01:00 GMT", 60), ("Wed, 11 Nov 2020 00:01:00 GMT", 0), ("٣", 0),
    ],
)  # fmt: skip
def test_retry_after(header, seconds):
    assert retrying.retry_after_s(header, int(AT.timestamp() * 1_000)) == seconds


def test_a_circuit_opens_by_silence_sooner_than_by_refusals():
    assert retrying.is_open(5 * retrying.weight_of(0))
    assert retrying.is_open(5 * retrying.weight_of(503))
    assert not retrying.is_open(4 * retrying.weight_of(503))
    assert not retrying.is_open(49 * retrying.weight_of(422))
    waits = [retrying.probe_s(50 + 10 * n, 0) for n in range(12)]
    assert waits[:3] == [5, 10, 20]
    assert waits[-1] == 600


def test_answers_have_words():
    assert [Answer(status, 0).outcome for status in (200, 204, 299, 301, 404, 410, 500, 0)] == [
        "delivered", "delivered", "delivered", "failed", "failed", "gone", "failed", "failed",
    ]  # fmt: skip
    assert Answer(503, 0).cause == "http_503"
    assert Answer(0, 0, "timeout").cause == "timeout"


def as_regex(like):
    """Return what LIKE looks for."""
    words = {"%": ".*", "_": "."}
    parts = re.findall(r"\\(.)|(.)", like)
    return "".join(re.escape(kept) if kept else words.get(c, re.escape(c)) for kept, c in parts)


@pytest.mark.parametrize(
    ("types", "name", "wanted"),
    [
        ([], "order.paid", True),
        (["*"], "order.paid", True),
        (["order.*"], "order.paid", True),
        (["order.*"], "orders.paid", False),
        (["order.paid"], "order.paid", True),
        (["order.lines_cancelled"], "order.linesxcancelled", False),
        (["stock.*", "order.paid"], "order.expired", False),
    ],
)
def test_filters(types, name, wanted):
    assert filters.matches(types, name) is wanted
    as_postgres = [as_regex(one) for one in filters.patterns(types)]
    assert any(re.fullmatch(one, name) for one in as_postgres) is wanted


def test_every_event_that_is_written_is_told_or_stays_inside_on_purpose():
    root = Path(events.__file__).parents[2]
    written = set()
    for path in root.rglob("*.py"):
        if not {"webhooks", "simulation"} & set(path.relative_to(root).parts):
            written |= set(KIND.findall(path.read_text(encoding="utf-8")))
    ours = {one for one in written if one in events.KINDS}
    missing = written - ours - INSIDE - {"order.cancel", "order.shipped_twice"}
    assert not missing, missing
    assert len(ours) > 30


def test_only_fields_of_its_struct_leave():
    about = About("o", "mall", "T1")
    told = events.message_of(
        Happened(7, AT, "order.blocked", {"code": "manual", "reason": "call 138", "x": 1}, about)
    )
    assert told is not None
    assert told.message_id == f"evt_7_{int(AT.timestamp() * 1_000):x}"
    assert told.key == "o"
    body = msgspec.json.decode(told.body)
    assert body["timestamp"] == rfc3339(int(AT.timestamp() * 1_000))
    assert body["data"] == {
        "order_id": "o", "channel": "mall", "channel_order_id": "T1", "code": "manual",
        "line_id": "", "until": None,
    }  # fmt: skip
    odd = events.message_of(Happened(8, AT, "order.paid", {"amount": {"so": 1}}, about))
    assert odd is not None
    assert msgspec.json.decode(odd.body)["data"] == about._asdict()
    assert events.message_of(Happened(9, AT, "order.retried", {}, about)) is None
    alert = events.message_of(Happened(9, AT, "stock_alert", {"sku": "tea", "kind": "low"}, None))
    assert alert is not None
    assert (alert.type, alert.key) == ("stock.alert", "tea")


def test_an_address_or_a_phone_has_no_field():
    for one in events.TYPES.values():
        names = set(one.payload.__struct_fields__)
        assert not names & {"ship_to", "phone", "name", "address", "buyer_id", "note", "text"}, one


def references(node):
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_asyncapi_and_openapi_say_the_same():
    found, openapi = describing.document("1"), document()
    assert found["asyncapi"] == "3.0.0"
    assert set(found["info"]) >= {"title", "version"}
    names = {one["name"] for one in found["components"]["messages"].values()}
    assert names == set(events.TYPES) == set(openapi["webhooks"])
    (operation,) = found["operations"].values()
    assert operation["action"] == "send"
    for reference in references(found):
        at = found
        for step in reference.removeprefix("#/").split("/"):
            at = at[step.replace("~1", "/")]
    for one in found["components"]["messages"].values():
        described = openapi["webhooks"][one["name"]]["post"]["requestBody"]
        assert described["content"]["application/json"]["schema"] == one["payload"]
    for name, schema in found["components"]["schemas"].items():
        assert openapi["components"]["schemas"][name] == schema
    assert {one.scope for one in OPERATIONS if one.tag == "webhooks"} == {"admin"}
