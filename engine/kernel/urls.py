"""Where we may call: systems of others, at addresses that an administrator writes down.

What is sent there has names and addresses of buyers in it, so it goes over TLS, unless it stays on
this machine, or goes to a host of which the operator says that plain HTTP does
(`TIDEGATE_PLAIN_HTTP_HOSTS`: in a private network, say).
"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

_NONE: Final = "must be an http or https address"
_USER: Final = "must be without a user name or password: calls are signed with their secret"
_PLAIN: Final = (
    "must be an https address; http is for this machine, and for hosts that"
    " TIDEGATE_PLAIN_HTTP_HOSTS names"
)


def fault(url: str, plain_hosts: Collection[str]) -> str:
    """Return what is wrong with an address to call; "" of one that may be called."""
    parts = _split(url)
    if parts is None or parts.scheme not in {"https", "http"} or not parts.hostname:
        return _NONE
    if "@" in parts.netloc:
        return _USER
    if parts.scheme == "http" and not (_is_here(parts.hostname) or parts.hostname in plain_hosts):
        return _PLAIN
    return ""


def hosts(text: str) -> frozenset[str]:
    """Return the hosts of a setting, which has commas between them."""
    return frozenset(name for one in text.split(",") if (name := one.strip().lower()))


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address; None where a client might see other ones in it."""
    if not (url.isascii() and url.isprintable()) or set(url) & set(' \\"<>^`{|}'):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port that is none, a bracket that is not closed
        return None
    return None if port == 0 else parts


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
