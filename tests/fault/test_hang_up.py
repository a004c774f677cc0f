"""A server that hangs up right after it was reached is away, and no reason to die.

uvloop, which every process runs on, then raises a RuntimeError at the first write.
"""

import socket
import struct
import threading
from contextlib import suppress

import pytest
import redis.asyncio
import uvloop

from engine.infra import cell as cells
from engine.infra import log
from engine.infra.cell import Cell
from engine.kernel.clock import SystemClock
from engine.kernel.errors import OutcomeUnknown

TRIES = 60
AT_ONCE_AND_RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def rude_port():
    """A port whose server resets every connection, some after the first words."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def serve():
            server.settimeout(0.1)
            served = 0
            while not ended.is_set():
                try:
                    link, _ = server.accept()
                except TimeoutError:
                    continue
                with link, suppress(OSError):
                    served += 1
                    link.settimeout(0.2)
                    if served % 3 == 0:
                        link.recv(100)
                        link.sendall(b"?what\r\n")
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE_AND_RESET)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        ended.set()
        thread.join()


def test_control_the_library_lets_something_else_out(rude_port):
    """If this stops, our own connection class can go."""

    async def tries():
        found = set()
        for _ in range(TRIES):
            async with redis.asyncio.Redis(port=rude_port, protocol=2) as client:
                try:
                    await client.ping()
                except Exception as error:  # noqa: BLE001 - which one is the question
                    found.add(type(error))
        return found

    assert RuntimeError in uvloop.run(tries())


def test_whatever_it_does_the_cell_is_away(rude_port):
    async def tries():
        for _ in range(TRIES):
            async with cells.client(f"redis://127.0.0.1:{rude_port}/0") as client:
                cell = Cell(client, "1", SystemClock())
                for ask in (
                    lambda cell=cell: cell.call("reserve", []),
                    cell.refresh,
                    lambda client=client: log.read(client, "1", "0-0", 1, wait_ms=None),
                ):
                    with pytest.raises(OutcomeUnknown):
                        await ask()

    uvloop.run(tries())
