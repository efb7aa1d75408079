"""How a zone is laid out is pinned in it, so that no two programs that write it disagree."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from nexus_bounty import AutoCommit, BountyStatus, NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.documents import paths
from nexus_bounty.nexus.documents.marker_layout import Layout, ZoneLayout
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.selection.strategy_selection import MAX_AGE
from nexus_bounty.nexus.selection.zone_layout import lay_out, layout_of
from nexus_bounty.testing import ManualClock
from nexus_bounty.testing.builders import make_bounty
from tests.support import layouts

S = BountyStatus
ZONE = ZonePaths("default")
PERSONALITIES = ["0.5.6", "0.7.0", "0.9", "0.10", "0.10-hypothetical"]


async def created(mock: MockNexus, bounty_id: str, **settings: Any) -> None:
    """A bounty that is created and cancelled in a process of its own."""
    chosen = NexusSettings(**({"retry_base": 0} | settings))
    async with NexusClient(settings=chosen, transport=mock.transport()) as client:
        store = NexusBountyStore(client)
        await store.create_bounty(make_bounty(bounty_id=bounty_id))
        await store.cancel_bounty(bounty_id)


def cancelled(mock: MockNexus) -> dict[str, bool]:
    """The bounties that are marked as cancelled, and whether that lies in an hour's directory."""
    beneath = f"{ZONE.statuses(S.CANCELLED)}/"
    found = [path for path in mock.files if path.startswith(beneath)]
    return {paths.marked_id(path): paths.day_of(path) is not None for path in found}


@pytest.mark.parametrize("personality", PERSONALITIES)
@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, Layout.DATED),
        ({"layout": "flat"}, Layout.FLAT),
        ({"storage_encoding": "base64"}, Layout.FLAT),
        ({"follow_at_once": True}, Layout.FLAT),
        ({"storage_encoding": "base64", "layout": "dated"}, Layout.DATED),
    ],
)
async def test_a_new_zone_is_pinned_as_its_first_writer_is_set(personality, settings, kind):
    """By date, unless it is said, or to be seen, that Grove shares it."""
    mock = MockNexus(personality)
    await created(mock, "b-1", **settings)
    assert layouts.pinned_layout(mock, ZONE).get("kind", "flat") == kind.value
    assert cancelled(mock) == {"b-1": kind is Layout.DATED}


@pytest.mark.parametrize("personality", PERSONALITIES)
@pytest.mark.parametrize(("first", "then"), [("flat", "dated"), ("dated", "flat")])
async def test_whoever_is_set_otherwise_follows_the_pin_and_says_so_once(
    personality, first, then, caplog
):
    """Its own setting is for zones that are new."""
    mock = MockNexus(personality)
    await created(mock, "b-1", layout=first)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "nexus_bounty"):
        await created(mock, "b-2", layout=then)
    assert set(cancelled(mock).values()) == {first == "dated"}
    said = [each.message for each in caplog.records if "NEXUS_LAYOUT" in each.message]
    assert len(said) == 1
    assert f"NEXUS_LAYOUT={then}" in said[0]


async def test_a_pin_of_an_earlier_release_is_flat():
    """It says nothing of a layout; what lies there lies flat."""
    mock = MockNexus("0.7.0")
    await created(mock, "b-1")
    pin = msgspec.json.decode(mock.read_file(ZONE.pinned_verdict) or b"")
    del pin["layout"]
    mock.core.table.write(ZONE.pinned_verdict, msgspec.json.encode(pin))
    await created(mock, "b-2")
    assert cancelled(mock) == {"b-1": True, "b-2": False}


async def test_the_layout_is_signed_with_the_verdict():
    """Who has no key does not lay the zone out: what they changed is probed and pinned anew."""
    mock, key = MockNexus("0.7.0"), SecretStr("k" * 32)
    await created(mock, "b-1", signing_keys=(key,))
    await layouts.lay_out(mock, ZONE, Layout.FLAT, datetime(2026, 1, 1, tzinfo=UTC))
    await created(mock, "b-2", signing_keys=(key,))
    assert cancelled(mock) == {"b-1": True, "b-2": True}


@pytest.mark.parametrize("personality", PERSONALITIES)
async def test_a_zone_that_is_laid_out_anew_is_so_for_every_process_within_minutes(personality):
    """One that runs goes on as it began until it looks at the pin again."""
    mock, clock = MockNexus(personality), ManualClock(datetime.now(UTC))
    await created(mock, "b-1", layout="flat")
    async with NexusClient(transport=mock.transport()) as client:
        running = NexusBountyStore(client, commit=AutoCommit(client, clock=clock))
        await running.create_bounty(make_bounty(bounty_id="b-2"))
        async with NexusClient(transport=mock.transport()) as another:
            assert (await lay_out(another, "default", Layout.DATED)).kind is Layout.DATED
        await running.cancel_bounty("b-2")
        assert cancelled(mock) == {"b-1": False, "b-2": False}
        clock.advance(timedelta(minutes=6))
        await running.create_bounty(make_bounty(bounty_id="b-3"))
        await running.cancel_bounty("b-3")
    assert cancelled(mock) == {"b-1": False, "b-2": False, "b-3": True}


async def test_to_lay_out_again_as_it_is_changes_nothing():
    """Not even since when."""
    mock = MockNexus("0.7.0")
    async with NexusClient(transport=mock.transport()) as client:
        assert await layout_of(client, "default") is None
        first = await lay_out(client, "default", Layout.DATED)
        later = ManualClock(datetime.now(UTC) + timedelta(hours=1))
        assert await lay_out(client, "default", Layout.DATED, later) == first
        assert await layout_of(client, "default") == first


async def test_a_pin_that_is_not_acknowledged_is_not_taken_for_done():
    """It is read back, and a repeat does it."""
    mock = MockNexus("0.7.0")
    await created(mock, "b-1", layout="flat")
    lost = RequestMatch("write", ZONE.pinned_verdict)
    settings = NexusSettings(retry_base=0, retry_attempts=1, operation_timeout=1)
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        mock.inject(Fault(FaultKind.STATUS_BEFORE, match=lost, status=503))
        with pytest.raises(Exception, match="503"):
            await lay_out(client, "default", Layout.DATED)
        assert (await layout_of(client, "default") or ZoneLayout()).kind is Layout.FLAT
        assert (await lay_out(client, "default", Layout.DATED)).kind is Layout.DATED


async def test_a_verdict_that_is_pinned_anew_keeps_a_layout_that_was_pinned_meanwhile():
    """The server was probed for a while: what was read before is old."""
    mock, laid = MockNexus("0.7.0"), list[str]()
    await created(mock, "b-1", layout="flat")

    async def while_probing(stage: str) -> None:
        probing = any(ZONE.root not in (each.path or ZONE.root) for each in mock.requests[-1:])
        if stage == "request" and probing and not laid:
            laid.append("")
            async with NexusClient(transport=mock.transport()) as another:
                laid[0] = (await lay_out(another, "default", Layout.DATED)).kind

    async with NexusClient(transport=mock.transport(pause=while_probing)) as client:
        old = ManualClock(datetime.now(UTC) + MAX_AGE + timedelta(days=1))
        await AutoCommit(client, clock=old).for_writing(client.deadline())
    assert laid == ["dated"]
    assert layouts.pinned_layout(mock, ZONE)["kind"] == "dated"
