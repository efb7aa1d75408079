"""A server on which requests race, and clients that come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import httpx
import pytest

from nexus_bounty import NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import PERSONALITIES, MockNexus
from nexus_bounty.nexus.client.quirks import dialect_of_release
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.documents.paths import ZonePaths, commit_slots
from nexus_bounty.testing.virtual_time import wall_clock

ZONE = ZonePaths("default")
DOCUMENT = ZONE.bounty("b-1")
SLOTS = commit_slots(DOCUMENT)


QUIRKS = {name: dialect_of_release(each.imitates).rename for name, each in PERSONALITIES.items()}
"""What the probe finds on each release."""


def seeds(few: int, many: int) -> pytest.MarkDecorator:
    """Runs a test with `few` seeds, and among the exhaustive tests with `many`."""
    rest = [pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(few, many)]
    return pytest.mark.parametrize("seed", [*range(few), *rest])


def racing(release: str = "0.7.0", **options: Any) -> MockNexus:
    """A server whose preconditions race, drop what they acknowledge, or compare constants."""
    return MockNexus(release, clock=wall_clock, **options)


MEASURED = ("0.5.6", "0.7.0", "0.9", "0.9.26", "0.10")
"""The releases on which commits are made by rename."""


def by_rename_on(release: str) -> Callable[[NexusClient], RenameCommit]:
    """What makes the strategy with which a release is written."""
    return partial(RenameCommit, quirks=QUIRKS[release])


on_every_release = pytest.mark.parametrize(
    "release",
    [
        *("0.7.0", "0.10"),
        *(pytest.param(r, marks=pytest.mark.exhaustive) for r in ("0.5.6", "0.9", "0.9.26")),
    ],
)
"""Runs a test where a rename is plain, and among the exhaustive tests where it is odd."""


@asynccontextmanager
async def store_on(
    mock: MockNexus, transport: httpx.AsyncBaseTransport | None = None, seed: str | None = None
) -> AsyncIterator[NexusBountyStore]:
    """A new client of `mock`, as another process would be."""
    settings = NexusSettings(url="http://nexus")
    quirks = QUIRKS[mock.personality.name]
    async with NexusClient(
        settings=settings, transport=transport or mock.transport(), random=Random(seed)
    ) as client:
        yield NexusBountyStore(client, commit=RenameCommit(client, quirks), clock=wall_clock)
