"""From what was observed to what is safe: pure, and the only place that decides it."""

from __future__ import annotations

from typing import Final

from nexus_bounty.nexus.client.quirks import DIALECTS, ConditionalWrites, EtagKind
from nexus_bounty.nexus.probe.report import Facts, Judgement, Race, RenameFacts, Verdict

SLOW_RENAME: Final = 2.0
"""Seconds from which on a rename is too slow to be what every commit needs."""
TIMES_A_WRITE: Final = 3.0
"""How many times as long as a write it may take even then, where everything is slow."""

_MEASURED: Final = ", ".join(release for row in DIALECTS.values() for release in row.measured)

_DROPPING: Final = " and ".join(
    row.releases for row in DIALECTS.values() if row.preconditions is ConditionalWrites.DROPPED
)

_ADVICE: Final = {
    Verdict.CONDITIONAL: 'use ConditionalCommit; the default, commit="auto", does',
    Verdict.RENAME: (
        "use RenameCommit, in every program of ours that writes the zone; the default, "
        'commit="auto", does'
    ),
    Verdict.SINGLE_WRITER: (
        "let one process alone write the zone, and say so with SingleWriter (--commit "
        "single-writer); others may read"
    ),
    Verdict.UNSAFE: (
        "use a server whose conditional writes are atomic, as they are on no release that was "
        f"measured, or one whose rename has one winner, as on all of them ({_MEASURED})"
    ),
}


_WITHOUT_KERNEL: Final = Judgement(
    verdict=Verdict.UNSAFE,
    safe=[],
    reasons=["files are written, and seen to be there, and cannot be read: its kernel is missing"],
    advice=[
        (
            "install the kernel of that release (nexus_kernel, which is in no package index), or "
            "use a release that needs none"
        )
    ],
)


def judge(facts: Facts) -> Judgement:
    """What is safe on a server on which `facts` were observed."""
    if not facts.reads:
        return _WITHOUT_KERNEL
    safe = _safe(facts)
    verdict = safe[0] if safe else Verdict.UNSAFE
    advice = [_ADVICE[verdict]]
    if verdict is Verdict.SINGLE_WRITER and Verdict.RENAME in safe:
        advice.append(
            f"or ask for RenameCommit (--commit rename), at {_rename_time(facts.rename)} a commit"
        )
    return Judgement(verdict=verdict, safe=safe, reasons=_reasons(facts), advice=advice)


def _safe(facts: Facts) -> list[Verdict]:
    """Every way that is safe, the best first."""
    checked = facts.stores_conditional_writes and facts.enforces_preconditions
    checked = checked and facts.preconditions_can_be_met
    decides = facts.rename is not None and facts.rename.decides
    found = []
    if checked and facts.preconditions_are_atomic and not _is_known_to_race(facts):
        found.append(Verdict.CONDITIONAL)
    if decides:
        found.append(Verdict.RENAME)
    if checked and decides:  # the lease of the one writer is won by rename
        found.append(Verdict.SINGLE_WRITER)
    if Verdict.CONDITIONAL not in found and _is_slow(facts):
        found.reverse()
    return found


def _is_known_to_race(facts: Facts) -> bool:
    """Whether nothing makes check and write one, so that a race not seen proves nothing."""
    return facts.known is not None and facts.known.preconditions is ConditionalWrites.RACE


def _is_slow(facts: Facts) -> bool:
    rename = facts.rename
    slow = max(SLOW_RENAME, TIMES_A_WRITE * facts.write_seconds)
    return rename is not None and (not rename.answered or rename.seconds >= slow)


def _rename_time(rename: RenameFacts | None) -> str:
    if rename is None:
        return "an unknown time"
    return f"{'' if rename.answered else 'more than '}{rename.seconds:.1f} s"


def _reasons(facts: Facts) -> list[str]:
    reasons = [_about_preconditions(facts)]
    if facts.rename is not None:
        reasons.append(_about_rename(facts.rename, is_slow=_is_slow(facts)))
    return reasons


def _about_preconditions(facts: Facts) -> str:
    if not facts.stores_conditional_writes:
        said = "a conditional write was acknowledged and never stored"
        drops = facts.known is not None and facts.known.preconditions is ConditionalWrites.DROPPED
        return f"{said}, as releases {_DROPPING} do" if drops else said
    if facts.etag is EtagKind.CONSTANT:
        return "the etag stays the same whatever the content, so every if_match succeeds"
    if not facts.enforces_preconditions:
        return "a write whose precondition did not hold was carried out"
    if not facts.preconditions_can_be_met:
        return "a read shows an etag that is not the file's, so every if_match with it is refused"
    for what, race in (("updates of one version", facts.updates), ("creates", facts.creates)):
        if race is not None and not race.was_exclusive:
            return f"preconditions race: of {race.writers} {what} at once, {_most(race)} were won"
    if _is_known_to_race(facts):
        return "preconditions of this release are known to race, though no race was seen now"
    return "preconditions are enforced, and of writers who raced never more than one won"


def _most(race: Race) -> int:
    return max(race.told_they_won, default=0)


def _about_rename(rename: RenameFacts, *, is_slow: bool) -> str:
    if not rename.exclusive and not rename.answered:
        return f"no file was renamed within {rename.seconds:.1f} s"
    if not rename.exclusive:
        return "several files were renamed onto one name"
    said = f"a rename onto a free name has one winner; it takes {_rename_time(rename)}"
    if not rename.decides:
        return f"{said}, but whose file won cannot be seen after it"
    if is_slow:
        return f"{said}, which is too slow for every commit"
    if not rename.readable:
        return f"{said}, and the new name keeps the etag, though not the content, of its file"
    if rename.from_root:
        return f"{said} for files at the root; those in a directory block this release for 30 s"
    return said
