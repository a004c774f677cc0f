"""Webhooks as the Standard Webhooks specification has them, against its own library."""

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from engine.client import NotGenuine, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the specification
OTHER = "whsec_c2VjcmV0IG9mIGFub3RoZXIgb25l"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'
AT = 1614265330
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


class At:
    def __init__(self, seconds):
        self.seconds = seconds

    def now_ms(self):
        return int(self.seconds * 1_000)

    def monotonic(self):
        return self.seconds


def headers(**changed):
    named = {"Webhook-Id": ID, "webhook-timestamp": str(AT), "WEBHOOK-SIGNATURE": SIGNATURE}
    return named | {name.replace("_", "-"): value for name, value in changed.items()}


def refused(*, secrets=SECRET, body=BODY, now=AT, **changed):
    sent = {name.lower(): value for name, value in headers().items()} | {
        name.replace("_", "-"): value for name, value in changed.items()
    }
    with pytest.raises(NotGenuine) as told:
        verify(secrets, sent, body, clock=At(now))
    return str(told.value)


def test_the_vector_of_the_specification():
    assert verify(SECRET, headers(), BODY, clock=At(AT)) == {"test": 2432232314}
    assert verify(SECRET.removeprefix("whsec_"), headers(), BODY, clock=At(AT))


def test_what_the_official_library_signs_is_verified_here():
    now = datetime.now(UTC)
    signed = Webhook(SECRET).sign(ID, now, BODY.decode())
    sent = {
        "webhook-id": ID,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signed,
    }
    assert verify([OTHER, SECRET], sent, BODY) == Webhook(SECRET).verify(BODY, sent)
    with pytest.raises(NotGenuine):
        verify(OTHER, sent, BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(BODY, sent)


@pytest.mark.parametrize("off_s", [-400, -290, 0, 290, 400])
def test_both_take_the_same_times(off_s):
    at = datetime.now(UTC) + timedelta(seconds=off_s)
    sent = {
        "webhook-id": ID,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(ID, at, BODY.decode()),
    }
    if abs(off_s) < 300:
        assert verify(SECRET, sent, BODY) == Webhook(SECRET).verify(BODY, sent)
        return
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, sent)
    with pytest.raises(NotGenuine, match="now, more than 300 s"):
        verify(SECRET, sent, BODY)


def test_several_signatures_and_secrets_of_a_rotation():
    both = f"v1,AAAA v1a,{SIGNATURE[3:]} {SIGNATURE}"
    assert verify([OTHER, SECRET], headers(**{"WEBHOOK-SIGNATURE": both}), BODY, clock=At(AT))


def test_what_is_not_ours_is_refused_and_said_why():
    assert "no secret in force" in refused(body=BODY + b" ")
    assert "no secret in force" in refused(secrets=[OTHER])
    assert "no secret in force" in refused(webhook_id="msg_2")
    assert "no secret in force" in refused(webhook_timestamp=str(AT + 1))
    assert "no secret in force" in refused(webhook_signature=SIGNATURE.replace("v1,", "v2,"))
    assert "no secret in force" in refused(webhook_signature="v1,über")
    assert "webhook-signature: is missing" in refused(webhook_signature="")
    assert "seconds since 1970" in refused(webhook_timestamp="yesterday")
    assert "301 s behind now" in refused(now=AT + 301)
    assert "301 s ahead of now" in refused(now=AT - 301)


def test_a_secret_that_is_none_is_said_at_once():
    for bad in ("whsec_", "whsec_*", "whsec_é", []):
        with pytest.raises(ValueError, match="secret"):
            verify(bad, headers(), BODY, clock=At(AT))
