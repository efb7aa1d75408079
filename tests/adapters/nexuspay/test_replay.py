"""On recordings of real servers, credits send what was recorded, and come to the right end."""

from __future__ import annotations

import pytest

from nexus_bounty.mock import MockNexus
from tests.adapters.nexuspay.pay_scenarios import FIXTURES, SCENARIOS
from tests.contract.scene import API_KEY, Replay, Scene, differences, play
from tests.contract.tape import Tape

EVERY = [(release, name) for name, (_, releases) in SCENARIOS.items() for release in releases]


def tape(release: str, name: str) -> Tape:
    """The recording of a scenario."""
    return Tape.load(FIXTURES / release / f"{name}.json")


@pytest.mark.parametrize(("release", "name"), EVERY)
async def test_credits_send_the_recorded_requests_and_come_to_the_right_end(release, name) -> None:
    """The scenario asserts the end; the replay, each request."""
    scenario, _ = SCENARIOS[name]
    with Replay(tape(release, name).exchanges) as replay:
        await play(scenario, Scene(release, replay))


def test_nothing_is_recorded_that_is_not_played() -> None:
    """A recording without a scenario would test nothing, and a scenario without one neither."""
    found = {(path.parent.name, path.stem) for path in FIXTURES.glob("*/*.json")}
    assert found == set(EVERY)


def test_every_recording_says_where_it_is_from_and_shows_no_key() -> None:
    """0.10.1 was not run as a whole."""
    for release, name in EVERY:
        assert ("pay router" in tape(release, name).origin) == (release == "0.10.1")
        assert API_KEY not in (FIXTURES / release / f"{name}.json").read_text()


def test_0_9_18_forgot_some_of_what_it_acknowledged_while_it_was_recorded() -> None:
    """So that replaying it replays the repeats, too."""
    exchanges = tape("0.9.18", "escrow").exchanges
    sent = [each.send["body"]["to"] for each in exchanges if each.send["verb"] == "POST"]
    assert len(sent) > len(set(sent)) > 6


@pytest.mark.parametrize("name", [name for release, name in EVERY if release == "0.10.1"])
async def test_the_mock_answers_as_the_router_of_0_10_1_did(name: str) -> None:
    """Request by request."""
    mock = MockNexus("0.10", api_key=API_KEY)
    assert await differences(mock, tape("0.10.1", name).exchanges) == []
