"""The transitions of a bounty document: what each changes, and when it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from nexus_bounty.idempotency import History
from nexus_bounty.lifecycle import holder_of, sources_of
from nexus_bounty.models import AgentIdentity, Bounty, BountyStatus
from nexus_bounty.nexus.documents.records import to_value
from nexus_bounty.statuses import STATUSES, Claimer

STATUS_AFTER: Final[Mapping[str, BountyStatus]] = {
    "create": BountyStatus.OPEN,
    "fund": BountyStatus.OPEN,
    "claim": BountyStatus.CLAIMED,
    "release": BountyStatus.OPEN,
    "begin_settlement": BountyStatus.PENDING_SETTLEMENT,
    "complete": BountyStatus.COMPLETED,
    "settle": BountyStatus.SETTLED,
    "expire": BountyStatus.EXPIRED,
    "cancel": BountyStatus.CANCELLED,
}
"""What each kind of write makes of a bounty; a `create` with escrow begins with a draft."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One transition as asked for.

    `sources` are the statuses it may start from. `changes` are top-level keys of the document;
    `None` removes one. `parameters` are what makes two requests the same request. `only_by` is
    the agent who alone may leave `claimed` this way, and `cid` the only contribution a bounty past
    the pivot may be completed with. `once` is a claim or a reservation that cannot be used any more
    once it was given back.
    Preconditions, and no parameters: `examined_claim` is the one that a claimed bounty must still
    be claimed by, `examined_escrow` the reservation that it must still name.
    """

    kind: str
    target: BountyStatus
    sources: tuple[BountyStatus, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    only_by: str | None = None
    cid: str | None = None
    once: str | None = None
    examined_claim: str | None = None
    examined_escrow: str | None = None

    def refusal(self, bounty: Bounty, history: History) -> str | None:
        """Why `bounty`, after its `history`, does not allow this transition; `None` if it does."""
        if bounty.status not in self.sources and bounty.status is self.target:
            return f"it is {bounty.status.value} already{_for_which_work(self, bounty)}"
        if bounty.status not in self.sources:
            return f"a bounty that is {bounty.status.value} cannot become {self.target.value}"
        claimer = STATUSES[bounty.status].claimer
        if claimer is Claimer.AT_WORK and self.only_by not in (None, holder_of(bounty)):
            return f"it is claimed by {holder_of(bounty)!r}, not by {self.only_by!r}"
        if claimer is Claimer.AT_WORK and self.examined_claim not in (None, bounty.claim_id):
            return f"it is claimed by {bounty.claim_id!r} now, not by {self.examined_claim!r}"
        if self.examined_escrow not in (None, bounty.reservation_id):
            return "it is another one than was looked at: it names other credits"
        if self.cid is not None and bounty.fulfilled_by_cid not in (None, self.cid):
            return f"it is being settled with contribution {bounty.fulfilled_by_cid!r}"
        spent = self.once is not None and history.has_given_back(self.once)
        if spent and claimer is Claimer.NONE:
            return f"{self.once!r} was given back"
        return None


def _for_which_work(asked: Transition, bounty: Bounty) -> str:
    if asked.cid is None:
        return ""
    if bounty.fulfilled_by_cid is None:
        return ", and does not say with which contribution"
    return f", with contribution {bounty.fulfilled_by_cid!r}"


def fund(reservation_id: str) -> Transition:
    """`draft → open`."""
    named = {"reservationId": reservation_id}
    sources = (BountyStatus.DRAFT,)
    return Transition("fund", STATUS_AFTER["fund"], sources, named, named, once=reservation_id)


def claim(claimed_by: AgentIdentity, claim_id: str, *, once: bool) -> Transition:
    """`open → claimed`, or `claimed → claimed` by the same agent."""
    changes = {"claimedBy": to_value(claimed_by), "claimId": claim_id}
    parameters = {"agentId": claimed_by.agent_id, "claimId": claim_id}
    return Transition(
        "claim",
        STATUS_AFTER["claim"],
        sources_of(STATUS_AFTER["claim"]),
        changes,
        parameters,
        only_by=claimed_by.agent_id,
        once=claim_id if once else None,
    )


def release(claimed_by: AgentIdentity, claim_id: str | None = None) -> Transition:
    """`claimed → open`, if it is still claimed by `claim_id`."""
    return Transition(
        "release",
        STATUS_AFTER["release"],
        (BountyStatus.CLAIMED,),
        {"claimedBy": None, "claimId": None},
        {"agentId": claimed_by.agent_id},
        only_by=claimed_by.agent_id,
        examined_claim=claim_id,
    )


def begin_settlement(cid: str, claim_id: str | None = None) -> Transition:
    """`claimed → pending_settlement`, if it is still claimed by `claim_id`."""
    parameters = {"fulfilledByCid": cid}
    transition = _to("begin_settlement", parameters, parameters, cid=cid)
    return replace(transition, examined_claim=claim_id)


def complete(cid: str) -> Transition:
    """`claimed` or `pending_settlement` `→ completed`."""
    parameters = {"fulfilledByCid": cid}
    return _to("complete", parameters, parameters, cid=cid)


def settle() -> Transition:
    """`pending_settlement` or `completed` `→ settled`."""
    return _to("settle")


def expire(reservation_id: str | None = None) -> Transition:
    """`open` or `claimed` `→ expired`, if it still names this reservation."""
    return replace(_to("expire"), examined_escrow=reservation_id)


def cancel(reservation_id: str | None = None) -> Transition:
    """`draft`, `open` or `claimed` `→ cancelled`, if it still names this reservation."""
    return replace(_to("cancel"), examined_escrow=reservation_id)


def expected_after(bounty: Bounty) -> Transition | None:
    """The transition that nearly every bounty goes through next, if one is expected."""
    match STATUSES[bounty.status].expects:
        case BountyStatus.OPEN if bounty.reservation_id is not None:
            return fund(bounty.reservation_id)
        case BountyStatus.SETTLED:
            return settle()
    return None


def _to(
    kind: str,
    changes: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    cid: str | None = None,
) -> Transition:
    """A transition that may start wherever the lifecycle allows."""
    target = STATUS_AFTER[kind]
    return Transition(kind, target, sources_of(target), changes or {}, parameters or {}, cid=cid)
