"""Each personality of MockNexus answers recorded requests as its release did.

Compared are HTTP status, content type and body, after the same normalisation as in the recording
(`volatile.py`): times, and ids that a server makes up.
"""

from __future__ import annotations

import pytest

from nexus_bounty.mock import PERSONALITIES, MockNexus
from tests.contract.scene import API_KEY, differences
from tests.contract.tape import Tape, tape_path, tapes

PERSONALITY = {"0.5.6": "0.5.6", "0.7.0": "0.7.0", "0.9.18": "0.9", "0.10.1": "0.10"}


def imitation(release: str, name: str) -> MockNexus:
    """The mock that stands for the server of a recording."""
    runs_open = release in ("0.5.6", "0.7.0") and name != "auth_failure"
    return MockNexus(
        PERSONALITY[release],
        api_key=None if runs_open else API_KEY,
        rename_delay=0,
        pay_loss_rate=1.0 if name == "pay_lost" else 0.0,
    )


@pytest.mark.parametrize(("release", "name"), tapes())
async def test_the_mock_answers_as_recorded(release: str, name: str) -> None:
    """Request by request."""
    tape = Tape.load(tape_path(release, name))
    assert await differences(imitation(release, name), tape.exchanges) == []


def test_every_personality_is_held_against_recordings() -> None:
    """One that nothing is compared with could answer anything."""
    assert {PERSONALITY[release] for release, _ in tapes()} == set(PERSONALITIES)


@pytest.mark.parametrize("release", PERSONALITY)
async def test_a_mock_of_another_release_is_told_apart(release: str) -> None:
    """By the first scenario that it answers differently."""
    tape = Tape.load(tape_path(release, "stale_update"))
    for other in PERSONALITY:
        found = await differences(imitation(other, "stale_update"), tape.exchanges)
        assert bool(found) == (other != release), other
