"""Addresses to call: TLS, or a host that is here or is said to need none."""

import pytest

from engine.kernel import urls


@pytest.mark.parametrize(
    "url",
    [
        "https://wms.example", "https://wms.example:8443/a?b=c", "http://127.0.0.1:1/x",
        "http://localhost/x", "http://[::1]:80/", "http://127.8.9.1/", "http://inside.lan:80/x",
        "HTTPS://WMS.EXAMPLE/", "http://INSIDE.lan/",
    ],
)  # fmt: skip
def test_what_may_be_called(url):
    assert urls.fault(url, urls.hosts("inside.lan, 10.0.0.7")) == ""


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://wms.example/x", "https"), ("http://10.0.0.8/", "https"),
        ("http://localhost.example/", "https"), ("http://127.0.0.1.example/", "https"),
        ("http://inside.lan.example/", "https"), ("HTTP://wms.example/", "https"),
        ("http://127.0.0.1@wms.example/", "user name"), ("https://a:b@wms.example/", "user name"),
        ("", "must be an http"), ("ftp://a/", "must be an http"), ("https://", "must be an http"),
        ("https:///x", "must be an http"), ("https://a:x/", "must be an http"),
        ("https://a:0/", "must be an http"), ("https://[::1/", "must be an http"),
        ("https://a/\n", "must be an http"), ("http://127.0.0.1\\@b/", "must be an http"),
        ("//127.0.0.1/x", "must be an http"), ("javascript:alert(1)", "must be an http"),
    ],
)  # fmt: skip
def test_what_may_not_says_why(url, why):
    assert why in urls.fault(url, urls.hosts("inside.lan"))
