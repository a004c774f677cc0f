"""The long forms run only when they are asked for by name."""

import pytest


@pytest.fixture
def asked_for_soak(request: pytest.FixtureRequest) -> None:
    if "soak" not in request.config.option.markexpr:
        pytest.skip("the long form: pytest -m soak tests/unit/kernel/expressions")
