"""A stage for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.adapters.console.stage import Browser, Stage, a_stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with a_stage() as stage:
        yield stage


@pytest.fixture
async def browser(stage: Stage) -> AsyncIterator[Browser]:
    """Of somebody on the same machine, who need not log in."""
    async with stage.browser() as browser:
        yield browser
