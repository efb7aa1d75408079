"""The probe: finds out by observation how commits are safe on a server.

    report = await probe(client)
    print(report.verdict, *report.judgement.reasons, *report.judgement.advice)

It works in a scratch zone of its own, which it removes, in at most 60 requests and a minute: those
aside that have to be repeated, and what the server asks to wait.
"""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.quirks import DIALECTS, EtagKind
from nexus_bounty.nexus.probe import extras, observe, races
from nexus_bounty.nexus.probe.judge import judge
from nexus_bounty.nexus.probe.report import (
    Bulk,
    Facts,
    Judgement,
    LockKind,
    Look,
    Paging,
    ProbeReport,
    Race,
    RenameFacts,
    Verdict,
)
from nexus_bounty.nexus.probe.scratch import ScratchZone, Tell

__all__ = [
    "Bulk",
    "EtagKind",
    "Facts",
    "Judgement",
    "LockKind",
    "Look",
    "Paging",
    "ProbeReport",
    "Race",
    "RenameFacts",
    "Verdict",
    "probe",
]


async def probe(
    client: NexusClient,
    tell: Tell = lambda _: None,
    *,
    look: Look = Look.FULL,
    rename_too: bool = True,
) -> ProbeReport:
    """Observe a server in a scratch zone, and say how commits are safe on it.

    Args:
        client: The server.
        tell: Gets what is being tried, in a few words, as it begins.
        look: How closely to look: at everything, or at what the verdict depends on.
        rename_too: Whether a quick look has to try renames even where preconditions are safe.

    Raises:
        NexusError: The server could not be observed, so nothing is known.
    """
    zone = ScratchZone(client, tell)
    tell("which release it is")
    fingerprint, version = await observe.fingerprint(client, zone.deadline)
    cleaned_up = False
    try:
        facts = await _observe(zone, look, rename_too=rename_too)
    finally:
        if look is Look.FULL:
            tell("cleaning up")
            cleaned_up = await zone.clean()
        else:
            zone.leave()
    return ProbeReport(
        facts=facts,
        judgement=judge(facts),
        fingerprint=fingerprint,
        version=version,
        requests=zone.requests,
        seconds=zone.seconds,
        cleaned_up=cleaned_up,
        scratch_zone=zone.zone_id,
        look=look,
        waited=zone.waited,
        sunset=client.sunset,
    )


async def _observe(zone: ScratchZone, look: Look, *, rename_too: bool) -> Facts:
    thorough = look is Look.FULL
    zone.tell("how it takes one writer's writes")
    basics = await zone.clear(
        partial(observe.basics, zone, thorough=thorough),
        # a write that is delivered again later looks as if the one after it had been dropped, and
        # not every release of 0.9 drops them
        lambda found: found.are_expected and found.stores,
    )
    facts = Facts(
        dialect=basics.dialect.name,
        etag=basics.etag,
        reads=basics.reads,
        stores_conditional_writes=basics.stores,
        enforces_preconditions=bool(basics.enforces),
    )
    if not basics.reads:
        return facts
    if basics.may_be_atomic or (thorough and basics.enforces):
        facts = await _with_races(zone, look, facts)
    elif basics.may_create:
        zone.tell("creates that race")
        creates = await zone.clear(partial(races.race_creates, zone, look=look))
        facts = replace(facts, creates=creates)
    if basics.enforces is None:
        facts = replace(facts, enforces_preconditions=await _enforces(zone, facts))
    if thorough:
        facts = await _with_extras(zone, facts)
    facts = replace(facts, write_seconds=facts.write_seconds or zone.slowest)
    if rename_too or thorough or Verdict.CONDITIONAL not in judge(facts).safe:
        facts = await _with_renames(zone, look, facts)
    if thorough and not zone.blocked:
        zone.tell("pages of a listing")
        facts = replace(facts, paging=await extras.paging(zone))
    return facts


async def _with_races(zone: ScratchZone, look: Look, facts: Facts) -> Facts:
    """The facts, and what became of writers who raced."""
    zone.tell("writers who race")
    updates = await zone.clear(partial(races.race_updates, zone, look=look, hashes=facts.etag))
    creates = None
    if updates.was_exclusive:
        creates = await zone.clear(partial(races.race_creates, zone, look=look))
    return replace(facts, updates=updates, creates=creates)


async def _enforces(zone: ScratchZone, facts: Facts) -> bool:
    """Whether preconditions are enforced: whoever lost a race was refused by one.

    That they are not is believed only of what was seen twice: one write that is delivered twice
    looks like it, and others go on by preconditions.
    """
    if facts.preconditions_are_atomic:
        return True
    experiment = partial(observe.basics, zone, thorough=True)
    again = await zone.clear(experiment, lambda found: bool(found.enforces))
    return bool(again.enforces)


async def _with_extras(zone: ScratchZone, facts: Facts) -> Facts:
    """The facts, and what no verdict depends on."""
    zone.tell("bulk requests and locks")
    files = await zone.clear(partial(extras.files, zone, kind=facts.etag))
    locks = await zone.clear(
        # one that was asked for twice looks as if it were held by another
        partial(extras.locks, zone),
        lambda kind: kind is not LockKind.SHARED,
    )
    return replace(
        facts,
        dialect=_dialect(facts, stale_etags=bool(files.stale_etags)),
        stale_etags=files.stale_etags,
        bulk=files.bulk,
        locks=locks,
        read_seconds=files.read_seconds,
        write_seconds=files.write_seconds,
    )


def _dialect(facts: Facts, *, stale_etags: bool) -> str:
    """The name of the dialect, of those that word their answers as this one does."""
    said = DIALECTS[facts.dialect].acknowledges
    alike = [row for row in DIALECTS.values() if row.acknowledges is said]
    return next((r.name for r in alike if r.stale_etags is stale_etags), facts.dialect)


async def _with_renames(zone: ScratchZone, look: Look, facts: Facts) -> Facts:
    """The facts, and what became of files renamed onto one name.

    After every other write, since a rename can block some servers for half a minute.
    """
    zone.tell("files renamed onto one name")
    blocks = facts.known is not None and facts.known.rename.blocks_in_directories
    at_root = blocks and await zone.clear(partial(races.takes_files_at_root, zone))
    return replace(facts, rename=await races.race_renames(zone, look, at_root=at_root))
