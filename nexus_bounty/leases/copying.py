"""Claims moved to another place: every lease as it stands, and what each key was used for.

What is there already is passed over, so that a copy can be repeated and carried on. A claim that
both places have is replaced if it is active in the copy, and was neither changed nor renewed
later there, nor for longer: a place that went its own way since is not overwritten, but told of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from nexus_bounty.idempotency import RETENTION
from nexus_bounty.leases.book import ClaimBook, ClaimScope, KeyUse
from nexus_bounty.models import Claim, ClaimStatus, Wire
from nexus_bounty.transactions import Announced, Transactional

PAGE: Final = 500
"""How many rows a walk holds."""


class ClaimsCopy(Wire, frozen=True, kw_only=True):
    """What was copied, and whether the two are the same now.

    Attributes:
        claims: How many claims the source has.
        copied: How many of them were written, new or changed.
        keys: How many keys were written, with what they were used for.
        problems: What is not the same.
    """

    claims: int
    copied: int
    keys: int
    problems: Sequence[str] = ()


class CopyableClaims(Transactional[ClaimBook]):
    """Claims that can be copied, and be a copy."""

    async def claim_pages(self, *, active: bool = False) -> AsyncIterator[list[Claim]]:
        """All claims by their ids, a page at a time, or those alone that are active.

        Raises:
            CommitUnknownError: The claims could not be read.
        """
        after = ""
        while page := await self._read("claims", partial(_page, after=after, active=active)):
            yield page
            after = page[-1].claim_id

    async def key_use_pages(self) -> AsyncIterator[list[KeyUse]]:
        """What all keys were used for, by the keys, a page at a time.

        Raises:
            CommitUnknownError: The claims could not be read.
        """
        after = ""
        while page := await self._read("keys", partial(_page_of_uses, after=after)):
            yield page
            after = page[-1].key

    async def take_over_claims(self, page: Sequence[Claim]) -> int:
        """Write what is missing or has changed; returns how many.

        A claim on a target that another has here is left out: both would hold it.

        Raises:
            PreCommitError: They could not be written.
            CommitUnknownError: They may have been written; ask again.
        """
        work = partial(_take_over, page=page)
        return await self._write("take_over", None, Announced(_scope_of(page), work))

    async def take_over_key_uses(self, page: Sequence[KeyUse]) -> int:
        """Write down what is not known of these keys; returns of how many.

        Raises:
            PreCommitError: It could not be written.
            CommitUnknownError: It may have been written; ask again.
        """
        oldest = self._clock() - RETENTION
        young = [use for use in page if use.at >= oldest]
        work = partial(_remember, page=young, forget_before=oldest)
        return await self._write("take_over", None, Announced(_scope_of_keys(young), work))

    async def key_uses_that_differ(self, page: Sequence[KeyUse]) -> list[str]:
        """The keys that were used for something else here.

        Raises:
            CommitUnknownError: The keys could not be read.
        """
        work = partial(_used_otherwise, page=page)
        return await self._read("compare", Announced(_scope_of_keys(page), work))

    async def claims_that_differ(self, page: Sequence[Claim]) -> list[str]:
        """The ids of those that are not here as they are given.

        Raises:
            CommitUnknownError: The claims could not be read.
        """
        work = partial(_different, page=page)
        return await self._read("compare", Announced(_scope_of(page), work))


async def copy_claims(
    source: CopyableClaims, target: CopyableClaims, step: Callable[[], None] = lambda: None
) -> ClaimsCopy:
    """Copy all claims of `source` to `target`, and compare them; `step` is called for each page.

    Raises:
        PreCommitError: The target could not be written.
        CommitUnknownError: One of them did not answer; ask again.
    """
    copied = keys = 0
    for active in (False, True):  # those that have ended first: their targets are free then
        async for page in source.claim_pages():
            chosen = [each for each in page if (each.status is ClaimStatus.ACTIVE) is active]
            copied += await target.take_over_claims(chosen)
            step()
    async for uses in source.key_use_pages():
        keys += await target.take_over_key_uses(uses)
    claims, problems = await _differences(source, target)
    return ClaimsCopy(claims=claims, copied=copied, keys=keys, problems=problems)


async def _differences(source: CopyableClaims, target: CopyableClaims) -> tuple[int, list[str]]:
    """How many claims the source has, and what the target has otherwise."""
    count, problems = 0, list[str]()
    async for page in source.claim_pages():
        count += len(page)
        problems += [f"claim {each} differs" for each in await target.claims_that_differ(page)]
    async for active in target.claim_pages(active=True):
        others = await source.claims_that_differ(active)
        problems += [f"claim {each} is active in the target" for each in others]
    async for uses in source.key_use_pages():
        other_keys = await target.key_uses_that_differ(uses)
        problems += [f"key {each} was used for something else" for each in other_keys]
    return count, problems


def _page(book: ClaimBook, after: str, *, active: bool) -> list[Claim]:
    return book.active_after(after, PAGE) if active else book.claims_after(after, PAGE)


def _page_of_uses(book: ClaimBook, after: str) -> list[KeyUse]:
    return book.key_uses_after(after, PAGE)


def _scope_of(page: Sequence[Claim]) -> ClaimScope:
    return ClaimScope(
        targets=tuple({each.target_ref for each in page}),
        claims=tuple(each.claim_id for each in page),
    )


def _take_over(book: ClaimBook, page: Sequence[Claim]) -> int:
    taken = 0
    for claim in page:
        known = book.claim(claim.claim_id)
        is_older = known is None or _became(known, claim)
        if is_older and not _is_held_by_another(book, claim):
            book.save(claim)
            taken += 1
    return taken


def _became(known: Claim, claim: Claim) -> bool:
    """Whether a claim may be what became of the one that is known, which then did not move on.

    What has ended stays so, and no lease gets shorter. Revisions count what each place did; only
    a renewal has a time.
    """
    keeps_promise = (
        claim.status is not ClaimStatus.ACTIVE or known.lease_expires_at <= claim.lease_expires_at
    )
    return (
        known.status is ClaimStatus.ACTIVE
        and known.revision < claim.revision
        and known.heartbeat_at <= claim.heartbeat_at
        and keeps_promise
    )


def _is_held_by_another(book: ClaimBook, claim: Claim) -> bool:
    if claim.status is not ClaimStatus.ACTIVE:
        return False
    return any(each.claim_id != claim.claim_id for each in book.active(claim.target_ref))


def _scope_of_keys(page: Sequence[KeyUse]) -> ClaimScope:
    return ClaimScope(keys=tuple(use.key for use in page))


def _remember(book: ClaimBook, page: Sequence[KeyUse], forget_before: datetime) -> int:
    unknown = [use for use in page if book.key_use(use.key) is None]
    for use in unknown:
        book.remember(use, forget_before)
    return len(unknown)


def _used_otherwise(book: ClaimBook, page: Sequence[KeyUse]) -> list[str]:
    return [use.key for use in page if book.key_use(use.key) not in (None, use)]


def _different(book: ClaimBook, page: Sequence[Claim]) -> list[str]:
    return [each.claim_id for each in page if book.claim(each.claim_id) != each]
