"""Each personality of MockNexus answers recorded requests as its release did.

Compared are HTTP status, content type and body, after the same normalisation as in the recording
(`volatile.py`): times, and ids that a server makes up. What was recorded with an earlier client is
played on it as well; nothing is asked there whose real answers are not known.
"""

from __future__ import annotations

import httpx
import pytest

from nexus_bounty.mock import PERSONALITIES, MockNexus
from tests.contract.scenarios import ALL, EARLIER, SCENARIOS
from tests.contract.scene import API_KEY, Recorder, Scene, differences, play
from tests.contract.tape import Exchange, Tape, tape_path, tapes

WITHOUT_A_SERVER = {"0.9.20-without-kernel", "0.10-hypothetical"}
"""Of these there is no recording: one reads nothing, and the other is nowhere."""
PERSONALITY = {
    each.imitates: name for name, each in PERSONALITIES.items() if name not in WITHOUT_A_SERVER
}
PLAYS = [
    (release, name)
    for name, (_, recorded) in SCENARIOS.items()
    for release in (*recorded, *EARLIER[name])
]


class Mocked:
    """A line to a mock, on which answers can be lost."""

    def __init__(self, mock: MockNexus) -> None:
        self.transport: httpx.AsyncBaseTransport = httpx.MockTransport(self._pass_on)
        self._inner = mock.transport()
        self._passed = 0
        self._lost: set[int] = set()

    def lose(self, step: int) -> None:
        self._lost.add(self._passed + step)

    def forget(self, count: int) -> None:
        """Nothing is recorded."""

    async def _pass_on(self, request: httpx.Request) -> httpx.Response:
        self._passed += 1
        lost = self._passed in self._lost
        response = await self._inner.handle_async_request(request)
        if lost:
            raise httpx.ReadError("the connection was lost", request=request)
        return response


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


@pytest.mark.parametrize(("release", "name"), PLAYS)
async def test_on_the_mock_of_a_release_every_scenario_ends_as_it_says(
    release: str, name: str
) -> None:
    """Also those that were recorded with an earlier client."""
    scenario, _ = SCENARIOS[name]
    await play(scenario, Scene(release, Mocked(imitation(release, name))))


@pytest.mark.parametrize(
    ("release", "name"),
    [(release, name) for name, releases in EARLIER.items() for release in releases],
)
async def test_where_only_an_earlier_client_was_recorded_every_kind_of_request_was_answered_once(
    release: str, name: str
) -> None:
    """In some recording of the release: so the mock's answers are measured, not imagined."""
    recorded = set()
    for each, other in tapes():
        if each == release:
            recorded |= _kinds(Tape.load(tape_path(each, other)).exchanges)
    scenario, _ = SCENARIOS[name]
    recorder = Recorder(imitation(release, name).transport())
    await play(scenario, Scene(release, recorder))
    assert _kinds(recorder.recorded()) - recorded == set()


def _kinds(exchanges: list[Exchange]) -> set[tuple[str, tuple[str, ...], bool]]:
    """Method, the names of its parameters, and whether it was refused."""
    return {
        (body["method"], tuple(sorted(body["params"])), "error" in exchange.hear["body"])
        for exchange in exchanges
        if isinstance(body := exchange.send.get("body"), dict) and "method" in body
    }


def test_every_personality_is_held_against_recordings() -> None:
    """One that nothing is compared with could answer anything."""
    assert {PERSONALITY[release] for release, _ in tapes()} == set(PERSONALITIES) - WITHOUT_A_SERVER


@pytest.mark.parametrize("release", ALL)
async def test_a_mock_of_another_release_is_told_apart(release: str) -> None:
    """By what it answers to requests for single files."""
    tape = Tape.load(tape_path(release, "raw_files"))
    for other in PERSONALITY:
        found = await differences(imitation(other, "raw_files"), tape.exchanges)
        assert bool(found) == (other != release), other
