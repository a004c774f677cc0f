"""A system that webhooks tell: a process of its own, which behaves as it is asked to.

`POST /<name>` takes a message. `PUT /<name>` says how the next ones are answered: `statuses` first,
one each, then `status` (0: cut without an answer, after it was taken), after `delay_s`; by key of a
message `keys` alike; every `nth` is cut; `headers` go with each. `GET /<name>` returns what came:
[webhook-id, key, n of the data's total, answered status], `?whole` with headers and body, `?count`
how many different ones it took.
"""

import asyncio
import sys
from collections import defaultdict

import msgspec
import uvloop


class Behaviour(msgspec.Struct):
    """How messages are answered."""

    statuses: list[int] = []
    status: int = 204
    delay_s: float = 0.0
    keys: dict[str, list[int]] = {}
    nth: int = 0
    headers: dict[str, str] = {}


class Envelope(msgspec.Struct):
    """What is read of a message."""

    data: dict[str, object]


decode = msgspec.json.Decoder(Envelope).decode
behaviours = defaultdict(Behaviour)
seen = defaultdict(list)
whole = defaultdict(list)
count = defaultdict(int)
taken = defaultdict(set)


class Receiver(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].decode()
            request, *lines = head.split("\r\n")
            headers = {name.lower(): text for name, _, text in (x.partition(": ") for x in lines)}
            size = end + 4 + int(headers.get("content-length", 0))
            if len(self.buffer) < size:
                return
            body, self.buffer = self.buffer[end + 4 : size], self.buffer[size:]
            method, target, _ = request.split(" ")
            name, _, query = target.lstrip("/").partition("?")
            getattr(self, method.lower())(name, query, headers, body)

    def put(self, name, _query, _headers, body):
        behaviours[name] = msgspec.json.decode(body, type=Behaviour)
        self.answer(200)

    def get(self, name, query, _headers, _body):
        if query == "count":
            return self.answer(200, msgspec.json.encode(len(taken[name])))
        found = whole[name] if query else seen[name]
        return self.answer(200, msgspec.json.encode(found))

    def post(self, name, _query, headers, body):
        how, told = behaviours[name], decode(body).data
        key = told.get("order_id", "")
        count[name] += 1
        status = self.status_of(how, key, count[name])
        seen[name].append([headers["webhook-id"], key, told.get("total", 0), status])
        if 200 <= status < 300:
            taken[name].add((key, told.get("total", 0)))
        if name != "bulk":
            whole[name].append([headers, body.decode()])
        if how.delay_s:
            asyncio.get_running_loop().call_later(how.delay_s, self.end, how, status)
        else:
            self.end(how, status)

    def status_of(self, how, key, number):
        if how.nth and number % how.nth == 0:
            return 0
        if how.keys.get(key):
            return how.keys[key].pop(0)
        return how.statuses.pop(0) if how.statuses else how.status

    def end(self, how, status):
        if status:
            self.answer(status, b"", how.headers)
        else:
            self.transport.abort()

    def answer(self, status, body=b"", headers=()):
        if self.transport.is_closing():
            return
        more = "".join(f"{name}: {headers[name]}\r\n" for name in headers)
        length = "" if status == 204 else f"Content-Length: {len(body)}\r\n"
        self.transport.write(f"HTTP/1.1 {status} X\r\n{more}{length}\r\n".encode() + body)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - whoever started it reads that
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main())
