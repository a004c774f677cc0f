"""What most faults begin with; the long forms run only when they are asked for by name."""

import pytest

from tests.fault.engines import house


@pytest.fixture
async def house_of_two(settings):
    """Two API processes, a recorder that can be stopped alone, and a worker for all else."""
    async with house(settings) as here:
        await here.worker("keeper", "sweeper", "publisher", "settler", name="worker")
        await here.worker("recorder", name="recorder")
        yield here, await here.api(), await here.api()
