"""Which strategy a zone is committed with: found out by a probe, pinned in the zone for all.

A zone keeps its strategy while that is safe, whatever else becomes safe with another release:
programs that commit in different ways do not exclude each other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from nexus_bounty.models import Wire, utc_now
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.commit.conditional import ConditionalCommit
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.commit.results import CommitStrategy
from nexus_bounty.nexus.commit.single_writer import SingleWriter
from nexus_bounty.nexus.errors import NexusError
from nexus_bounty.nexus.paths import ZonePaths
from nexus_bounty.nexus.probe import ProbeReport, Verdict, probe
from nexus_bounty.nexus.probe.observe import fingerprint
from nexus_bounty.outcomes import UnsupportedServerError

logger = logging.getLogger("nexus_bounty.nexus")

MAX_AGE: Final = timedelta(days=7)


class PinnedVerdict(Wire, frozen=True, kw_only=True):
    """The probe of a zone's server, and what the zone is committed with: `None` if nothing yet."""

    report: ProbeReport
    strategy: Verdict | None = None


async def pinned_verdict(client: NexusClient, zone: ZonePaths) -> PinnedVerdict | None:
    """What was pinned in the zone; `None` if nothing was, or nothing that we understand."""
    file = await client.read(zone.pinned_verdict)
    if file is None:
        return None
    try:
        return msgspec.json.decode(file.content, type=PinnedVerdict)
    except msgspec.MsgspecError as error:
        logger.warning("the pinned verdict %s cannot be understood: %s", file.path, error)
        return None


async def choose(
    client: NexusClient,
    zone: ZonePaths,
    *,
    wanted: Verdict | None = None,
    max_age: timedelta = MAX_AGE,
    clock: Callable[[], datetime] = utc_now,
) -> PinnedVerdict:
    """The verdict for a zone: the pinned one while it holds, and a new probe's otherwise.

    Args:
        client: The server.
        zone: The zone.
        wanted: The strategy to use; the recommended one if not given. `SINGLE_WRITER` is only
            ever used when wanted.
        max_age: How old a pinned verdict may be.
        clock: The current time, aware.

    Raises:
        UnsupportedServerError: What is wanted, or everything, is unsafe here (pre-commit).
        NexusError: It could not be found out.
    """
    pinned = await pinned_verdict(client, zone)
    before = pinned.strategy if pinned else None
    if pinned is not None and await _still_holds(client, pinned, clock() - max_age):
        report = pinned.report
    else:
        report = await probe(client)
    refusal = _refusal(report, before, wanted)
    strategy = before if refusal else wanted or _standing(report, before)
    found = PinnedVerdict(report=report, strategy=strategy)
    if found != pinned:
        await _pin(client, zone, found)
    if refusal:
        raise UnsupportedServerError(refusal)
    return found


async def _still_holds(client: NexusClient, pinned: PinnedVerdict, oldest: datetime) -> bool:
    if pinned.report.probed_at < oldest:
        return False
    now, _ = await fingerprint(client)
    return now == pinned.report.fingerprint


def _standing(report: ProbeReport, before: Verdict | None) -> Verdict:
    """What a zone is committed with if nobody wants anything else."""
    safe = report.judgement.safe
    if before is Verdict.SINGLE_WRITER and Verdict.CONDITIONAL in safe:
        return Verdict.CONDITIONAL  # the same files, by the same writes
    return before if before is not None and before in safe else report.verdict


def _refusal(report: ProbeReport, before: Verdict | None, wanted: Verdict | None) -> str | None:
    """Why the zone cannot be committed with what is wanted, or with anything."""
    safe = report.judgement.safe
    seen = "; ".join(report.judgement.reasons)
    way_out = f"The way out: {'; '.join(report.judgement.advice)}"
    if before is Verdict.RENAME and before not in safe:
        return (
            "this zone was committed with rename, so its files alone may be out of date, and "
            f"rename is no longer safe on this server: {seen}"
        )
    if not safe or (wanted is not None and wanted not in safe):
        what = f"to commit with {wanted.value}" if wanted and safe else "to commit"
        return f"no safe way {what} on this server is known: {seen}. {way_out}"
    standing = _standing(report, before)
    if before is not None and wanted is not None and _would_clash(standing, wanted):
        return (
            f"this zone is committed with {standing.value}, and programs that commit with "
            f"{wanted.value} would write over it unseen. To change that, stop them all and delete "
            "its probe.json"
        )
    if wanted is None and standing is Verdict.SINGLE_WRITER:
        return f"this server is safe for a single writer only: {seen}. {way_out}"
    return None


def _would_clash(standing: Verdict, wanted: Verdict) -> bool:
    return (standing is Verdict.RENAME) is not (wanted is Verdict.RENAME)


async def _pin(client: NexusClient, zone: ZonePaths, pinned: PinnedVerdict) -> None:
    content = msgspec.json.encode(pinned)
    try:
        await client.write(zone.pinned_verdict, content, idempotent=True)
    except NexusError as error:
        logger.warning("the verdict of the probe could not be pinned: %s", error)


def strategy_for(verdict: Verdict, client: NexusClient, zone: ZonePaths) -> CommitStrategy:
    """The strategy that a verdict asks for."""
    if verdict is Verdict.RENAME:
        return RenameCommit(client)
    if verdict is Verdict.SINGLE_WRITER:
        return SingleWriter(client, zone.zone_id)
    return ConditionalCommit(client)
