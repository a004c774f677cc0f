"""Requests whose end two servers could see in different places: refused, or seen as one."""

import pytest

from engine.kernel import codec
from tests.fault.engines import ADMIN, an_order, id_of
from tests.hostile.wire import JSON, KEY, is_safe, order, request, talk

POST = "POST /v1/orders HTTP/1.1"
HIDDEN = (
    b"GET /v1/keys HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + ADMIN.encode() + b"\r\n\r\n"
)


def body(number):
    return codec.encode(an_order(number))


def chunked(raw):
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(raw), raw)


def posted(*headers, raw):
    return request(POST, KEY, JSON, *headers) + raw


ONE = body("smuggled")
SIZED = f"Content-Length: {len(ONE)}"
CHUNKED = "Transfer-Encoding: chunked"
PARTS = chunked(ONE)
HEX = b"%x" % len(ONE)
END = b"\r\n0\r\n\r\n"
WHOLE = posted(SIZED, raw=ONE)
# fmt: off
HEADERS = {
    "length and chunks":        (["Content-Length: 5", CHUNKED], PARTS),
    "chunks and length":        ([CHUNKED, "Content-Length: 5"], PARTS),
    "two lengths":              ([SIZED, "Content-Length: 5"], ONE),
    "two equal lengths":        ([SIZED, SIZED], ONE),
    "a list of lengths":        ([f"{SIZED}, 5"], ONE),
    "a length with a sign":     ([f"Content-Length: +{len(ONE)}"], ONE),
    "a negative length":        (["Content-Length: -1"], ONE),
    "a length in hex":          ([f"Content-Length: 0x{len(ONE):x}"], ONE),
    "a length that overflows":  (["Content-Length: 18446744073709551617"], ONE),
    "an empty length":          (["Content-Length:"], ONE),
    "identity":                 (["Transfer-Encoding: identity"], PARTS),
    "chunked, identity":        (["Transfer-Encoding: chunked, identity"], PARTS),
    "xchunked":                 (["Transfer-Encoding: xchunked"], PARTS),
    "two encodings":            ([CHUNKED, "Transfer-Encoding: identity"], PARTS),
    "an encoding in quotes":    (['Transfer-Encoding: "chunked"'], PARTS),
    "an encoding behind a tab": (["Transfer-Encoding:\x0bchunked"], PARTS),
    "a space before the colon": (["Transfer-Encoding : chunked"], PARTS),
    "a tab before the colon":   (["Content-Length\t: 5"], ONE),
    "a folded header":          (["X-A: b\r\n Content-Length: 5"], ONE),
    "a folded encoding":        (["Transfer-Encoding:\r\n chunked"], PARTS),
    "a line that ends bare":    (["X-A: b\nContent-Length: 5"], ONE),
    "a lone CR":                (["X-A: b\rContent-Length: 5"], ONE),
    "a NUL in a value":         (["X-A: b\x00c", SIZED], ONE),
    "a NUL in a name":          (["X-\x00A: b", SIZED], ONE),
    "no name":                  ([": b", SIZED], ONE),
    "a chunk longer than told": ([CHUNKED], b"1\r\n" + ONE + END),
    "a chunk of no number":     ([CHUNKED], b"zz\r\n" + ONE + END),
    "a chunk with a sign":      ([CHUNKED], b"+" + HEX + b"\r\n" + ONE + END),
    "a chunk with a prefix":    ([CHUNKED], b"0x" + HEX + b"\r\n" + ONE + END),
    "a chunk that overflows":   ([CHUNKED], b"f" * 17 + b"\r\n" + ONE + END),
    "a chunk that ends bare":   ([CHUNKED], PARTS.replace(b"\r\n", b"\n")),
}
REFUSED = {name: posted(*headers, raw=raw) for name, (headers, raw) in HEADERS.items()} | {
    "a head that ends bare":    WHOLE.replace(b"\r\n", b"\n"),
    "a space first":            b" " + WHOLE,
    "HTTP/2":                   b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2":                 WHOLE.replace(b"HTTP/1.1", b"HTTP/1.2"),
    "HTTP/0.9":                 b"GET /v1/keys\r\n\r\n",
    "no version":               b"POST /v1/orders\r\nHost: a\r\n\r\n" + ONE,
    "TLS":                      b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 600,
    "a target in parts":        WHOLE.replace(b"/v1/orders", b"/v1/orders x"),
}
# fmt: on


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
async def test_it_is_refused_whole_and_what_hides_behind_it_is_not_answered(engine, raw):
    replies = await talk(engine.port, raw + HIDDEN)
    for one in replies:
        is_safe(one)
    assert [one.status for one in replies] == [400], replies
    status, _ = await engine.call("GET", f"/v1/orders/{id_of('smuggled')}")
    assert status == 404, "nothing of it was taken"


