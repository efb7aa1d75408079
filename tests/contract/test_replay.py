"""On recordings of real servers, client and store send what was recorded, and get it right."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, permutations
from typing import Any

import httpx
import pytest

from tests.contract import conversation  # noqa: F401 - registers its scenarios
from tests.contract.scenarios import ALL, EARLIER, SCENARIOS
from tests.contract.scene import Replay, Scene, play
from tests.contract.tape import (
    JSON,
    Exchange,
    Tape,
    origin,
    readable,
    tape_path,
    tapes,
)

EVERY = [(release, name) for name, (_, releases) in SCENARIOS.items() for release in releases]
OF_EARLIER_CLIENTS = [(release, name) for name, releases in EARLIER.items() for release in releases]
"""Real answers, to other requests than today's: the mock is held to them, and it alone."""


@pytest.mark.parametrize(("release", "name"), EVERY)
async def test_client_and_store_send_the_recorded_requests_and_reach_the_right_outcome(
    release: str, name: str
) -> None:
    """The scenario asserts the outcome; the replay, each request."""
    scenario, _ = SCENARIOS[name]
    exchanges = Tape.load(tape_path(release, name)).exchanges
    with Replay(exchanges) as replay:
        await play(scenario, Scene(release, replay))


def test_nothing_is_recorded_that_is_not_played() -> None:
    """A recording without a scenario would test nothing."""
    assert set(tapes()) == {*EVERY, *OF_EARLIER_CLIENTS}


@pytest.mark.parametrize("release", ALL)
def test_no_recording_holds_a_key(release: str) -> None:
    """Keys are named, not shown."""
    for path in tape_path(release, "x").parent.iterdir():
        assert "sk-" not in path.read_text()


def test_every_recording_says_from_which_real_server_it_is_and_of_which_client() -> None:
    """None was made up, whatever the release needs to run."""
    origins = {each: Tape.load(tape_path(*each)).origin for each in tapes()}
    earlier = {each: origin(each[0], earlier=True) for each in OF_EARLIER_CLIENTS}
    assert origins == {each: origin(each[0]) for each in EVERY} | earlier
    servers = {each: Tape.load(tape_path(*each)).server for each in tapes()}
    assert servers == {each: f"Nexus {each[0]}" for each in tapes()}


@pytest.mark.parametrize(("release", "name"), OF_EARLIER_CLIENTS)
async def test_what_is_kept_of_an_earlier_client_is_not_what_todays_sends(
    release: str, name: str
) -> None:
    """A recording that could be replayed must be."""
    scenario, _ = SCENARIOS[name]
    exchanges = Tape.load(tape_path(release, name)).exchanges
    with pytest.raises(AssertionError), Replay(exchanges) as replay:
        await play(scenario, Scene(release, replay))


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


MOMENTS = [
    ([[], [1], []], "abc bac"),
    ([[], [], [1]], "abc acb"),
    ([[], [1], [1]], "abc bac acb"),
    ([[], [1], [1, 2]], "abc bac acb cab bca cba"),
    ([[], [], []], "abc"),
]
"""Which of three requests were on their way at the same moment; in which orders they may come."""


@pytest.mark.parametrize(("beside", "orders"), MOMENTS)
async def test_only_requests_of_one_moment_may_come_in_any_order(
    beside: list[list[int]], orders: str
) -> None:
    """Their numbers follow the order in which they come."""
    for order in map("".join, permutations("abc")):
        replayed = await _send([(what, at) for at, what in enumerate(order)], beside)
        assert replayed == (order in orders.split()), order


async def test_requests_of_one_moment_have_the_numbers_of_that_moment() -> None:
    """Each of them once."""
    assert await _send([("b", 1), ("a", 0), ("c", 2)], [[], [1], []])
    assert not await _send([("b", 0), ("a", 2), ("c", 1)], [[], [1], []])
    assert not await _send([("b", 0), ("a", 0), ("c", 2)], [[], [1], []])


async def _send(requests: list[tuple[str, int]], beside: list[list[int]]) -> bool:
    """Whether requests and their numbers are taken for those recorded: `a`, `b`, `c`, from 0 on."""

    def message(what: str, number: int) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": number, "method": what}

    exchanges = [
        Exchange(
            {"verb": "POST", "path": "/", "body": message(what, at)},
            {"status": 200, "type": JSON, "body": message(what.upper(), at)},
            beside=beside[at],
        )
        for at, what in enumerate("abc")
    ]
    try:
        with Replay(exchanges) as replay:
            async with httpx.AsyncClient(transport=replay.transport) as client:
                for what, number in requests:
                    answer = await client.post("http://nexus/", json=message(what, number))
                    assert answer.json() == message(what.upper(), number)
    except AssertionError:
        return False
    return True


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
