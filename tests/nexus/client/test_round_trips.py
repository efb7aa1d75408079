"""How long a moment is, and a life, on a server that answers quickly or slowly."""

from __future__ import annotations

import asyncio

import pytest

from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.round_trips import A_LIFE, A_MOMENT, MOST, RoundTrips
from nexus_bounty.nexus.client.settings import NexusSettings
from tests.support.virtual import virtual

QUICK = 0.5


def after(*seconds: float) -> RoundTrips:
    trips = RoundTrips(QUICK)
    for each in seconds:
        trips.answered(each)
    return trips


@pytest.mark.parametrize("seconds", [(), (0.0,), (0.01, 0.02)])
def test_near_a_server_they_are_the_setting(seconds: tuple[float, ...]) -> None:
    """However quick: what is left for later is to be shared by many."""
    trips = after(*seconds)
    assert (trips.moment, trips.life) == (QUICK, QUICK)


def test_far_from_it_they_are_so_many_round_trips() -> None:
    trips = after(0.4)
    assert trips.moment == pytest.approx(A_MOMENT * 0.4)
    assert trips.life == pytest.approx(A_LIFE * 0.4)


def test_they_are_never_longer_than_said() -> None:
    """A server that hangs does not make others wait for ever for what they are to see."""
    trips = after(100)
    assert (trips.moment, trips.life) == (MOST * QUICK, MOST * QUICK)


def test_one_slow_answer_is_forgotten() -> None:
    """It was a connection being opened, say."""
    trips = after(5, *[0.01] * 50)
    assert (trips.moment, trips.life) == (QUICK, QUICK)


def test_who_leaves_nothing_for_later_does_not_far_away_either() -> None:
    trips = RoundTrips(0)
    trips.answered(5)
    assert (trips.moment, trips.life) == (0, 0)


@virtual
async def test_a_client_goes_by_what_is_answered() -> None:
    """A request that was never answered says how long the client waits, and nothing else."""
    mock = MockNexus()

    async def travel(stage: str) -> None:
        await asyncio.sleep(0.3 if stage == "request" else 0.1)

    settings = NexusSettings(cleanup_delay=QUICK, retry_attempts=1)
    async with NexusClient(settings=settings, transport=mock.transport(pause=travel)) as client:
        await client.write("/d/f", b"1")
        assert client.round_trips.moment == pytest.approx(A_MOMENT * 0.4)
        mock.inject(Fault(FaultKind.TIMEOUT_BEFORE, match=RequestMatch("read")))
        with pytest.raises(NexusError):
            await client.read("/d/f")
        assert client.round_trips.moment == pytest.approx(A_MOMENT * 0.4)
