"""What is counted, and what Prometheus reads of it."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from nexus_bounty import (
    CommitUnknownError,
    InvalidInputError,
    Reservation,
    ReservationStatus,
    events,
)
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.outcomes import Outcome, PlainError
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.registry import open_metrics
from nexus_bounty.testing import make_agent, make_bounty
from nexus_bounty_otel.meters import MOST_DOUBTS, Doubts
from nexus_bounty_otel.prometheus import Exposition, watched
from tests.adapters.otel.watching import a_watched_room, everything, plan
from tests.cli.program import started, until
from tests.support.served import served

TICK = timedelta(milliseconds=1)


def value(exposition: Exposition, series: str) -> float:
    """The value of a series, named with the labels that tell it apart; summed over the others."""
    name, _, labels = series.partition("{")
    wanted = labels.rstrip("}").split(",") if labels else []
    lines = re.findall(rf"^{name}(?:\{{(.*)\}})? (.*)$", exposition.text(), re.MULTILINE)
    return sum(float(number) for given, number in lines if all(each in given for each in wanted))


async def test_outcomes_requests_and_resolutions_are_counted() -> None:
    """By what they are, never by an id or a key."""
    async with a_watched_room() as room, watched("127.0.0.1:0") as exposition:
        await room["operations"].create(make_bounty(), idempotency_key="secret-key")
        plan(room, ("commit of claim", "answer lost", 1))
        await room["operations"].claim("b-1", make_agent())
        operations = 'nexus_bounty_operations_total{layer="operations",outcome="committed"}'
        assert value(exposition, operations) == 2
        assert value(exposition, 'nexus_bounty_resolutions_total{cause="lost_answer"}') == 1
        lost = 'nexus_bounty_request_duration_seconds_count{disposition="ambiguous"}'
        assert value(exposition, lost) == 1
        sent = room["mock_nexus"].request_count
        assert value(exposition, "nexus_bounty_request_duration_seconds_count") == sent
        needed = 'nexus_bounty_operation_requests_sum{layer="operations"}'
        assert value(exposition, needed) == sent
        assert not re.search("secret-key|b-1|alice|/zones/", exposition.text())


async def test_the_oldest_doubt_ages_until_it_is_over() -> None:
    """And then there is none."""
    async with a_watched_room() as room, watched("127.0.0.1:0") as exposition:
        await room["operations"].create(make_bounty())
        plan(room, ("commit of claim", "no answer", None), ("read of claim", "no answer", None))
        with pytest.raises(CommitUnknownError):
            await room["operations"].claim("b-1", make_agent(), idempotency_key="k")
        first = value(exposition, "nexus_bounty_doubt_oldest_age_seconds")
        await asyncio.sleep(0.01)
        assert value(exposition, "nexus_bounty_doubt_oldest_age_seconds") > first > 0
        assert value(exposition, "nexus_bounty_doubts") >= 1
        plan(room)
        await room["operations"].claim("b-1", make_agent(), idempotency_key="k")
        assert value(exposition, "nexus_bounty_doubts") == 0
        assert value(exposition, "nexus_bounty_doubt_oldest_age_seconds") == 0


async def test_money_in_escrow_is_counted_from_time_to_time() -> None:
    """And not told while the ledger cannot be read."""
    async with a_watched_room() as room, watched("127.0.0.1:0", room["credits"], TICK) as shown:
        await room["operations"].create(make_bounty())
        await asyncio.sleep(0.05)
        assert value(shown, "nexus_bounty_escrow_amount") == 100
        assert value(shown, "nexus_bounty_escrow_reservations") == 1
        await room["operations"].cancel("b-1")
        await asyncio.sleep(0.05)
        assert value(shown, "nexus_bounty_escrow_amount") == 0

    class Unreachable(MemoryCredits):
        def reservations(
            self, status: ReservationStatus | None = None, *, bounties: Partition = EVERYTHING
        ) -> AsyncIterator[Reservation]:
            raise CommitUnknownError("nobody answers")

    async with watched("127.0.0.1:0", Unreachable(), TICK) as shown:
        await asyncio.sleep(0.02)
        assert "nexus_bounty_escrow_amount{" not in shown.text()


async def test_what_the_reconciler_finds_repairs_and_leaves_is_counted() -> None:
    """In a run in which everything goes wrong once."""
    async with a_watched_room() as room, watched("127.0.0.1:0") as exposition:
        await everything(room)
        for state in ("found", "repaired", "failed"):
            problems = f'nexus_bounty_reconciler_problems_total{{state="{state}"}}'
            assert value(exposition, problems) >= 1
        assert value(exposition, 'nexus_bounty_fences_total{state="landed"}') >= 1
        assert value(exposition, 'nexus_bounty_steps_owed_total{step="release_lease"}') == 1


async def test_prometheus_reads_it_over_http_until_it_is_closed() -> None:
    """And whoever asks for an address that is none is told so."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    async with open_metrics(address), httpx.AsyncClient() as http:
        answer = await http.get(f"http://{address}/metrics")
        assert (answer.status_code, "nexus_bounty_doubts 0.0" in answer.text) == (200, True)
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert (await http.get(f"http://{address}/")).text.startswith("# HELP")
        assert (await http.get(f"http://{address}/other")).status_code == 404
        with pytest.raises(PlainError, match=f"{address} cannot be listened on"):
            async with watched(address):
                pass
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as http:
            await http.get(f"http://{address}/metrics")
    for wrong in ("here", "host:port", "host:99999"):
        with pytest.raises(InvalidInputError):
            async with watched(wrong):
                pass


