"""What every part of the suite stands on: its fixtures, and a bounty with a past."""
# ruff: noqa: ARG002 - a fixture to override names what it may use

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import ClassVar

import pytest
import pytest_asyncio

from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.ports import BountyStore
from nexus_bounty.testing.bounties_suite.moves import BY_METHOD
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty.testing.clock import ManualClock

_S = BountyStatus


class BountyStoreSuite:
    """The fixtures that every part of the suite uses."""

    pytestmark = pytest.mark.asyncio

    single_writer: ClassVar[str] = ""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """A clock that the store under test may go by."""
        return ManualClock()

    @pytest_asyncio.fixture
    async def store(self, clock: ManualClock) -> AsyncIterator[BountyStore]:
        """A store of which the state is empty."""
        raise NotImplementedError
        yield

    @pytest.fixture
    def several_writers(self) -> None:
        """Skips what a store for one writer does not promise."""
        if self.single_writer:
            pytest.skip(self.single_writer)

    async def live(self, store: BountyStore, *methods: str) -> Bounty:
        """Create a draft and take it through `methods`, one after the other."""
        bounty = await store.create_bounty(make_bounty(status=_S.DRAFT))
        for method in methods:
            bounty = await BY_METHOD[method].make(store)
        return bounty


def ids_of(bounties: Iterable[Bounty]) -> set[str]:
    """The ids of these bounties."""
    return {bounty.bounty_id for bounty in bounties}
