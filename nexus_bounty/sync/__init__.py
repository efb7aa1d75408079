"""The sync face of the library: what `nexus_bounty.sync.faces` says, which is generated."""

from nexus_bounty.sync.faces import (
    ClosedError,
    SyncBountyOperations,
    SyncClaimStore,
    SyncContributionStore,
    SyncCreditsService,
    SyncNexusBountyStore,
    SyncNexusClaimStore,
    SyncNexusClient,
    SyncNexusContributionStore,
    SyncReconciler,
    timeout,
)

__all__ = [
    "ClosedError",
    "SyncBountyOperations",
    "SyncClaimStore",
    "SyncContributionStore",
    "SyncCreditsService",
    "SyncNexusBountyStore",
    "SyncNexusClaimStore",
    "SyncNexusClient",
    "SyncNexusContributionStore",
    "SyncReconciler",
    "timeout",
]
