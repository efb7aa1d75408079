"""Zones that are laid out in one way or another, since some time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from nexus_bounty import NexusClient
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents.marker_layout import Layout, ZoneLayout
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.selection.auto_commit import AutoCommit


def pinned_layout(mock: MockNexus, zone: ZonePaths) -> dict[str, Any]:
    """How a zone is laid out, as its pin has it."""
    pin: dict[str, Any] = msgspec.json.decode(mock.read_file(zone.pinned_verdict) or b"{}")
    found: dict[str, Any] = pin.get("layout", {})
    return found


async def lay_out(mock: MockNexus, zone: ZonePaths, kind: Layout, since: datetime) -> None:
    """Pin a verdict in a zone that is not signed, and that it was laid out so since then."""
    if zone.pinned_verdict not in mock.files:
        async with NexusClient("http://nexus", transport=mock.transport()) as client:
            await AutoCommit(client, zone.zone_id).for_writing(client.deadline())
    pin = msgspec.json.decode(mock.read_file(zone.pinned_verdict) or b"")
    layout = msgspec.to_builtins(ZoneLayout(kind=kind, since=since))
    mock.core.table.write(zone.pinned_verdict, msgspec.json.encode(pin | {"layout": layout}))
