"""The API's description in the tree is the one the code gives; a change shows in review."""

from pathlib import Path

from engine.app import openapi_document

GOLDEN = Path(__file__).parents[2] / "ops" / "openapi.json"


def test_the_description_in_the_tree_is_the_one_of_the_code():
    renew = "renew it: .venv/bin/tidegate openapi > ops/openapi.json"
    assert GOLDEN.read_bytes() == openapi_document(), f"the API has changed; {renew}"
