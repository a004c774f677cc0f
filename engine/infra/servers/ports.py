"""Free ports, taken ports, and whether a server answers: over bare sockets, without a client."""

import socket
import struct
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import unquote, urlsplit

from engine.infra.servers.errors import CannotStart

LOOPBACK: Final = "127.0.0.1"

# Long enough for a server that pages its file in, short enough to be asked many times a second.
_ANSWER_SECONDS: Final = 1.0
_PROTOCOL_3_0: Final = 196_608


def free_port(host: str = LOOPBACK) -> int:
    """Return a port nobody listens on now; another process may still take it before we do."""
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def refuse_taken(host: str, port: int) -> None:
    """Raise CannotStart if somebody listens there, even one that shares the port (SO_REUSEPORT)."""
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(
                f"Port {port} of {host} cannot be used ({(error.strerror or str(error)).lower()}): "
                "stop what listens there, or set TIDEGATE_HTTP_PORT to a free one."
            ) from None


def valkey_answers(url: str) -> bool:
    """Say whether a Valkey answers PING; one that still loads its file does not count."""
    where = urlsplit(url)
    lines = f"AUTH {unquote(where.password)}\r\n" if where.password else ""
    try:
        with socket.create_connection(
            (where.hostname or LOOPBACK, where.port or 6379), timeout=_ANSWER_SECONDS
        ) as link:
            link.sendall(f"{lines}PING\r\n".encode())
            return b"+PONG" in _lines(link, 2 if lines else 1)
    except OSError:
        return False


def postgres_answers(url: str) -> bool:
    """Say whether a Postgres takes connections: it asks for the password instead of refusing."""
    where = urlsplit(url)
    words = ("user", unquote(where.username or ""), "database", where.path.strip("/"), "", "")
    body = struct.pack("!i", _PROTOCOL_3_0) + "\0".join(words).encode()
    try:
        with socket.create_connection(
            (where.hostname or LOOPBACK, where.port or 5432), timeout=_ANSWER_SECONDS
        ) as link:
            link.sendall(struct.pack("!i", len(body) + 4) + body)
            return link.recv(1) == b"R"
    except OSError:
        return False


def _lines(link: socket.socket, count: int) -> bytes:
    answer = b""
    while answer.count(b"\r\n") < count and (piece := link.recv(4_096)):
        answer += piece
    return answer


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def base_url(host: str, port: int) -> str:
    """Return the address at which this machine reaches a listener; a wildcard is its loopback."""
    reached = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def get(base: str, path: str) -> tuple[int, str]:
    """Return the status and body of one GET; 0 and the reason if nobody answers."""
    where = urlsplit(base)
    link = HTTPConnection(where.hostname or LOOPBACK, where.port, timeout=_ANSWER_SECONDS)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        return 0, str(error) or type(error).__name__
    finally:
        link.close()
