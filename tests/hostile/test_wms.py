"""What an attacker may send in a warehouse's name: refused, at once, and nothing of it is read."""

import time

import pytest

from engine.kernel.errors import Unauthorised, ValidationFailed
from engine.wms.rules import plain, qimen, xml
from tests.unit.wms.samples import NOW, NOW_MS, QIMEN

ENTITY = '<!ENTITY a "{}">'
BILLION = "".join(
    f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "lol"}">' for n in range(10)
)  # fmt: skip
DOCUMENTS = {
    "external entity": '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><request>&x;</request>',
    "external dtd": '<!DOCTYPE request SYSTEM "http://127.0.0.1:9/x.dtd"><request/>',
    "public dtd": '<!DOCTYPE request PUBLIC "x" "http://127.0.0.1:9/x.dtd"><request/>',
    "parameter entity": (
        '<!DOCTYPE r [<!ENTITY % x SYSTEM "http://127.0.0.1:9/"> %x;]><request/>'
    ),
    "billion laughs": f"<!DOCTYPE r [{BILLION}]><request>&e9;</request>",
    "quadratic": f"<!DOCTYPE r [{ENTITY.format('x' * 50_000)}]><request>{'&a;' * 5_000}</request>",
    "empty doctype": "<!DOCTYPE request><request/>",
    "undeclared entity": "<request>&nbsp;</request>",
    "deep": "<request>" + "<a>" * 20 + "</a>" * 20 + "</request>",
    "very deep": "<request>" + "<a>" * 150_000,
    "many": "<request>" + "<a/>" * 6_000 + "</request>",
    "many attributes": "<request " + " ".join(f'a{n}="" ' for n in range(20_000)) + "x></request>",
    "two roots": "<request/><request/>",
    "another root": "<response/>",
    "not closed": "<request>",
    "nothing": "",
    "json": "{}",
    "no such character": "<request>&#0;</request>",
    "processing, then nothing": "<?xml-stylesheet href='http://127.0.0.1:9/'?>",
}  # fmt: skip
ODD_BYTES = {
    "utf-16": '<?xml version="1.0" encoding="utf-16"?><request/>'.encode("utf-16"),
    "utf-7": b'<?xml version="1.0" encoding="utf-7"?><request>+ADw-</request>\xff',
    "gbk": '<?xml version="1.0" encoding="gbk"?><request>中</request>'.encode("gbk"),
    "not utf-8": b"<request>\xff\xfe</request>",
    "overlong": b"<request>\xc0\xbc</request>",
    "nul": b"<request>\x00</request>",
    "too large": b"<request>" + b"x" * (1 << 20) + b"</request>",
}


@pytest.mark.parametrize("body", [*DOCUMENTS.values(), *ODD_BYTES.values()],
                         ids=[*DOCUMENTS, *ODD_BYTES])  # fmt: skip
def test_what_is_no_message_is_refused_at_once(body):
    body = body if isinstance(body, bytes) else body.encode()
    began = time.process_time()
    with pytest.raises(ValidationFailed) as failure:
        xml.parse(body, "request")
    assert time.process_time() - began < 1.0
    assert "root:" not in str(failure.value.extra)


def test_the_largest_message_that_is_read_takes_little():
    """Text in as many pieces as there may be, and 1 MiB of it."""
    piece = b"&#38;" * 40
    body = b"<request>" + (piece + b"<a/>") * 4_900 + b"</request>"
    assert 900_000 < len(body) <= 1 << 20
    began = time.process_time()
    xml.parse(body, "request")
    assert time.process_time() - began < 1.0


def test_declared_encodings_are_not_believed():
    """Else one sender's bytes would be another one's text, with the same signature."""
    body = '<?xml version="1.0" encoding="iso-8859-1"?><request><a>中</a></request>'.encode()
    assert xml.parse(body, "request").first("a") == "中"


def qimen_callback(secret, body=b"<request/>", method="orderprocess.report", sign=None):
    query = [("method", method), ("timestamp", "2026-11-11 08:20:00"), ("customerId", "cust")]
    return [*query, ("sign", sign or qimen.sign(secret, query, body))], body


@pytest.mark.parametrize("secrets", [("other nodes",), ("",), ()])
def test_the_secret_of_another_node_does_not_hold(secrets):
    query, body = qimen_callback("mine")
    qimen.verify(("mine",), query, body, NOW_MS)
    with pytest.raises(Unauthorised):
        qimen.verify(secrets, query, body, NOW_MS)
    header = plain.sign("mine", body, NOW_MS // 1_000)
    plain.verify(("mine",), header, body, NOW_MS)
    with pytest.raises(Unauthorised):
        plain.verify(secrets, header, body, NOW_MS)


@pytest.mark.parametrize("sign", ["中" * 32, "0" * 32, "\x00", "A" * 100_000, " "])
def test_a_signature_that_is_none_is_only_refused(sign):
    query, body = qimen_callback("mine", sign=sign)
    with pytest.raises(Unauthorised):
        qimen.verify(("mine",), query, body, NOW_MS)
    with pytest.raises(Unauthorised):
        plain.verify(("mine",), f"t={NOW_MS // 1_000},v1={sign}", body, NOW_MS)


def test_a_refusal_shows_neither_secret_nor_expected_signature():
    query, body = qimen_callback("mine", sign="0" * 32)
    with pytest.raises(Unauthorised) as failure:
        qimen.verify(("mine",), query, body, NOW_MS)
    assert "mine" not in str(failure.value)
    assert qimen.sign("mine", query, body) not in str(failure.value)


def taken_in(query, body):
    qimen.verify(("s",), query, body, NOW_MS)
    return qimen.told(qimen.method_of(query), body, "HZ", NOW)


def test_parts_cannot_be_moved_between_the_query_and_the_body():
    """`k1v1k2v2` has no borders; what it is cut into differently must still be what was sent."""
    query = [("method", "m"), ("timestamp", "2026-11-11 08:20:00")]
    sign = qimen.sign("s", query, b"<request/>")
    for moved, body in [
        ([("method", "mtimestamp2026-11-11 08:20:00")], b"<request/>"),
        ([("method", "m"), ("timestamp", "2026-11-11 08:20:00<request/>")], b""),
    ]:
        assert qimen.sign("s", moved, body) == sign  # so the signature alone does not see it
        with pytest.raises((Unauthorised, ValidationFailed)):
            taken_in([*moved, ("sign", sign)], body)


def test_text_that_is_sent_to_a_warehouse_cannot_become_elements():
    evil = "</name><orderType>B2BCK</orderType><name>&x;]]>\x00\x0b"
    body = xml.render("request", [("name", evil)])
    parsed = xml.parse(body, "request")
    assert [child.name for child in parsed.children] == ["name"]
    assert parsed.first("name") == evil.translate({0: None, 11: None})


def test_a_reply_is_as_little_believed_as_a_callback():
    for text in DOCUMENTS.values():
        body = text.replace("request", "response").encode()
        assert qimen.reply(body, QIMEN).outcome == "UNKNOWN"
