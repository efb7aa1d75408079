"""The protocols between bounties and the systems they live on.

Every mutation of every port ends in one of the four ways of `nexus_bounty.outcomes`, takes an
idempotency key or a deterministic id, and is harmless to repeat with it.
`nexus_bounty.testing` has a contract suite for each port. All names are imported from here.
"""

from __future__ import annotations

from nexus_bounty.ports.abilities import (
    CleansUp,
    CompletesAhead,
    InZone,
    KeepsNotes,
    LeavesFiles,
    LooksFirst,
    RecordsAhead,
    SettlesAhead,
    SharesNames,
    WorksAhead,
    cleaning_up,
    expecting,
    looking_first,
    sharing_names,
)
from nexus_bounty.ports.bounties import BountyStore
from nexus_bounty.ports.claims import ClaimStore
from nexus_bounty.ports.contributions import ContributionStore
from nexus_bounty.ports.credits import Balance, CreditsService, Transfer
from nexus_bounty.ports.durability import Durability, TellsDurability
from nexus_bounty.ports.journal import (
    JOURNAL_KEPT,
    JournaledOperation,
    OperationJournal,
    RemembersRanges,
)
from nexus_bounty.ports.reservations import (
    Assignment,
    EscrowTerms,
    Reservation,
    ReservationStatus,
    is_for,
    reference_of,
    referred_to,
)

__all__ = [
    "JOURNAL_KEPT",
    "Assignment",
    "Balance",
    "BountyStore",
    "ClaimStore",
    "CleansUp",
    "CompletesAhead",
    "ContributionStore",
    "CreditsService",
    "Durability",
    "EscrowTerms",
    "InZone",
    "JournaledOperation",
    "KeepsNotes",
    "LeavesFiles",
    "LooksFirst",
    "OperationJournal",
    "RecordsAhead",
    "RemembersRanges",
    "Reservation",
    "ReservationStatus",
    "SettlesAhead",
    "SharesNames",
    "TellsDurability",
    "Transfer",
    "WorksAhead",
    "cleaning_up",
    "expecting",
    "is_for",
    "looking_first",
    "reference_of",
    "referred_to",
    "sharing_names",
]
