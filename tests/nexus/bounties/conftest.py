"""A zone, a store that has seen nothing of it, and a peer that shares it."""

import pytest

from tests.support.zone import Zone


@pytest.fixture
async def zone():
    async with Zone() as zone:
        yield zone


@pytest.fixture
async def store(zone):
    return await zone.store()


@pytest.fixture
async def peer(zone):
    return await zone.peer()
