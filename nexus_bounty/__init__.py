"""Bounties with escrowed credits on a Nexus server, with provable outcomes for every write.

    async with NexusClient("http://127.0.0.1:2026", api_key="…") as client:
        store = NexusBountyStore(client, zone_id="default")
        bounty = await store.create_bounty(bounty, idempotency_key="…")

How a mutation can end is drawn in `nexus_bounty.outcomes`.
"""

from nexus_bounty.idempotency import OperationRecord
from nexus_bounty.models import (
    FROM_IDEMPOTENCY_KEY,
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyQuery,
    BountyStatus,
    Claim,
    ClaimStatus,
    Contribution,
    IndexFault,
    IndexPage,
    IndexStatus,
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
from nexus_bounty.operations import BountyOperations, ExpiryFailure, ExpiryResult, OperationResult
from nexus_bounty.outcomes import (
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
    Observation,
    Outcome,
    OutcomeError,
    PaymentError,
    PostCommitError,
    PreCommitError,
    Proof,
    Resolution,
    UnsupportedServerError,
)
from nexus_bounty.ports import (
    Balance,
    BountyStore,
    ClaimStore,
    ContributionStore,
    CreditsService,
    Reservation,
    ReservationStatus,
    Transfer,
)
from nexus_bounty.reconcile import Finding, Health, Reconciler, ReconcileReport, SweepReport
from nexus_bounty.registry import open_claims, open_credits

__version__ = "0.1.0"

__all__ = [
    "FROM_IDEMPOTENCY_KEY",
    "AgentIdentity",
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
    "ClaimStateError",
    "ClaimStatus",
    "ClaimStore",
    "CommitUnknownError",
    "ConditionalCommit",
    "Contribution",
    "ContributionStore",
    "CreditsService",
    "CriteriaNotMetError",
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
    "NexusBountyStore",
    "NexusClaimStore",
    "NexusClient",
    "NexusContributionStore",
    "NexusError",
    "NexusSettings",
    "Observation",
    "OperationRecord",
    "OperationResult",
    "Outcome",
    "OutcomeError",
    "PaymentError",
    "PostCommitError",
    "PreCommitError",
    "ProbeReport",
    "Proof",
    "ReconcileReport",
    "Reconciler",
    "RenameCommit",
    "Reservation",
    "ReservationStatus",
    "Resolution",
    "RewardQuery",
    "RewardRecord",
    "RewardType",
    "SingleWriter",
    "SweepReport",
    "Transfer",
    "UnreadableDocumentError",
    "UnsupportedServerError",
    "Verdict",
    "open_claims",
    "open_credits",
    "probe",
    "reward_id",
]