def test_nothing_is_counted_after_the_end() -> None:
    """The observer is gone."""
    before = events.Event.heard
    exposition = Exposition()
    assert events.OperationEnded.heard
    exposition.close()
    assert events.Event.heard == before


def test_doubts_do_not_take_more_and_more_memory() -> None:
    """The oldest are forgotten."""
    doubts = Doubts()
    for number in range(MOST_DOUBTS + 5):
        info = events.OperationInfo(number, "store", "claim_bounty", str(number), "b", "z")
        doubts.begin(events.OutcomeUnknown(info, "CommitUnknownError"))
    assert doubts.count() == MOST_DOUBTS


def test_zones_of_one_name_on_two_servers_are_two() -> None:
    """A doubt on the one is not over because the other's is."""
    doubts = Doubts()
    here, there = (
        events.OperationInfo(number, "store", "claim_bounty", "k", "b", "z", server=server)
        for number, server in enumerate(("http://here", "http://there"))
    )
    doubts.begin(events.OutcomeUnknown(here, "CommitUnknownError"))
    ended = events.DoubtCause.ASKED, Outcome.COMMITTED, None, None
    doubts.end(events.DoubtResolved(there, *ended))
    assert doubts.count() == 1
    doubts.end(events.DoubtResolved(here, *ended))
    assert doubts.count() == 0


def test_a_watching_reconciler_serves_its_metrics(tmp_path: Path) -> None:
    """The program itself, with the escrow of its ledger."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    watch = ("reconcile", "--watch", "--every", "1s", "--metrics", address)
    with (
        served(MockNexus()) as url,
        started(*watch, env={"NEXUS_URL": url, "NEXUS_BOUNTY_CREDITS": ledger}) as program,
    ):

        def is_served() -> bool:
            assert program.poll() is None, program.communicate()
            try:
                text = httpx.get(f"http://{address}/metrics").text
            except httpx.TransportError:
                return False
            return (
                "nexus_bounty_reconciler_sweep_duration_seconds_count" in text
                and "nexus_bounty_escrow_amount 0.0" in text
            )

        until(is_served)


def test_without_its_extra_metrics_say_what_to_install(tmp_path: Path) -> None:
    """And the library does without."""
    (tmp_path / "prometheus_client.py").write_text(
        "raise ModuleNotFoundError('none', name='prometheus_client')"
    )
    program = "from nexus_bounty.registry import open_metrics; open_metrics('127.0.0.1:9464')"
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {program}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert PlainError.__name__ in ended.stderr
    assert "pip install 'nexus-bounty[prometheus]'" in ended.stderr
