"""What most flows begin with."""

import pytest

from tests.fault.engines import house


@pytest.fixture
async def here(settings):
    """One worker with all roles; a test starts the API processes that it needs."""
    async with house(settings) as one:
        await one.worker()
        yield one
