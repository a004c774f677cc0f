"""The metrics of a whole instance, at one port: those of its processes, added up.

Each process answers at a socket of its own. All are asked when somebody scrapes and every few
seconds besides, so that of one that is killed no more is lost than what it counted since then: sums
never fall, but lack that. What a supervisor knew is gone with it: then all begin at 0 again, as
after the restart of any process. One that does not answer within a second is left out, its sums as
it last told them.
"""

import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from engine.infra import metrics
from engine.infra.meters.exposition import CONTENT_TYPE, of_this_process, text
from engine.infra.meters.families import Document, Family, decode
from engine.infra.meters.merging import Totals
from engine.infra.meters.socket import FACTS, OWN
from engine.infra.servers.errors import CannotStart

POLL_SECONDS: Final = 3.0
_OWN_WITHIN_S: Final = 1.0
_FACTS_WITHIN_S: Final = 8.0  # within the 10 s that Prometheus waits
_AT_ONCE: Final = 16
_LOOK_S: Final = 0.1  # whether it has to end
_PATH_BYTES_MAX: Final = 100  # of a socket; some systems take no more
_US: Final = "up"


class Gatherer:
    """Asks the processes of an instance, and answers whoever scrapes it."""

    def __init__(
        self,
        folder: Path,
        names: Callable[[], Sequence[str]],
        restarts_of: Callable[[str], int],
        *,
        host: str,
        port: int,
    ) -> None:
        """Listen; nobody is asked yet.

        Raises:
            CannotStart: the port is taken, or the directory's name is too long for sockets.
        """
        self._folder, self._names, self._restarts_of = folder, names, restarts_of
        folder.mkdir(mode=0o700, exist_ok=True)
        if len(bytes(self.socket_of("worker-999"))) > _PATH_BYTES_MAX:
            raise CannotStart(
                f"{folder} is too long for sockets in it: set TIDEGATE_DATA_DIR to a shorter one, "
                "or TIDEGATE_METRICS_PORT to 0."
            )
        self._totals = Totals()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._crew = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="metrics")
        try:
            self._server = _Server((host, port), self)
        except OSError as error:
            raise CannotStart(
                f"Port {port} of {host} cannot be used ({(error.strerror or str(error)).lower()}): "
                "stop what listens there, or set TIDEGATE_METRICS_PORT to a free one, or to 0."
            ) from None
        self._threads = [
            threading.Thread(target=run, name="metrics", daemon=True)
            for run in (lambda: self._server.serve_forever(_LOOK_S), self._poll)
        ]
        for one in self._threads:
            one.start()

    @property
    def port(self) -> int:
        """Where it answers."""
        return self._server.server_port

    def socket_of(self, name: str) -> Path:
        """Return where a process answers."""
        return self._folder / f"{name}.sock"

    def text(self) -> bytes:
        """Ask everybody, and return all as one."""
        names = self._processes()
        facts = self._crew.submit(self._facts, names)
        answered = self._gather(names)
        read = facts.result()
        with self._lock:
            return text(self._totals.families(answered, read))

    def close(self) -> None:
        """Stop asking and answering."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        for one in self._threads:
            one.join()
        self._crew.shutdown()

    def _poll(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._gather(self._processes())

    def _processes(self) -> list[str]:
        return [name for name in self._names() if name.startswith(("api-", "worker-"))]

    def _gather(self, names: Sequence[str]) -> list[str]:
        """Ask all at once and take what they say; return who answered, us included."""
        with self._turn:  # of two that ask at once, the earlier answer could be heard last
            return self._hear(names)

    def _hear(self, names: Sequence[str]) -> list[str]:
        told = zip(names, self._crew.map(self._own, names), strict=True)
        heard = {name: one for name, one in told if one is not None}
        heard[_US] = Document(_US, self._our_own())
        with self._lock:
            for name, one in heard.items():
                self._totals.hear(name, one)
        return list(heard)

    def _our_own(self) -> list[Family]:
        restarts = metrics.PROCESS_RESTARTS.family()
        restarts.rows = [((name,), [float(self._restarts_of(name))]) for name in self._names()]
        return [restarts, metrics.METRICS_SKIPPED.family(), *of_this_process()]

    def _own(self, name: str) -> Document | None:
        try:
            return ask(self.socket_of(name), OWN, _OWN_WITHIN_S)
        except (ConnectionRefusedError, FileNotFoundError):
            return None  # it is being started: its restarts tell of that
        except (OSError, msgspec.MsgspecError):
            metrics.METRICS_SKIPPED.add(name)
            return None

    def _facts(self, names: Sequence[str]) -> list[Family]:
        """Return what the first process that answers reads of the servers."""
        deadline = time.monotonic() + _FACTS_WITHIN_S
        for name in names:
            left_s = deadline - time.monotonic()
            if not name.startswith("api-") or left_s <= 0:
                continue
            try:
                return ask(self.socket_of(name), FACTS, min(left_s, _FACTS_WITHIN_S / 2)).families
            except (OSError, msgspec.MsgspecError):
                continue
        return []


def ask(path: Path, word: bytes, within_s: float) -> Document:
    """Ask a process one thing.

    Raises:
        OSError: nobody answers there, or not in time.
        MsgspecError: what it answers is no document.
    """
    deadline = time.monotonic() + within_s
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(within_s)
        connection.connect(str(path))
        connection.sendall(word)
        told = bytearray()
        while chunk := connection.recv(1 << 16):
            told += chunk
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            connection.settimeout(left_s)
    return decode(told)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], gatherer: Gatherer) -> None:
        self.gatherer = gatherer
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of what went wrong, unless it is that who asked has gone."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer /metrics and /healthz."""
        if self.path == "/metrics":
            body, kind = cast("_Server", self.server).gatherer.text(), CONTENT_TYPE
        elif self.path == "/healthz":
            body, kind = b'{"alive":true}', "application/json"
        else:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Write nothing: a scrape is no news."""
