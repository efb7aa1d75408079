"""Credits, claims and contributions without await: faces of whatever has the methods."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nexus_bounty import (
    CommitUnknownError,
    Contribution,
    InsufficientCreditsError,
    NexusClaimStore,
    Reservation,
    open_credits,
)
from nexus_bounty.memory import MemoryClaimStore, MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.sync import (
    ClosedError,
    SyncBountyOperations,
    SyncClaimStore,
    SyncContributionStore,
    SyncCreditsService,
    SyncNexusBountyStore,
    SyncNexusClient,
)
from nexus_bounty.testing import make_agent, make_bounty


def test_credits_are_moved_and_counted_without_await() -> None:
    """On a loop of their own, if nobody shares one."""
    with SyncCreditsService(MemoryCredits()) as money:
        money.top_up("funds", account="alice", amount=100)
        money.reserve("r-1", account="alice", amount=60, reference="b-1")
        assert (money.balance("alice").available, money.balance("alice").reserved) == (40, 60)
        assert [each.reservation_id for each in money.reservations()] == ["r-1"]
        money.capture("r-1", to_account="bob")
        assert money.balance("bob").available == 60
        with pytest.raises(InsufficientCreditsError):
            money.transfer("t-1", from_account="alice", to_account="bob", amount=41)
    with pytest.raises(ClosedError):
        money.balance("alice")


def test_a_ledger_in_a_file_is_closed_with_its_face_and_keeps_what_it_has(tmp_path: Path) -> None:
    """Whoever opened it by its URL."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with SyncCreditsService(open_credits(url)) as money:
        money.top_up("funds", account="alice", amount=100)
    with SyncCreditsService(open_credits(url)) as money:
        assert money.balance("alice").available == 100


def test_claims_and_contributions_have_faces_too() -> None:
    """Those kept in memory here."""
    known = Contribution(cid="cid-1")
    with SyncNexusClient() as client:
        claims = SyncClaimStore(MemoryClaimStore(), client)
        lease = timedelta(minutes=1)
        claim = claims.claim_or_renew("bounty:b", make_agent(), claim_id="c-1", lease=lease)
        assert claims.active_claims("bounty:b") == [claim]
        assert list(claims.walk_active_claims()) == [claim]
        works = SyncContributionStore(MemoryContributionStore([known]), client)
        assert (works.get("cid-1"), works.get("other")) == (known, None)


def test_operations_take_ports_with_and_without_their_faces() -> None:
    """All on the loop of the client, so that what is bound to a loop works in every one of them."""
    with SyncNexusClient(transport=MockNexus().transport()) as client:
        store = SyncNexusBountyStore(client, commit="conditional")
        money = SyncCreditsService(MemoryCredits(), client)
        claims = SyncClaimStore(NexusClaimStore(client.wrapped, commit="conditional"), client)
        works = MemoryContributionStore([Contribution(cid="cid-1", agent=make_agent())])
        operations = SyncBountyOperations(store, credits=money, claims=claims, contributions=works)
        money.top_up("funds", account="creator", amount=100)
        operations.create(make_bounty())
        claim = operations.claim("b-1", make_agent()).claim
        assert claim is not None
        assert claims.get(claim.claim_id) == claim
        operations.settle("b-1", "cid-1")
        assert money.balance("alice").available == 100
        assert {money.background, claims.background} == {client.background}


def test_an_unknown_outcome_comes_through_a_face_as_it_is() -> None:
    """With all that a caller needs to find out."""

    class Lossy(MemoryCredits):
        async def void(self, reservation_id: str, **_: Any) -> Reservation:
            raise CommitUnknownError("the answer was lost", idempotency_key=reservation_id)

    with SyncCreditsService(Lossy()) as money, pytest.raises(CommitUnknownError) as raised:
        money.void("r-1")
    assert raised.value.idempotency_key == "r-1"