async def test_control_the_same_order_and_what_follows_are_two_requests(engine):
    """If this fails, the test above proves nothing."""
    for number, raw in {
        "by length": posted(f"Content-Length: {len(body('by length'))}", raw=body("by length")),
        "in chunks": posted("Transfer-Encoding: chunked", raw=chunked(body("in chunks"))),
        "Chunks": posted("transfer-encoding: Chunked", raw=chunked(body("Chunks"))),
    }.items():
        first, second = await talk(engine.port, raw + HIDDEN)
        assert first.status == 202, (number, first)
        assert second.status == 200
        assert b"tgk_" not in second.body


async def test_a_target_with_an_authority_is_the_same_route(engine):
    """RFC 9112 3.2.2: a server has to take it; who is named there decides nothing."""
    for n, target in enumerate(("http://elsewhere.example/v1/orders", "http://a:80/v1/orders")):
        raw = order(body(f"absolute-{n}")).replace(b"/v1/orders", target.encode())
        (one,) = await talk(engine.port, raw)
        is_safe(one)
        assert one.status == 202, one


@pytest.mark.parametrize(
    "target",
    ["//v1/orders", "/v1//orders", "/v1/orders/", "/v1/./orders", "/v1/x/../orders", "/V1/orders",
     "/v1/orders%00", "/v1/orders;a=b", "/v1/%6frders/..", "*", "/v1/orders%2f..%2fkeys"],
)  # fmt: skip
async def test_another_spelling_of_a_path_is_another_path(engine, target):
    """Or the very same route with all it asks for: no spelling goes round a check."""
    raw = request(f"POST {target} HTTP/1.1", JSON, body=body("spelled"))
    (one,) = await talk(engine.port, raw)
    is_safe(one)
    assert one.status in {400, 401, 404, 405}, one


WEBSOCKET = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]  # fmt: skip
# fmt: off
ODD = {
    "a connect":         ["CONNECT elsewhere.example:443 HTTP/1.1"],
    "a trace":           ["TRACE / HTTP/1.1", "Authorization: Bearer SECRET"],
    "an unknown method": ["FROB /v1/orders HTTP/1.1"],
    "an upgrade":        ["GET /healthz HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c"],
    "a websocket":       ["GET /v1/orders HTTP/1.1", *WEBSOCKET],
    "an old version":    ["GET /v1/orders HTTP/1.0"],
    "a range":           ["GET /openapi.json HTTP/1.1", "Range: bytes=0-1,0-1,0-1"],
    "two hosts":         ["GET /v1/orders HTTP/1.1", "Host: b"],
    "options":           ["OPTIONS * HTTP/1.1"],
    "a cross origin":    ["OPTIONS /v1/orders HTTP/1.1", "Origin: https://a.example",
                          "Access-Control-Request-Method: POST"],
}
# fmt: on


@pytest.mark.parametrize("lines", ODD.values(), ids=ODD)
async def test_what_is_odd_but_clear_gets_an_answer_and_repeats_nothing(engine, lines):
    replies = await talk(engine.port, request(*lines))
    assert replies
    for one in replies:
        is_safe(one)
        assert b"SECRET" not in one.body
        assert "access-control-allow-origin" not in one.headers


async def test_without_a_host_it_is_answered_too(engine):
    """No answer depends on it; a proxy in front decides."""
    (one,) = await talk(engine.port, request("GET /v1/orders HTTP/1.1", host=""))
    is_safe(one)
