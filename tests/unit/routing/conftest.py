import pytest


@pytest.fixture
def asked_for_soak(request):
    if "soak" not in request.config.option.markexpr:
        pytest.skip("the long form: pytest -m soak tests/unit/routing")
