"""What a marketplace tells: its channel's rule, and the snapshots of its orders."""

from typing import Any

from tests.lua.builders import channel, claim, line

STATES = ("P", "C", "C", "C", "C", "R")
UNPAID, PAID_FOR, PARTLY, SHIPPED, DELIVERED, CLOSED = range(6)


def tmall(counts_at: str = "placed", expires_by: str = "channel", **over: Any) -> list[Any]:
    """A marketplace."""
    fields = {"authority": "external", "hold_ms": 900_000, "grace_ms": 60_000, "by_method": {}}
    version = over.pop("version", 1)
    body = (fields | over).values()
    return channel(over.pop("name", "tmall"), *body, counts_at, expires_by, version=version)


def snap(order_id: str, version: object, progress: int, *lines: list[Any], **over: Any) -> Any:
    """One snapshot as sync takes it; a line is `line(…)` and, if the channel names it, its name."""
    wanted = list(lines) or [line("A")]
    body = [one[:3] for one in wanted]
    state = over.pop("state", STATES[progress])
    recalled = over.pop("recalled", [])
    fields = {"channel": "tmall", "fingerprint": f"v{version}", "total": sum(b[2] for b in body)}
    taken = claim(order_id, *body, **(fields | over))[:17]  # no ticket is asked of these
    names = ["".join(one[4:]) for one in wanted]
    return [*taken, str(version), state, progress, names, recalled]
