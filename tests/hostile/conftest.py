"""One running instance for each module here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.processes import Engine, running


@pytest.fixture(scope="module")
def engine(
    request: pytest.FixtureRequest,
    server_settings: object,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """An API process and a worker with a running sale; in the end no error stands in a log."""
    name = Path(request.path).stem
    with running(server_settings, template_database, name, tmp_path_factory.mktemp(name)) as one:
        yield one
        one.alive()


@pytest.fixture
def asked_for_soak(request: pytest.FixtureRequest) -> None:
    """Skip unless the run asks for it: pytest -m soak tests/hostile."""
    if "soak" not in request.config.option.markexpr:
        pytest.skip("the long form: pytest -m soak tests/hostile")
