"""What each step of a bounty is to write: its document, and the markers that go before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import msgspec

from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.nexus.bounties import transitions
from nexus_bounty.nexus.bounties.status_index import StatusIndex, generation_after
from nexus_bounty.nexus.bounties.transitions import Transition
from nexus_bounty.nexus.documents import Document
from nexus_bounty.nexus.documents.commits import Intent
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.records import bounty_tombstone, changed, new_value, to_bounty
from nexus_bounty.nexus.documents.writer import DocumentWriter
from nexus_bounty.outcomes import BountyStateError, Proof


@dataclass(frozen=True, slots=True)
class BountyIntents:
    """The intents of creations and transitions in one zone; nothing is sent here."""

    writer: DocumentWriter
    zone: ZonePaths
    index: StatusIndex
    clock: Callable[[], datetime]
    next_key: str | None = None
    """The key of the step that is expected to follow, whose intent goes with each."""

    def creation(self, operation: Operation, bounty: Bounty, base: Document | None) -> Intent:
        """The intent to store `bounty`, over the tombstone `base` if there is one."""
        generation = base.history.seq + 1 if base else None
        return self.writer.intend(
            operation,
            self.zone.bounty(bounty.bounty_id),
            base,
            new_value(bounty, base),
            tombstone=bounty_tombstone(bounty),
            marker_seq=generation,
            announcing=partial(self._announcing, bounty, bounty.status, generation),
            expected=self._expected,
        )

    def markers_of_creation(self, bounty: Bounty, base: Document | None) -> list[str]:
        """The markers that were written for the creation of `bounty` over `base`."""
        generation = base.history.seq + 1 if base else None
        return self.index.of(bounty, bounty.status, generation, bounty.updated_at)

    def step(self, operation: Operation, transition: Transition, document: Document) -> Intent:
        """The intent to take the bounty in `document` through `transition`.

        Raises:
            BountyStateError: Its state does not allow it (pre-commit).
        """
        bounty = self.writer.view(operation, document, to_bounty)
        if refusal := transition.refusal(bounty, document.history):
            raise operation.error(
                BountyStateError,
                Proof.DOCUMENT,
                f"bounty {bounty.bounty_id!r}: {refusal}",
                current_status=bounty.status.value,
            )
        if transition.target is bounty.status:
            return self._moved(operation, transition, document, bounty)
        seq = _generation(transition, document, bounty)
        announcing = partial(self._announcing, bounty, transition.target, seq)
        return self._moved(operation, transition, document, bounty, announcing)

    def _announcing(
        self, bounty: Bounty, status: BountyStatus, generation: int | None, intent: Intent
    ) -> tuple[str, ...]:
        """The markers that have to be there before `intent` takes `bounty` to `status`."""
        at = msgspec.convert(intent.value["updatedAt"], datetime)
        return self.index.announcing(bounty, status, generation, at)

    def _expected(self, document: Document) -> Intent | None:
        """The intent of the step that is expected after `document`, whose markers are written."""
        bounty = to_bounty(document)
        transition = transitions.expected_after(bounty)
        if transition is None or self.next_key is None:
            return None
        if _generation(transition, document, bounty) is not None:
            return None  # it has a marker of its own, which nothing has announced yet
        step = self.writer.planned(
            "", transition.kind, bounty.bounty_id, transition.parameters, self.next_key
        )
        return self._moved(step, transition, document, bounty)

    def _moved(
        self,
        operation: Operation,
        transition: Transition,
        document: Document,
        bounty: Bounty,
        announcing: Callable[[Intent], tuple[str, ...]] | None = None,
    ) -> Intent:
        """The intent to take `bounty`, which is in `document`, through `transition`."""
        moved = {"status": transition.target.value, "updatedAt": self._now_after(bounty)}
        return self.writer.intend(
            operation,
            document.path,
            document,
            changed(document.value, {**transition.changes, **msgspec.to_builtins(moved)}),
            marker_seq=_generation(transition, document, bounty),
            gave_back=bounty.claim_id if transition.kind == "release" else None,
            announcing=announcing,
            expected=self._expected,
        )

    def _now_after(self, bounty: Bounty) -> datetime:
        """The current time, but never before the bounty's last update (clocks differ)."""
        return max(self.clock(), bounty.updated_at)


def _generation(transition: Transition, document: Document, bounty: Bounty) -> int | None:
    """The generation of the marker of what `transition` leads to."""
    history = document.history
    return generation_after(history, bounty.status, transition.target, history.seq + 1)
