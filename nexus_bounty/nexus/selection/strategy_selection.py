"""Which strategy a zone is committed with: found out by a probe, pinned in the zone for all.

A zone keeps its strategy while that is safe, whatever else becomes safe with another release:
programs that commit in different ways do not exclude each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events.log import logger_of
from nexus_bounty.models import Wire, utc_now
from nexus_bounty.nexus.client import File, NexusClient
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import RenameQuirks
from nexus_bounty.nexus.commit.conditional import ConditionalCommit
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.commit.single_writer import SingleWriter
from nexus_bounty.nexus.commit.unpinned import UnpinnedReads
from nexus_bounty.nexus.documents.commits import CommitStrategy, ZoneReads
from nexus_bounty.nexus.documents.marker_layout import ZoneLayout
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.signing import Signer
from nexus_bounty.nexus.probe import Look, ProbeReport, Verdict, probe
from nexus_bounty.nexus.probe.observe import fingerprint
from nexus_bounty.outcomes import Evidence, Observation, Proof, UnsupportedServerError
from nexus_bounty.transactions import Clock

logger = logger_of("nexus_bounty.nexus")

MAX_AGE: Final = timedelta(days=7)
MAX_AGE_OF_A_REFUSAL: Final = timedelta(minutes=10)
"""How long a zone stays closed because of one probe that went wrong."""
TIMES_TO_PIN: Final = 3
"""How often a first verdict is pinned that is not seen afterwards."""
PINNING_MAY_LAST: Final = 2.0
"""Seconds; a server that a rename has blocked writes the pin when it comes to it."""


class PinnedVerdict(Wire, frozen=True, kw_only=True):
    """The probe of a zone's server, and what the zone is committed with: `None` if nothing yet.

    `layout` says how its markers lie. `mac` signs all of it, for this zone, where that is signed.
    """

    report: ProbeReport
    strategy: Verdict | None = None
    layout: ZoneLayout = ZoneLayout()
    mac: str | None = None

    @property
    def quirks(self) -> RenameQuirks:
        """What whoever commits by rename here has to mind."""
        return self.report.facts.quirks


class NotPinnedError(UnsupportedServerError):
    """What is safe here was found and could not be pinned: the next attempt may do it."""


class _Pin(NamedTuple):
    """What lies where a verdict is pinned, and the verdict that it is, if it is one that counts."""

    file: File | None
    verdict: PinnedVerdict | None


async def pinned_verdict(
    client: NexusClient, zone: ZonePaths, deadline: Deadline
) -> PinnedVerdict | None:
    """What was pinned in the zone; `None` if nothing was, or nothing that we understand or trust.

    Raises:
        NexusError: It could not be read.
    """
    return (await _look_at_pin(client, zone, deadline)).verdict


async def _look_at_pin(client: NexusClient, zone: ZonePaths, deadline: Deadline) -> _Pin:
    file = await client.read(zone.pinned_verdict, deadline=deadline)
    return _Pin(file, _understood(file, Signer.of(client.settings)))


def _understood(file: File | None, signer: Signer) -> PinnedVerdict | None:
    """The verdict that `file` is, if it is one that counts: then the server is not probed again."""
    if file is None:
        return None
    try:
        stored = msgspec.json.decode(file.content, type=dict[str, Any])
        pinned = msgspec.convert(stored, PinnedVerdict)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        logger.warning("the pinned verdict %s cannot be understood: %s", file.path, error)
        return None
    if not signer.has_made(pinned.mac, *_signed_part(file.path, stored)):
        logger.warning("the pinned verdict %s is signed with no key of this zone", file.path)
        return None
    return msgspec.structs.replace(pinned, mac=None)


def _signed_part(path: str, stored: Mapping[str, Any]) -> tuple[Any, ...]:
    return "verdict", path, {key: item for key, item in stored.items() if key != "mac"}


async def choose(
    client: NexusClient,
    zone: ZonePaths,
    deadline: Deadline,
    *,
    wanted: Verdict | None = None,
    max_age: timedelta = MAX_AGE,
    clock: Clock = utc_now,
) -> PinnedVerdict:
    """The verdict for a zone: the pinned one while it holds, and a new probe's otherwise.

    Args:
        client: The server.
        zone: The zone.
        deadline: When to stop asking for what is known; a probe has bounds of its own.
        wanted: The strategy to use; the recommended one if not given. `SINGLE_WRITER` is only
            ever used when wanted.
        max_age: How old a pinned verdict may be; one that closes the zone may be ten minutes old.
        clock: The current time, aware.

    Raises:
        UnsupportedServerError: What is wanted, or everything, is unsafe here (pre-commit).
        NotPinnedError: It is safe, and others cannot see that it was chosen (pre-commit).
        NexusError: It could not be found out.
    """
    pin = await _first_look_at_pin(client, zone, deadline)
    pinned = pin.verdict
    # one of the future is from a clock that was wrong, and would close the zone until then
    fresh = pinned and abs(clock() - pinned.report.probed_at) <= _lasts(pinned, wanted, max_age)
    before = pinned.strategy if pinned else None
    rename_too = not {wanted, before}.isdisjoint((Verdict.RENAME, Verdict.SINGLE_WRITER))
    if (
        pinned
        and fresh
        and _says_enough(pinned.report, rename_too=rename_too)
        and await _is_the_same_server(client, pinned, deadline)
    ):
        report = pinned.report
    else:
        logger.info("finding out how commits are safe on %s …", client.settings.url)
        report = await probe(client, look=Look.QUICK, rename_too=rename_too)
        report = msgspec.structs.replace(report, probed_at=clock())
    layout = pinned.layout if pinned else ZoneLayout.of_new_zone(client.settings, clock())
    found, refusal = _decide(report, pinned, wanted, layout)
    if found != pinned:
        standing = await _pin_seen(client, zone, found, pin)
        if standing is not None and standing != found:  # another was first, or laid it out anew
            has_looked = rename_too or _says_enough(report, rename_too=True)
            if standing.strategy is Verdict.RENAME and not has_looked:
                return await choose(
                    client, zone, deadline, wanted=wanted, max_age=max_age, clock=clock
                )
            found, refusal = _decide(report, standing, wanted, standing.layout)
        unseen = None if refusal else _unseen(found, standing, report)
        if unseen:
            raise NotPinnedError(unseen, evidence=_evidence(client, report))
    if refusal:
        raise UnsupportedServerError(refusal, evidence=_evidence(client, report))
    return found


async def _first_look_at_pin(client: NexusClient, zone: ZonePaths, deadline: Deadline) -> _Pin:
    """What is pinned.

    Raises:
        UnsupportedServerError: It cannot be read, and nor can any other: the kernel is missing.
        NexusError: It could not be read.
    """
    try:
        return await _look_at_pin(client, zone, deadline)
    except NexusError as error:
        if error.reason is Reason.SERVER_ERROR:
            report = await probe(client, look=Look.QUICK)
            if not report.facts.reads:
                refusal = _refusal(report, None, None, same_server=True)
                raise UnsupportedServerError(
                    refusal or "", evidence=_evidence(client, report)
                ) from error
        raise


def _says_enough(report: ProbeReport, *, rename_too: bool) -> bool:
    """Whether a probe looked at renames, where that is asked for: a quick one may not have."""
    return report.facts.rename is not None or not rename_too


def _lasts(pinned: PinnedVerdict, wanted: Verdict | None, max_age: timedelta) -> timedelta:
    """How old a verdict may be, for a program that wants this."""
    return min(max_age, MAX_AGE_OF_A_REFUSAL) if _is_closed(pinned, wanted) else max_age


def _is_closed(pinned: PinnedVerdict, wanted: Verdict | None) -> bool:
    """Whether this program may not commit because of what one probe saw, and the next may not see.

    What others have chosen is no matter of a probe.
    """
    report, before = pinned.report, pinned.strategy
    if before is None and wanted is None:
        return report.verdict in (Verdict.UNSAFE, Verdict.SINGLE_WRITER)
    clashes = before is not None and wanted is not None and _would_clash(before, wanted)
    needed = {before} if clashes else {before, wanted}
    return not needed - {None} <= set(report.judgement.safe)


async def _is_the_same_server(
    client: NexusClient, pinned: PinnedVerdict, deadline: Deadline
) -> bool:
    now, _ = await fingerprint(client, deadline)
    return now == pinned.report.fingerprint


def _decide(
    report: ProbeReport,
    pinned: PinnedVerdict | None,
    wanted: Verdict | None,
    layout: ZoneLayout,
) -> tuple[PinnedVerdict, str | None]:
    """What to go by, and why this program may not commit, if it may not."""
    before = pinned.strategy if pinned else None
    same_server = pinned is not None and pinned.report.fingerprint == report.fingerprint
    refusal = _refusal(report, before, wanted, same_server=same_server)
    strategy = before if refusal else wanted or _standing(report, before)
    return PinnedVerdict(report=report, strategy=strategy, layout=layout), refusal


def _standing(report: ProbeReport, before: Verdict | None) -> Verdict:
    """What a zone is committed with if nobody wants anything else."""
    safe = report.judgement.safe
    if before is Verdict.SINGLE_WRITER and Verdict.CONDITIONAL in safe:
        return Verdict.CONDITIONAL  # the same files, by the same writes
    return before if before is not None and before in safe else report.verdict


def _refusal(
    report: ProbeReport, before: Verdict | None, wanted: Verdict | None, *, same_server: bool
) -> str | None:
    """Why the zone cannot be committed with what is wanted, or with anything."""
    safe = report.judgement.safe
    seen = "; ".join(report.judgement.reasons)
    way_out = f"The way out: {'; '.join(report.judgement.advice)}"
    if before is Verdict.RENAME and before not in safe:
        return (
            "this zone was committed with rename, so its files alone may be out of date, and "
            f"rename is no longer safe on this server: {seen}"
        )
    if not safe:
        return f"no safe way to commit on this server is known: {seen}. {way_out}"
    if before is Verdict.CONDITIONAL and before not in safe and same_server:
        # others may commit by preconditions for some minutes yet: to change over now is not safe
        return (
            "this zone is committed by preconditions, which looked safe on this server before, "
            f"and do not now: {seen}. If that stays so, stop every program that writes the zone "
            "and delete its probe.json"
        )
    if wanted is not None and wanted not in safe:
        return f"to commit with {wanted.value} is not safe on this server: {seen}. {way_out}"
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


def _evidence(client: NexusClient, report: ProbeReport) -> Evidence:
    seen = [
        Observation(action="probe", target=client.settings.url, answer=reason, at=report.probed_at)
        for reason in report.judgement.reasons
    ]
    return Evidence(proof=Proof.NEVER_SENT, observations=seen)


async def _pin_seen(
    client: NexusClient, zone: ZonePaths, found: PinnedVerdict, pin: _Pin
) -> PinnedVerdict | None:
    """Pin what was found until a pin is seen, where others could find out something else.

    `pin` is what was there before.
    """
    times = TIMES_TO_PIN if found.report.facts.preconditions_may_hold else 1
    why, deadline, attempt = "the pin was not seen", client.deadline(), 1
    stood, pin = pin.verdict, await _pin(client, zone, found, pin)
    while pin.verdict == stood and attempt < times:
        if not await client.retries.rest(attempt, deadline, why=why):
            break
        attempt += 1
        pin = await _pin(client, zone, found, pin)
    return pin.verdict


async def _pin(client: NexusClient, zone: ZonePaths, found: PinnedVerdict, before: _Pin) -> _Pin:
    """Pin what was found, for every program of the zone; what is pinned now, if anything is.

    A verdict that was there `before` may be of another layout by now, which stays, as does what
    another program has chosen since. Where another may find out something else at the same time,
    only what was there is written over.
    """
    deadline = Deadline.after(PINNING_MAY_LAST)
    facts, stood = found.report.facts, before.verdict
    # where conditional writes are not stored there is only rename, so that none can clash
    checked = facts.stores_conditional_writes
    try:
        if stood is not None:
            before = await _look_at_pin(client, zone, deadline)
        if stood is not None and before.verdict is not None:
            if before.verdict.strategy is not stood.strategy:
                return before
            found = msgspec.structs.replace(found, layout=before.verdict.layout)
            checked = facts.preconditions_may_hold
        await pin_anew(client, zone, found, over=before.file, checked=checked, deadline=deadline)
        if before.verdict is not None:
            return before._replace(verdict=found)
    except NexusError as error:
        logger.info("the verdict of the probe was not pinned: %s", error)
    return await _look_at_pin(client, zone, client.deadline())


def _unseen(
    found: PinnedVerdict, standing: PinnedVerdict | None, report: ProbeReport
) -> str | None:
    """Why `found` is not to be gone by while others cannot see it pinned, if it is not.

    Where only renames can be safe, others will find that by themselves. Elsewhere a probe that was
    disturbed finds renames where an undisturbed one finds preconditions; and what only this program
    wants nobody else would find.
    """
    is_pinned = standing is not None and standing.strategy is found.strategy
    if is_pinned or found.strategy is None:
        return None
    if found.strategy is report.verdict and not report.facts.preconditions_may_hold:
        return None
    return (
        f"to commit with {found.strategy.value} could not be pinned: other programs might commit "
        "in another way, unseen. Try again"
    )


async def pin_anew(
    client: NexusClient,
    zone: ZonePaths,
    found: PinnedVerdict,
    *,
    over: File | None = None,
    checked: bool = False,
    deadline: Deadline | None = None,
) -> None:
    """Write and sign the pin of a zone; `checked` only if what is there is as it was in `over`.

    Raises:
        NexusError: It was not acknowledged.
    """
    path = zone.pinned_verdict
    mac = Signer.of(client.settings).mac(*_signed_part(path, msgspec.to_builtins(found)))
    content = msgspec.json.encode(msgspec.structs.replace(found, mac=mac))
    await client.write(
        path,
        content,
        if_match=over.etag if checked and over else None,
        if_none_match=checked and over is None,
        idempotent=not checked,
        deadline=deadline,
    )


def strategy_for(
    pinned: PinnedVerdict,
    client: NexusClient,
    zone: ZonePaths,
    clock: Clock = utc_now,
) -> CommitStrategy:
    """The strategy that a zone is committed with; `clock` is that of whoever leases it."""
    if pinned.strategy is Verdict.RENAME:
        return RenameCommit(client, pinned.quirks)
    if pinned.strategy is Verdict.SINGLE_WRITER:
        return SingleWriter(client, zone.zone_id, quirks=pinned.quirks, clock=clock)
    return ConditionalCommit(client)


def reader_for(pinned: PinnedVerdict | None, client: NexusClient) -> ZoneReads:
    """What sees all that was committed in a zone; in whatever way, if nothing is known of it."""
    if pinned is None or pinned.strategy is None:
        return UnpinnedReads(client)
    if pinned.strategy is Verdict.RENAME:
        return RenameCommit(client, pinned.quirks)
    return ConditionalCommit(client)
