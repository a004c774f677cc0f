"""What a channel may say."""

import pytest

from engine.channels import rules
from engine.channels.types import ChannelFields
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed

decode = codec.Decoder(ChannelFields)


def test_a_channel_asks_unless_it_says_otherwise():
    channel = decode(b'{"name":"Mall"}')
    rules.check(channel)
    assert (channel.authority, channel.hold_seconds, channel.grace_seconds) == ("gate", 900, 60)
    assert channel.hold_seconds_by_method == {"bank_transfer": 172_800}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"name":""}', "/name"),
        (b'{"name":"a","authority":"boss"}', "/authority"),
        (b'{"name":"a","hold_seconds":0}', "/hold_seconds"),
        (b'{"name":"a","hold_seconds_by_method":{"x":0}}', "/hold_seconds_by_method"),
    ],
)
def test_a_shape_that_is_refused(body, pointer):
    with pytest.raises(ValidationFailed) as refusal:
        decode(body)
    assert refusal.value.extra["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": "a\x00"}, "/name"),
        ({"shop_id": "a\x1f"}, "/shop_id"),
        ({"hold_seconds_by_method": {"a/\x00": 5}}, "/hold_seconds_by_method/a~1\x00"),
    ],
)
def test_a_text_that_is_refused(fields, pointer):
    with pytest.raises(ValidationFailed) as refusal:
        rules.check(ChannelFields(**{"name": "Mall", **fields}))
    assert refusal.value.extra["errors"][0]["pointer"] == pointer
