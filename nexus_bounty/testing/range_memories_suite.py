"""What every journal must do that keeps what reconcilers remember of ranges."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

import pytest

from nexus_bounty.ports import RemembersRanges

ODD = "a'b\"%/\n\u00e9\U0001f600"


class RangeMemoriesContract:
    """Override the fixture `journal`."""

    @pytest.fixture
    async def journal(self) -> RemembersRanges:
        """A new journal in which nothing is kept."""
        raise NotImplementedError

    async def test_what_was_never_kept_is_nothing(self, journal: RemembersRanges) -> None:
        """It is no error."""
        assert isinstance(journal, RemembersRanges)
        assert await journal.find_range_memory("z", "a") is None

    async def test_what_was_kept_last_is_found(self, journal: RemembersRanges) -> None:
        """In place of what was there before."""
        for memory in ("first", "second", "", ODD):
            await journal.keep_range_memory("z", "a", memory)
            assert await journal.find_range_memory("z", "a") == memory

    async def test_each_zone_and_each_name_has_its_own(self, journal: RemembersRanges) -> None:
        """Names may be anything that an id can be."""
        names = [("z", "a"), ("z", ""), ("z", ODD), (ODD, "a"), ("za", ""), ("", "za")]
        for place, (zone_id, name) in enumerate(names):
            await journal.keep_range_memory(zone_id, name, str(place))
        for place, (zone_id, name) in enumerate(names):
            assert await journal.find_range_memory(zone_id, name) == str(place)
