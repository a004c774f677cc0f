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
