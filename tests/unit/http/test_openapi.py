"""The description is valid, complete and served without anything from elsewhere."""

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import OpenAPIV31SpecValidator

from engine.infra.http import keys, openapi
from engine.kernel.errors import NotFound


class View(openapi.codec.Answer, frozen=True):
    name: str


OPERATIONS = [
    *keys.OPERATIONS,
    openapi.operation(
        "PUT",
        "/v1/things/{thing}",
        "Keep a thing",
        "admin",
        request=keys.NewKey,
        responses={200: View, 201: View},
        problems=[NotFound],
        etag=True,
    ),
]


def test_the_document_is_valid_and_stable():
    document = openapi.document(OPERATIONS, "1")
    OpenAPIV31SpecValidator(document).validate()
    assert document == openapi.document(reversed(OPERATIONS), "1")


def test_a_call_lists_what_it_may_refuse():
    call = openapi.document(OPERATIONS, "1")["paths"]["/v1/things/{thing}"]["put"]
    assert list(call["responses"]) == ["200", "201", "400", "401", "403", "404", "412", "503"]
    assert call["parameters"][0]["name"] == "If-Match"
    assert "`not_found`" in call["responses"]["404"]["description"]


@pytest.fixture
async def client():
    app = web.Application()
    app.add_routes(openapi.routes(OPERATIONS, "1"))
    async with TestClient(TestServer(app)) as made:
        yield made


async def test_the_docs_page_fetches_nothing_from_elsewhere(client):
    page = await client.get("/docs")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    links = re.findall(r'(?:src|href)="([^"]+)"', await page.text())
    assert links
    for link in links:
        assert (await client.get(link)).status == 200
    for link in ("/docs", "/docs/docs.js", "/docs/docs.css"):
        assert "://" not in await (await client.get(link)).text()
