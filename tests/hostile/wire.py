"""Bytes to the engine and back, as no client library would send them."""

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.infra.http.server import SAFE_HEADERS
from tests.fault.engines import ADMIN

KEY = f"Authorization: Bearer {ADMIN}"
JSON = "Content-Type: application/json"
MEMBERS = {"type", "title", "status", "code", "detail"}


@dataclass
class Reply:
    """One answer: status, headers in lower case, bytes."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        return str(self.document.get("code", ""))


def request(line: str, *headers: str, body: bytes = b"", host: str = "Host: a") -> bytes:
    """A request as these lines have it; a body's length is told unless a header tells it."""
    own = [one for one in (host, *headers) if one]
    if body and not any(one.lower().startswith(("content-length", "transfer")) for one in own):
        own.append(f"Content-Length: {len(body)}")
    return "\r\n".join([line, *own, "", ""]).encode("latin-1") + body


def order(body: bytes, *headers: str) -> bytes:
    """A POST of an order with a good key."""
    return request("POST /v1/orders HTTP/1.1", KEY, JSON, *headers, body=body)


async def read_one(reader: asyncio.StreamReader, within_s: float = 15) -> Reply:
    """Read one answer.

    Raises:
        IncompleteReadError: there is none.
    """
    async with asyncio.timeout(within_s):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Reply(int(first.split(" ")[1]), headers, body)


async def read_all(reader: asyncio.StreamReader, within_s: float = 15) -> list[Reply]:
    """Read answers until the server ends the connection."""
    found = []
    while True:
        try:
            found.append(await read_one(reader, within_s))
        except (asyncio.IncompleteReadError, ConnectionError):
            return found


async def talk(port: int, *segments: bytes, pause_s: float = 0.0, half: bool = True) -> list[Reply]:
    """Send segments, stop sending, and read every answer to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        try:
            for n, segment in enumerate(segments):
                if n and pause_s:
                    await asyncio.sleep(pause_s)
                writer.write(segment)
                await writer.drain()
            if half:
                writer.write_eof()
        except (ConnectionError, OSError):
            pass  # it had enough before we were done
        return await read_all(reader)
    finally:
        writer.close()


def is_safe(reply: Reply) -> None:
    """Fail unless an answer has what every answer has, and a refusal is an exact problem."""
    assert reply.status < 500 or reply.status == 503, (reply.status, reply.body)
    for name, value in SAFE_HEADERS.items():
        assert name.lower() in reply.headers, (name, reply)
        if name != "Cache-Control":
            assert reply.headers[name.lower()] == value
    assert reply.headers["x-request-id"]
    if reply.status >= 400:
        is_problem(reply)


def is_problem(reply: Reply) -> None:
    """Fail unless this is a problem document, whole and consistent."""
    assert reply.headers["content-type"] == "application/problem+json", reply
    document = reply.document
    assert set(document) >= MEMBERS, document
    assert document["type"] == f"urn:tidegate:problem:{document['code']}"
    assert document["status"] == reply.status
    assert all(isinstance(document[name], str) for name in MEMBERS - {"status"}), document
    for error in document.get("errors", []):
        more = {"line", "column"} if document["code"] == "plan_invalid" else set()
        assert set(error) == {"pointer", "detail"} | more, document
