"""What the server's clock shows is known by the `Date` of its answers, or not known."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from nexus_bounty.mock import MockNexus, running
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.server_clock import AGREE_WITHIN, ServerClock
from nexus_bounty.nexus.client.settings import NexusSettings

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Elapsed:
    """Seconds by a clock that nobody sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def showing(moment: datetime) -> ServerClock:
    clock = ServerClock("http://n", Elapsed())
    clock.saw(format_datetime(moment, usegmt=True))
    return clock


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
@pytest.mark.parametrize("days", [-30, 0, 30])
async def test_each_transport_brings_what_a_server_says(transport: str, days: int) -> None:
    """Over a socket, with an answer of any kind: this one says that there is no such file."""
    there = datetime.now(UTC) + timedelta(days=days)
    mock = MockNexus("0.7.0", date=lambda: there)
    settings = NexusSettings(transport=transport)
    async with (
        running(mock) as url,
        NexusClient(url, settings=settings) as client,
    ):
        assert client.server_clock.now is None
        assert await client.read("/x") is None
        found = client.server_clock.now
    assert found is not None
    assert abs(found - there) < timedelta(seconds=20)


async def test_a_server_that_says_nothing_has_a_clock_that_nobody_knows() -> None:
    """It is gone by our own then."""
    async with NexusClient("http://n", transport=MockNexus().transport()) as client:
        await client.read("/x")
        assert client.server_clock.now is None
        assert client.server_clock.earlier(NOW) == NOW


@pytest.mark.parametrize(
    "date",
    [
        "",
        "now",
        "1777636800",
        "Fri, 01 May 2026 12:00:00",
        "Fri, 01 May 2026 12:00:00 -0000",
        "Fri, 01 May 2026 12:00:00 GMT, Fri, 01 May 2026 12:00:00 GMT",
        "Fri, 01 May 2026 12:00:00 +9999",
        "Fri, 01 May 99999999999999999999 12:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Fri, 32 May 2026 12:00:00 GMT",
        "\x00",
    ],
)
def test_a_date_that_nobody_can_read_is_none(date: str) -> None:
    """As is one of no zone: it is not known of which moment it is."""
    elapsed = Elapsed()
    clock = ServerClock("http://n", elapsed)
    clock.saw(date)
    elapsed.seconds += 60
    assert clock.now is None
    assert clock.earlier(NOW) == NOW


def test_it_goes_on_while_nothing_is_heard() -> None:
    """By the time that passes, whatever becomes of our own clock; an answer without it is none."""
    elapsed = Elapsed()
    clock = ServerClock("http://n", elapsed)
    clock.saw("Fri, 01 May 2026 12:00:00 GMT")
    elapsed.seconds += 90
    clock.saw(None)
    assert clock.now == NOW + timedelta(seconds=90)


@pytest.mark.parametrize("behind", [timedelta(seconds=1), HOUR, timedelta(days=30)])
def test_the_earlier_of_both_counts(behind: timedelta) -> None:
    """However little they differ."""
    assert showing(NOW - behind).earlier(NOW) == NOW - behind
    assert showing(NOW + behind).earlier(NOW) == NOW


def test_that_ours_is_ahead_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Of which by how much; of a little, or of theirs, nothing is said."""
    caplog.set_level(logging.WARNING, "nexus_bounty")
    for ahead in (-timedelta(days=30), timedelta(), AGREE_WITHIN):
        showing(NOW - ahead).earlier(NOW)
    assert not caplog.records
    clock = showing(NOW - timedelta(days=30, hours=1))
    for _ in range(3):
        clock.earlier(NOW)
    (warning,) = caplog.records
    assert "30 days, 1:00:00 ahead of that of http://n" in warning.getMessage()
