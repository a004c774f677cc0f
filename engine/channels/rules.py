"""What a channel may say; no I/O."""

from engine.channels.types import ChannelFields
from engine.kernel import codec


def check(channel: ChannelFields) -> None:
    """Refuse what the shape alone does not.

    Raises:
        ValidationFailed: with the place.
    """
    codec.plain_text(channel.name, "/name", 512)
    for name in ("platform", "shop_id", "legal_entity", "owner"):
        if text := getattr(channel, name):
            codec.identifier(text, f"/{name}")
    for method in channel.hold_seconds_by_method:
        codec.identifier(method, f"/hold_seconds_by_method/{codec.escape(method)}")
    codec.open_document(channel.extensions, "/extensions")
