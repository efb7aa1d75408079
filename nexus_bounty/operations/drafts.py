"""Drafts: what a create writes before it asks for credits, and how that is taken back.

A create that was refused can be tried again, with its key or another one. Each try has a
reservation of its own, so that no late request of an earlier one, to reserve, to open or to give
back, ever meets a later one: a draft that is discarded gives its reservation back for good, and no
bounty of its id can be opened with that any more. Opening has the same key in every try, because a
key opens one bounty once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

import msgspec

from nexus_bounty.idempotency import History, OperationRecord, derived_id, derived_key
from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.operations.services import Services, taken_forward
from nexus_bounty.operations.steps import DRAFT, GIVE_UP, numbered, operation_key, step_of, try_of
from nexus_bounty.outcomes import BountyStateError

USUAL_ZONE: Final = "default"
"""One ledger may serve many zones: only this one is not named in what is derived."""


@dataclass(frozen=True, slots=True)
class Try:
    """One try of the create with `key`: the first, or the one after `number - 1` were refused."""

    key: str
    bounty_id: str
    number: int = 1
    zone_id: str = USUAL_ZONE

    @property
    def reservation_id(self) -> str:
        """A reservation that no other bounty, zone or try can have, whatever key is reused."""
        own = derived_key(self.key, _escaped(self.bounty_id))
        if self.zone_id != USUAL_ZONE:
            own += f"%z{_escaped(self.zone_id)}"
        if self.number > 1:
            own += f"%n{self.number}"
        return derived_id("reservation", own)

    def draft_of(self, offer: Bounty) -> Bounty:
        """The draft of what is to be posted."""
        return msgspec.structs.replace(
            offer, status=BountyStatus.DRAFT, reservation_id=self.reservation_id
        )

    def after(self, history: Sequence[OperationRecord]) -> Try:
        """The first try, from this one on, whose reservation was not given back."""
        past = History(ops=history)
        tries = (replace(self, number=number) for number in count(self.number))
        return next(each for each in tries if not past.has_given_back(each.reservation_id))

    def step(self, name: str) -> str:
        """The name of a step that every try has of its own."""
        return numbered(name, self.number)


def _escaped(name: str) -> str:
    """`name`, which has no `%`, without what separates names in a key: each makes another."""
    return name.replace(":", "%3A")


def made_by(bounty_id: str, history: Sequence[OperationRecord]) -> Try | None:
    """The try of a create that made the draft with this history; `None` if none of ours did."""
    for record in reversed(history):
        step = step_of(record.key)
        if step is not None and step.name == DRAFT and not record.aborted:
            return Try(operation_key(record.key), bounty_id, try_of(record.key))
    return None


async def discard(services: Services, draft: Bounty, attempt: Try) -> None:
    """Take a draft back for good, whoever else does so, too.

    Raises:
        BountyStateError: It was opened (pre-commit).
        PreCommitError: It could not be taken back, so that it may yet be opened.
        CommitUnknownError: Whether it is taken back is not known.
    """

    async def bury(step_key: str) -> Bounty:
        try:
            await services.store.discard_draft(
                draft.bounty_id, draft.reservation_id or "", idempotency_key=step_key
            )
        except BountyStateError as refusal:
            if refusal.current_status != BountyStatus.CANCELLED:
                raise
        return draft

    await taken_forward(services, bury, attempt.key, attempt.step(GIVE_UP), [])


def as_cancelled(draft: Bounty) -> Bounty:
    """A draft that was taken back, as one whose credits go back to its creator."""
    return msgspec.structs.replace(draft, status=BountyStatus.CANCELLED)
