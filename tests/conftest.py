"""Properties here are checked on machines of any speed; what was collected stays to the end."""

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings

from nexus_bounty.events import tracking

settings.register_profile("any-speed", deadline=None)
settings.load_profile("any-speed")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector thousands of tests that are no garbage, in each of its rounds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_setup() -> None:
    """Let no operation that a test left in doubt be that of another test, under the same key."""
    tracking._doubts._since.clear()
