"""A pinned verdict that a stranger has written is not believed in a zone that is signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from nexus_bounty import AutoCommit, NexusBountyStore, NexusClient, NexusSettings, Verdict
from nexus_bounty.deadlines import Deadline
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.builders import make_bounty

KEY, OTHER = SecretStr("k" * 32), SecretStr("o" * 32)
ZONE = ZonePaths("default")
PIN = ZONE.pinned_verdict


async def created(mock: MockNexus, bounty_id: str, *keys: SecretStr) -> AutoCommit:
    """What a client goes by that has created a bounty."""
    settings = NexusSettings(signing_keys=keys)
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        commit = AutoCommit(client)
        store = NexusBountyStore(client, commit=commit)
        await store.create_bounty(make_bounty(bounty_id=bounty_id))
        return commit


def _renamed(pin: dict[str, Any]) -> None:
    pin["strategy"] = "conditional"


def _unsigned(pin: dict[str, Any]) -> None:
    _renamed(pin)
    del pin["mac"]


@pytest.mark.parametrize("forge", [_renamed, _unsigned])
async def test_a_forged_verdict_is_found_out_anew(forge: Callable[[dict[str, Any]], None]) -> None:
    """It would have everybody commit in a way that is not safe on this server."""
    mock = MockNexus("0.7.0")
    assert (await created(mock, "b-1", KEY)).verdict is not None
    pin = msgspec.json.decode(mock.read_file(PIN) or b"")
    forge(pin)
    mock.core.table.write(PIN, msgspec.json.encode(pin))
    commit = await created(mock, "b-2", KEY)
    assert commit.verdict is not None
    assert commit.verdict.strategy is Verdict.RENAME
    async with NexusClient(
        settings=NexusSettings(signing_keys=(KEY,)), transport=mock.transport()
    ) as client:
        assert await NexusBountyStore(client).get_bounty("b-1") is not None
        reading = await AutoCommit(client).for_reading(Deadline.after(5))
        assert await reading.reads.read(ZONE.bounty("b-2"), Deadline.after(5)) is not None


async def test_a_signed_verdict_spares_the_probe() -> None:
    """To whoever has the key, the old one too; without keys anybody's does."""
    mock = MockNexus("0.7.0")
    await created(mock, "b-1", KEY)
    for number, keys in enumerate([(KEY,), (OTHER, KEY), ()], 2):
        before = mock.request_count
        await created(mock, f"b-{number}", *keys)
        assert mock.request_count - before < 12


async def test_a_verdict_is_bound_to_its_zone() -> None:
    """A copy from another zone is not believed."""
    mock = MockNexus("0.7.0")
    await created(mock, "b-1", KEY)
    elsewhere = ZonePaths("elsewhere").pinned_verdict
    mock.core.table.write(elsewhere, mock.read_file(PIN) or b"")
    settings = NexusSettings(signing_keys=(KEY,), zone_id="elsewhere")
    async with NexusClient(settings=settings, transport=mock.transport()) as client:
        before = mock.request_count
        await NexusBountyStore(client).create_bounty(make_bounty())
        assert mock.request_count - before > 12
