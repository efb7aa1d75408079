"""The probe: finds out by observation how commits are safe on a server.

    report = await probe(client)
    print(report.verdict, *report.judgement.reasons, *report.judgement.advice)

It works in a scratch zone of its own, which it removes, within 60 requests and 20 seconds.
"""

from __future__ import annotations

from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.probe import observe, races
from nexus_bounty.nexus.probe.judge import judge
from nexus_bounty.nexus.probe.report import (
    EtagKind,
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


async def probe(client: NexusClient) -> ProbeReport:
    """Observe a server in a scratch zone, and say how commits are safe on it.

    Raises:
        NexusError: The server could not be observed, so nothing is known.
    """
    zone = ScratchZone(client)
    fingerprint, version = await observe.fingerprint(client)
    zone.requests += 2
    try:
        facts = await _observe(zone)
    finally:
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


async def _observe(zone: ScratchZone) -> Facts:
    basics = await observe.basics(zone)
    races_apply = basics.stores and basics.enforces
    updates = await races.race_updates(zone) if races_apply else None
    creates = await races.race_creates(zone) if updates and updates.was_exclusive else None
    reads_in_bulk = await observe.reads_in_bulk(zone)
    locks = await observe.locks(zone)
    # after every other write, since a rename blocks 0.5.6 for half a minute
    rename = await races.race_renames(zone)
    paging = await observe.paging(zone)
    return Facts(
        dialect=basics.dialect,
        etag=basics.etag,
        stores_conditional_writes=basics.stores,
        enforces_preconditions=basics.enforces,
        updates=updates,
        creates=creates,
        rename=rename,
        reads_in_bulk=reads_in_bulk,
        paging=paging,
        locks=locks,
        read_seconds=basics.read_seconds,
        write_seconds=basics.write_seconds,
    )
