"""The probe: finds out by observation how commits are safe on a server.

    report = await probe(client)
    print(report.verdict, *report.judgement.reasons, *report.judgement.advice)

It works in a scratch zone of its own, which it removes, within 60 requests and 20 seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.quirks import EtagKind
from nexus_bounty.nexus.probe import observe, races
from nexus_bounty.nexus.probe.judge import judge
from nexus_bounty.nexus.probe.report import (
    Bulk,
    Facts,
    Judgement,
    Locks,
    Paging,
    ProbeReport,
    Race,
    RenameFacts,
    Verdict,
)
from nexus_bounty.nexus.probe.scratch import ScratchZone

__all__ = [
    "Bulk",
    "EtagKind",
    "Facts",
    "Judgement",
    "Locks",
    "Paging",
    "ProbeReport",
    "Race",
    "RenameFacts",
    "Verdict",
    "probe",
]

Tell = Callable[[str], None]


async def probe(client: NexusClient, tell: Tell = lambda _: None) -> ProbeReport:
    """Observe a server in a scratch zone, and say how commits are safe on it.

    Args:
        client: The server.
        tell: Gets what is being tried, in a few words, as it begins.

    Raises:
        NexusError: The server could not be observed, so nothing is known.
    """
    zone = ScratchZone(client)
    tell("which release it is")
    fingerprint, version = await observe.fingerprint(client, zone.deadline)
    zone.requests += 2
    try:
        facts = await _observe(zone, tell)
    finally:
        tell("cleaning up")
        cleaned_up = await zone.clean()
    return ProbeReport(
        facts=facts,
        judgement=judge(facts),
        fingerprint=fingerprint,
        version=version,
        requests=zone.requests,
        seconds=zone.seconds,
        cleaned_up=cleaned_up,
        scratch_zone=zone.zone_id,
    )


async def _observe(zone: ScratchZone, tell: Tell) -> Facts:
    tell("how it takes one writer's writes")
    basics = await observe.basics(zone)
    races_apply = basics.stores and basics.enforces
    tell("writers who race")
    updates = await races.race_updates(zone) if races_apply else None
    creates = await races.race_creates(zone) if updates and updates.was_exclusive else None
    tell("bulk requests and locks")
    bulk = await observe.bulk(zone)
    locks = await observe.locks(zone)
    tell("files renamed onto one name")
    # after every other write, since a rename can block some servers for half a minute
    blocks = basics.dialect.rename.blocks_in_directories
    from_root = blocks and await observe.takes_files_at_root(zone)
    rename = await races.race_renames(zone, from_root=from_root)
    tell("pages of a listing")
    paging = await observe.paging(zone)
    return Facts(
        dialect=basics.dialect.name,
        etag=basics.etag,
        stores_conditional_writes=basics.stores,
        enforces_preconditions=basics.enforces,
        updates=updates,
        creates=creates,
        rename=rename,
        bulk=bulk,
        paging=paging,
        locks=locks,
        read_seconds=basics.read_seconds,
        write_seconds=basics.write_seconds,
    )
