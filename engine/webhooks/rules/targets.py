"""Where webhooks may go: public addresses, over TLS, unless the operator names a host; pure."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from engine.kernel import urls

URL_LENGTH_MAX: Final = 2_048

_PRIVATE: Final = (
    "must lead to public addresses: private, loopback and link-local ones only for hosts that"
    " TIDEGATE_WEBHOOK_PRIVATE_HOSTS names"
)
_HTTPS: Final = "must be an https address; http is for hosts that TIDEGATE_PLAIN_HTTP_HOSTS names"
# Addresses that carry another one, which a gateway would go to: NAT64 (RFC 6052, RFC 8215).
_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


def fault(url: str, plain_hosts: Collection[str], private_hosts: Collection[str]) -> str:
    """Return what is wrong with an address as it is written; "" of one that may be asked for.

    Where its name leads is looked at when it is created, and again at each connection.
    """
    if wrong := _odd(url) or urls.fault(url, plain_hosts):
        return wrong
    parts, host = urlsplit(url), host_of(url)
    if parts.scheme == "http" and host not in plain_hosts and host not in private_hosts:
        return _HTTPS
    if host not in private_hosts and (host == "localhost" or is_forbidden_literal(host)):
        return _PRIVATE
    return ""


def _odd(url: str) -> str:
    if len(url) > URL_LENGTH_MAX:
        return f"must have at most {URL_LENGTH_MAX} characters"
    return "must be without a fragment" if "#" in url else ""


def host_of(url: str) -> str:
    """Return the host of an address, in lower case and without brackets."""
    return (urlsplit(url).hostname or "").rstrip(".")


def leads_astray(addresses: Collection[str]) -> str:
    """Return what is wrong with where a name leads; "" where all of it is public."""
    return _PRIVATE if any(map(is_forbidden, addresses)) else ""


def is_forbidden_literal(host: str) -> bool:
    """Tell whether a host is an address, and one of those."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return is_forbidden(host)


def is_forbidden(address: str) -> bool:
    """Tell whether nobody outside has this address; one that cannot be read is refused, too.

    An IPv6 address with an IPv4 one in it (mapped, 6to4, Teredo, NAT64) is judged by both.
    """
    try:
        one = ip_address(address.partition("%")[0])
    except ValueError:
        return True
    return any(_is_ours(each) for each in (one, *_within(one)))


def _is_ours(one: IPv4Address | IPv6Address) -> bool:
    return (
        not one.is_global
        or one.is_private or one.is_loopback or one.is_link_local or one.is_multicast
        or one.is_unspecified or one.is_reserved
        or (isinstance(one, IPv6Address) and one.is_site_local)
    )  # fmt: skip


def _within(one: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(one, IPv4Address):
        return []
    found = [one.ipv4_mapped, one.sixtofour, *(one.teredo or ())]
    if any(one in network for network in _NAT64) or int(one) < 1 << 32:
        found.append(IPv4Address(int(one) & 0xFFFFFFFF))
    return [each for each in found if each is not None]
