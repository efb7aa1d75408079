"""To lay a zone out anew: the pin is changed, and the rest follows.

From then on new markers are written as is pinned, by each process once it has looked at the pin, a
few minutes later at most; listings read both layouts at every moment. The reconciler's audit moves
the markers that are there: it writes the new one, and removes the old one when it sees both. All of
that may be broken off anywhere and done again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from nexus_bounty.models import utc_now
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.documents.marker_layout import Layout, ZoneLayout
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.selection.auto_commit import AutoCommit
from nexus_bounty.nexus.selection.strategy_selection import pin_anew, pinned_verdict


async def layout_of(client: NexusClient, zone_id: str) -> ZoneLayout | None:
    """How a zone is laid out; `None` if nothing is pinned in it that counts.

    Raises:
        NexusError: The pin could not be read.
    """
    pinned = await pinned_verdict(client, ZonePaths(zone_id), client.deadline())
    return pinned.layout if pinned else None


async def lay_out(
    client: NexusClient,
    zone_id: str,
    kind: Layout,
    clock: Callable[[], datetime] = utc_now,
) -> ZoneLayout:
    """Pin in a zone how it is laid out from now on; what it is then. A repeat changes nothing.

    A zone in which nothing is pinned is probed and pinned first.

    Raises:
        UnsupportedServerError: Nothing can be committed safely in it; nothing was written.
        NexusError: It could not be pinned, or was and could not be read back: do it again.
    """
    zone = ZonePaths(zone_id)
    await AutoCommit(client, zone_id, clock=clock).for_writing(client.deadline())
    pinned = await pinned_verdict(client, zone, client.deadline())
    if pinned is not None and pinned.layout.kind is not kind:
        layout = ZoneLayout(kind=kind, since=clock())
        await pin_anew(client, zone, msgspec.structs.replace(pinned, layout=layout))
    return await layout_of(client, zone_id) or ZoneLayout()
