"""Bounties with escrowed credits on a Nexus server, with provable outcomes for every write.

    async with NexusClient("http://127.0.0.1:2026", api_key="…") as client:
        operations = BountyOperations(
            NexusBountyStore(client),
            credits=open_credits("sqlite:///ledger.db"),
            claims=NexusClaimStore(client),
            contributions=NexusContributionStore(client),
        )
        posted = await operations.create(bounty)
        await operations.claim(posted.bounty.bounty_id, agent)
        await operations.settle(posted.bounty.bounty_id, contribution_cid)

Where to look, each with `help`:

    nexus_bounty.outcomes      how a mutation can end, drawn, and what to do then
    nexus_bounty.operations    `BountyOperations`: several writes on several systems, none leaks
    nexus_bounty.models        what travels: `Bounty`, `Claim`, `Contribution`, …
    nexus_bounty.works         work to be delivered
    nexus_bounty.sync          the same for code that does not await
    nexus_bounty.reconcile     what brings to an end whatever a crash left half-way
    nexus_bounty.events        what happens, told to observers
    nexus_bounty.ports         the protocols that adapters implement
    nexus_bounty.testing       contract suites, and fixtures for pytest
    nexus_bounty.mock          a Nexus server in memory, with faults
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_bounty.criteria import evaluate_bounty_criteria
    from nexus_bounty.idempotency import OperationRecord
    from nexus_bounty.lifecycle import is_bounty_expired, is_bounty_terminal
    from nexus_bounty.models import (
        FROM_IDEMPOTENCY_KEY,
        AgentIdentity,
        Bounty,
        BountyCriteria,
        BountyQuery,
        BountyStatus,
        Claim,
        ClaimQuery,
        ClaimStatus,
        Contribution,
        IndexFault,
        IndexPage,
        IndexStatus,
        MarkedPage,
        RewardQuery,
        RewardRecord,
        RewardType,
        reward_id,
    )
    from nexus_bounty.nexus.bounties.store import NexusBountyStore
    from nexus_bounty.nexus.claims.store import NexusClaimStore
    from nexus_bounty.nexus.client import NexusClient
    from nexus_bounty.nexus.client.errors import NexusError
    from nexus_bounty.nexus.client.settings import NexusSettings
    from nexus_bounty.nexus.commit.conditional import ConditionalCommit
    from nexus_bounty.nexus.commit.rename import RenameCommit
    from nexus_bounty.nexus.commit.single_writer import SingleWriter
    from nexus_bounty.nexus.contribution_store import NexusContributionStore
    from nexus_bounty.nexus.documents import UnreadableDocumentError
    from nexus_bounty.nexus.probe import ProbeReport, Verdict, probe
    from nexus_bounty.nexus.selection.auto_commit import AutoCommit
    from nexus_bounty.operations import (
        BountyOperations,
        ExpiryFailure,
        ExpiryResult,
        OperationResult,
    )
    from nexus_bounty.outcomes import (
        AssignedError,
        BountyExistsError,
        BountyNotFoundError,
        BountyStateError,
        ClaimConflictError,
        ClaimNotFoundError,
        ClaimStateError,
        CommitUnknownError,
        CriteriaNotMetError,
        Evidence,
        IdempotencyMismatchError,
        InsufficientCreditsError,
        InvalidInputError,
        NotAllowedError,
        Observation,
        Outcome,
        OutcomeError,
        PaymentError,
        PostCommitError,
        PreCommitError,
        Proof,
        Resolution,
        UnsupportedServerError,
        UntrustedDocumentError,
        WrongLedgerError,
    )
    from nexus_bounty.partition import Partition
    from nexus_bounty.ports import (
        Assignment,
        Balance,
        BountyStore,
        ClaimStore,
        ContributionStore,
        CreditsService,
        EscrowTerms,
        JournaledOperation,
        OperationJournal,
        Reservation,
        ReservationStatus,
        Transfer,
    )
    from nexus_bounty.reconcile import Finding, Health, Reconciler, ReconcileReport, SweepReport
    from nexus_bounty.registry import open_claims, open_credits
    from nexus_bounty.works import Relation, Score, Work

__version__ = "0.1.0"

__all__ = [
    "FROM_IDEMPOTENCY_KEY",
    "AgentIdentity",
    "AssignedError",
    "Assignment",
    "AutoCommit",
    "Balance",
    "Bounty",
    "BountyCriteria",
    "BountyExistsError",
    "BountyNotFoundError",
    "BountyOperations",
    "BountyQuery",
    "BountyStateError",
    "BountyStatus",
    "BountyStore",
    "Claim",
    "ClaimConflictError",
    "ClaimNotFoundError",
    "ClaimQuery",
    "ClaimStateError",
    "ClaimStatus",
    "ClaimStore",
    "CommitUnknownError",
    "ConditionalCommit",
    "Contribution",
    "ContributionStore",
    "CreditsService",
    "CriteriaNotMetError",
    "EscrowTerms",
    "Evidence",
    "ExpiryFailure",
    "ExpiryResult",
    "Finding",
    "Health",
    "IdempotencyMismatchError",
    "IndexFault",
    "IndexPage",
    "IndexStatus",
    "InsufficientCreditsError",
    "InvalidInputError",
    "JournaledOperation",
    "MarkedPage",
    "NexusBountyStore",
    "NexusClaimStore",
    "NexusClient",
    "NexusContributionStore",
    "NexusError",
    "NexusSettings",
    "NotAllowedError",
    "Observation",
    "OperationJournal",
    "OperationRecord",
    "OperationResult",
    "Outcome",
    "OutcomeError",
    "Partition",
    "PaymentError",
    "PostCommitError",
    "PreCommitError",
    "ProbeReport",
    "Proof",
    "ReconcileReport",
    "Reconciler",
    "Relation",
    "RenameCommit",
    "Reservation",
    "ReservationStatus",
    "Resolution",
    "RewardQuery",
    "RewardRecord",
    "RewardType",
    "Score",
    "SingleWriter",
    "SweepReport",
    "Transfer",
    "UnreadableDocumentError",
    "UnsupportedServerError",
    "UntrustedDocumentError",
    "Verdict",
    "Work",
    "WrongLedgerError",
    "evaluate_bounty_criteria",
    "is_bounty_expired",
    "is_bounty_terminal",
    "open_claims",
    "open_credits",
    "probe",
    "reward_id",
]

# What is named is imported when it is first asked for: a program pays for what it uses.
_MODULES = {
    "AgentIdentity": "nexus_bounty.models",
    "AssignedError": "nexus_bounty.outcomes",
    "NotAllowedError": "nexus_bounty.outcomes",
    "JournaledOperation": "nexus_bounty.ports",
    "OperationJournal": "nexus_bounty.ports",
    "WrongLedgerError": "nexus_bounty.outcomes",
    "Assignment": "nexus_bounty.ports",
    "EscrowTerms": "nexus_bounty.ports",
    "AutoCommit": "nexus_bounty.nexus.selection.auto_commit",
    "Balance": "nexus_bounty.ports",
    "Bounty": "nexus_bounty.models",
    "BountyCriteria": "nexus_bounty.models",
    "BountyExistsError": "nexus_bounty.outcomes",
    "BountyNotFoundError": "nexus_bounty.outcomes",
    "BountyOperations": "nexus_bounty.operations",
    "BountyQuery": "nexus_bounty.models",
    "BountyStateError": "nexus_bounty.outcomes",
    "BountyStatus": "nexus_bounty.models",
    "BountyStore": "nexus_bounty.ports",
    "Claim": "nexus_bounty.models",
    "ClaimConflictError": "nexus_bounty.outcomes",
    "ClaimNotFoundError": "nexus_bounty.outcomes",
    "ClaimStateError": "nexus_bounty.outcomes",
    "ClaimQuery": "nexus_bounty.models",
    "ClaimStatus": "nexus_bounty.models",
    "ClaimStore": "nexus_bounty.ports",
    "CommitUnknownError": "nexus_bounty.outcomes",
    "ConditionalCommit": "nexus_bounty.nexus.commit.conditional",
    "Contribution": "nexus_bounty.models",
    "ContributionStore": "nexus_bounty.ports",
    "CreditsService": "nexus_bounty.ports",
    "CriteriaNotMetError": "nexus_bounty.outcomes",
    "Evidence": "nexus_bounty.outcomes",
    "ExpiryFailure": "nexus_bounty.operations",
    "ExpiryResult": "nexus_bounty.operations",
    "FROM_IDEMPOTENCY_KEY": "nexus_bounty.models",
    "Finding": "nexus_bounty.reconcile",
    "Health": "nexus_bounty.reconcile",
    "IdempotencyMismatchError": "nexus_bounty.outcomes",
    "IndexFault": "nexus_bounty.models",
    "IndexPage": "nexus_bounty.models",
    "IndexStatus": "nexus_bounty.models",
    "MarkedPage": "nexus_bounty.models",
    "InsufficientCreditsError": "nexus_bounty.outcomes",
    "InvalidInputError": "nexus_bounty.outcomes",
    "NexusBountyStore": "nexus_bounty.nexus.bounties.store",
    "NexusClaimStore": "nexus_bounty.nexus.claims.store",
    "NexusClient": "nexus_bounty.nexus.client",
    "NexusContributionStore": "nexus_bounty.nexus.contribution_store",
    "NexusError": "nexus_bounty.nexus.client.errors",
    "NexusSettings": "nexus_bounty.nexus.client.settings",
    "Observation": "nexus_bounty.outcomes",
    "OperationRecord": "nexus_bounty.idempotency",
    "OperationResult": "nexus_bounty.operations",
    "Outcome": "nexus_bounty.outcomes",
    "OutcomeError": "nexus_bounty.outcomes",
    "Partition": "nexus_bounty.partition",
    "PaymentError": "nexus_bounty.outcomes",
    "PostCommitError": "nexus_bounty.outcomes",
    "PreCommitError": "nexus_bounty.outcomes",
    "ProbeReport": "nexus_bounty.nexus.probe",
    "Proof": "nexus_bounty.outcomes",
    "ReconcileReport": "nexus_bounty.reconcile",
    "Reconciler": "nexus_bounty.reconcile",
    "Relation": "nexus_bounty.works",
    "RenameCommit": "nexus_bounty.nexus.commit.rename",
    "Reservation": "nexus_bounty.ports",
    "ReservationStatus": "nexus_bounty.ports",
    "Resolution": "nexus_bounty.outcomes",
    "RewardQuery": "nexus_bounty.models",
    "RewardRecord": "nexus_bounty.models",
    "RewardType": "nexus_bounty.models",
    "Score": "nexus_bounty.works",
    "SingleWriter": "nexus_bounty.nexus.commit.single_writer",
    "SweepReport": "nexus_bounty.reconcile",
    "Transfer": "nexus_bounty.ports",
    "UnreadableDocumentError": "nexus_bounty.nexus.documents",
    "UnsupportedServerError": "nexus_bounty.outcomes",
    "UntrustedDocumentError": "nexus_bounty.outcomes",
    "Verdict": "nexus_bounty.nexus.probe",
    "Work": "nexus_bounty.works",
    "evaluate_bounty_criteria": "nexus_bounty.criteria",
    "is_bounty_expired": "nexus_bounty.lifecycle",
    "is_bounty_terminal": "nexus_bounty.lifecycle",
    "open_claims": "nexus_bounty.registry",
    "open_credits": "nexus_bounty.registry",
    "probe": "nexus_bounty.nexus.probe",
    "reward_id": "nexus_bounty.models",
}


def __getattr__(name: str) -> Any:
    """What is exported under `name`."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(module), name)
    return found


def __dir__() -> list[str]:
    """Everything that is exported."""
    return sorted({*globals(), *__all__})
