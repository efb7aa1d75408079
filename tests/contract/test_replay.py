"""On recordings of real servers, client and store send what was recorded, and get it right."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import pytest

from tests.contract import conversation  # noqa: F401 - registers its scenarios
from tests.contract.scenarios import ALL, SCENARIOS
from tests.contract.scene import Replay, Scene, play
from tests.contract.tape import Exchange, Tape, readable, tape_path, tapes

LOOKED_MORE_OFTEN = {"commit_by_rename"}
"""Recorded when every acknowledged rename was looked after, and every file read until believed."""
EVERY = [(release, name) for name, (_, releases) in SCENARIOS.items() for release in releases]


@pytest.mark.parametrize(("release", "name"), EVERY)
async def test_client_and_store_send_the_recorded_requests_and_reach_the_right_outcome(
    release: str, name: str
) -> None:
    """The scenario asserts the outcome; the replay, each request."""
    scenario, _ = SCENARIOS[name]
    exchanges = Tape.load(tape_path(release, name)).exchanges
    with Replay(exchanges, fewer_looks=name in LOOKED_MORE_OFTEN) as replay:
        await play(scenario, Scene(release, replay))


def test_nothing_is_recorded_that_is_not_played() -> None:
    """A recording without a scenario would test nothing."""
    assert set(tapes()) == set(EVERY)


@pytest.mark.parametrize("release", ALL)
def test_no_recording_holds_a_key(release: str) -> None:
    """Keys are named, not shown."""
    for path in tape_path(release, "x").parent.iterdir():
        assert "sk-" not in path.read_text()


def test_every_conversation_was_recorded_from_a_real_server() -> None:
    """None was made up, whatever the release needs to run."""
    origins = {Tape.load(tape_path(release, name)).origin for release, name in EVERY}
    assert origins == {"recorded from the released server by tools/record.py"}


@pytest.mark.parametrize(("release", "name"), [("0.7.0", "create"), ("0.9.18", "pay")])
async def test_a_request_that_differs_from_the_recording_fails(release: str, name: str) -> None:
    """Every one of them, by as little as one value in its body."""
    scenario, _ = SCENARIOS[name]
    for exchange in range(len(Tape.load(tape_path(release, name)).exchanges)):
        tape = Tape.load(tape_path(release, name))
        _disturb(tape.exchanges[exchange])
        with pytest.raises(AssertionError), Replay(tape.exchanges) as replay:
            await play(scenario, Scene(release, replay))


def _disturb(exchange: Exchange) -> None:
    body = exchange.send.get("body")
    if body is None:
        exchange.send["path"] += "?"
    else:
        body["more"] = 1


async def test_a_recorded_request_that_is_not_sent_fails() -> None:
    """What the store no longer asks for must not stay in the recording."""
    scenario, _ = SCENARIOS["create"]
    exchanges = Tape.load(tape_path("0.7.0", "create")).exchanges
    with (
        pytest.raises(AssertionError, match="not sent"),
        Replay([*exchanges, exchanges[-1]]) as replay,
    ):
        await play(scenario, Scene("0.7.0", replay))


def test_bytes_are_shown_only_where_they_can_be_shown_exactly() -> None:
    """JSON and text are; what would come back otherwise stays base64."""
    packed = {"json": "eyJhIjoxfQ==", "text": "aGk=", "spaced": "eyJhIjogMX0=", "binary": "/w=="}
    shown = {name: readable({"__type__": "bytes", "data": data}) for name, data in packed.items()}
    assert shown == {
        "json": {"bytes of": {"a": 1}},
        "text": {"bytes of": "hi"},
        "spaced": {"bytes of": '{"a": 1}'},
        "binary": {"__type__": "bytes", "data": "/w=="},
    }


def _kinds(exchanges: Iterable[Exchange]) -> set[str]:
    return {each.send["path"].rpartition("/")[2] for each in exchanges}


def test_every_method_that_the_client_knows_is_recorded() -> None:
    """On some release at least."""
    everything = chain.from_iterable(Tape.load(tape_path(*each)).exchanges for each in EVERY)
    asked = {"read", "write", "delete", "exists", "list", "rename", "read_bulk", "exists_batch"}
    assert asked <= _kinds(everything)
