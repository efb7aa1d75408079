"""What was done ahead is taken up by the operation it was done for, and by no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import pytest

from nexus_bounty import (
    BountyStateError,
    BountyStatus,
    ClaimStateError,
    ClaimStatus,
    IdempotencyMismatchError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
)
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.testing import make_bounty, make_reward
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.racing import DOCUMENT, QUIRKS, racing
from tests.support.store_trials import WORKER
from tests.support.virtual import virtual

DELAY = 2.0
STAGED = "*/bounties/staged/*"
DRAFT = msgspec.structs.replace(make_bounty(status=BountyStatus.DRAFT), reservation_id="r-1")


@asynccontextmanager
async def a_store(
    mock: MockNexus,
    release: str = "0.7.0",
    away: float | None = None,
    follow_at_once: bool = False,
) -> AsyncIterator[NexusBountyStore]:
    async def travel(stage: str) -> None:
        await asyncio.sleep((away or 0) if stage == "request" else 0)

    delay = DELAY if away is None else 0.5
    settings = NexusSettings(cleanup_delay=delay, follow_at_once=follow_at_once)
    transport = mock.transport(pause=travel)
    async with NexusClient("http://nexus", settings=settings, transport=transport) as client:
        commit = RenameCommit(client, QUIRKS[release])
        store = NexusBountyStore(client, commit=commit, clock=wall_clock)
        yield store.cleaning_up(later=True)


async def drafted(store: NexusBountyStore) -> None:
    await store.expecting("k:open").create_bounty(DRAFT, idempotency_key="k:draft")


@pytest.mark.parametrize("release", ["0.7.0", "0.9"])
@virtual
async def test_an_expected_step_is_one_request(release: str) -> None:
    mock = racing(release)
    async with a_store(mock, release) as store:
        await drafted(store)
        before = mock.request_count
        opened = await store.fund_bounty(DRAFT.bounty_id, "r-1", idempotency_key="k:open")
        assert mock.request_count - before == 1
        assert await store.get_bounty(DRAFT.bounty_id) == opened
        assert [each.key for each in await store.get_history(DRAFT.bounty_id)] == [
            "k:draft",
            "k:open",
        ]


@virtual
async def test_a_step_with_another_key_takes_up_nothing() -> None:
    mock = racing()
    async with a_store(mock) as store:
        await drafted(store)
        before = mock.request_count
        await store.fund_bounty(DRAFT.bounty_id, "r-1", idempotency_key="another")
        assert mock.request_count - before == 2
        history = await store.get_history(DRAFT.bounty_id)
        assert [each.key for each in history] == ["k:draft", "another"]


@virtual
async def test_a_step_with_the_key_and_other_parameters_takes_up_nothing() -> None:
    """Who funds with another reservation does not open it with the one that was expected."""
    mock = racing()
    async with a_store(mock) as store:
        await drafted(store)
        opened = await store.fund_bounty(DRAFT.bounty_id, "r-2", idempotency_key="k:open")
        assert opened.reservation_id == "r-2"


@virtual
async def test_what_was_done_ahead_long_ago_is_done_again() -> None:
    """Its dates would be as old."""
    mock = racing()
    async with a_store(mock) as store:
        await drafted(store)
        await asyncio.sleep(10 * DELAY)
        opened = await store.fund_bounty(DRAFT.bounty_id, "r-1", idempotency_key="k:open")
        assert (wall_clock() - opened.updated_at).total_seconds() < DELAY


@virtual
async def test_what_was_expected_is_not_made_of_a_document_that_has_changed() -> None:
    """Another process is faster: what is staged for over the draft loses its slot."""
    mock = racing()
    async with a_store(mock) as store, a_store(mock) as other:
        await drafted(store)
        await other.cancel_bounty(DRAFT.bounty_id)
        with pytest.raises(BountyStateError):
            await store.fund_bounty(DRAFT.bounty_id, "r-1", idempotency_key="k:open")
        seen = await other.get_bounty(DRAFT.bounty_id)
        assert seen is not None
        assert seen.status is BountyStatus.CANCELLED


@virtual
async def test_a_bounty_over_a_draft_that_was_taken_back_has_every_marker_it_needs() -> None:
    """It has markers of its own, which nobody has written ahead."""
    mock = racing()
    async with a_store(mock) as store:
        await drafted(store)
        await store.discard_draft(DRAFT.bounty_id, "r-1")
        await asyncio.sleep(2 * DELAY)
        anew = msgspec.structs.replace(DRAFT, reservation_id="r-2")
        await store.expecting("l:open").create_bounty(anew, idempotency_key="l:draft")
        await store.fund_bounty(DRAFT.bounty_id, "r-2", idempotency_key="l:open")
        await asyncio.sleep(2 * DELAY)
        async for page in store.audit_index():
            assert not page.faults


@pytest.mark.parametrize("kind", [FaultKind.DROP_AFTER, FaultKind.DROP_BEFORE])
@virtual
async def test_the_lost_answer_to_a_rename_of_what_was_staged_ahead_is_resolved(
    kind: FaultKind,
) -> None:
    """The rename landed, or not: in either case the bounty is opened once."""
    mock = racing()
    async with a_store(mock) as store:
        await drafted(store)
        mock.inject(Fault(kind, match=RequestMatch("rename"), times=1))
        opened = await store.fund_bounty(DRAFT.bounty_id, "r-1", idempotency_key="k:open")
        assert opened.status is BountyStatus.OPEN
        history = await store.get_history(DRAFT.bounty_id)
        assert [each.key for each in history] == ["k:draft", "k:open"]


@virtual
async def test_a_claim_is_prepared_and_not_made_while_the_lease_is_taken() -> None:
    mock = racing()
    async with a_store(mock) as store:
        await store.create_bounty(make_bounty())
        await store.prepare_claim("b-1", WORKER, "c-1", once=True, idempotency_key="k:claim")
        standing = await store.get_bounty("b-1")
        assert standing is not None
        assert standing.status is BountyStatus.OPEN
        before = mock.request_count
        claimed = await store.claim_bounty(
            "b-1", WORKER, "c-1", once=True, idempotency_key="k:claim"
        )
        assert claimed.status is BountyStatus.CLAIMED
        assert mock.request_count - before == 1


@virtual
async def test_an_expected_step_on_a_slow_server_is_one_request_after_a_ledger_there() -> None:
    """A ledger on the same server takes as long to answer."""
    mock = racing()
    async with a_store(mock, away=0.5) as store:
        await drafted(store)
        await store._client.flush()
        await asyncio.sleep(1)
        before = mock.request_count
        await store.fund_bounty(DRAFT.bounty_id, "r-1", idempotency_key="k:open")
        assert mock.request_count - before == 1


@pytest.mark.parametrize(("after", "requests"), [(1, 1), (3, 2)])
@virtual
async def test_a_claim_is_prepared_on_a_slow_server_with_a_look_only_after_a_moment(
    after: float, requests: int
) -> None:
    mock = racing()
    async with a_store(mock, away=0.5) as store:
        await store.create_bounty(make_bounty())
        await store._client.flush()
        await asyncio.sleep(after)
        before = mock.request_count
        await store.prepare_claim("b-1", WORKER, "c-1", idempotency_key="k:claim")
        assert mock.request_count - before == requests


@pytest.mark.parametrize(("after", "follow_at_once"), [(3, False), (1, True)])
@virtual
async def test_what_was_prepared_on_a_slow_server_is_compared_again_after_a_moment(
    after: float, follow_at_once: bool
) -> None:
    """It is still used by then, unless another program has changed the bounty meanwhile.

    Where others are known to write, a moment is no longer than near a server.
    """
    mock = racing()
    async with a_store(mock, away=0.5, follow_at_once=follow_at_once) as store:
        await store.create_bounty(make_bounty())
        await store.prepare_claim("b-1", WORKER, "c-1", idempotency_key="k:claim")
        await asyncio.sleep(after)  # a moment is 1.5 seconds, a life is 6
        value = msgspec.json.decode(mock.read_file(DOCUMENT) or b"")
        async with NexusClient("http://nexus", transport=mock.transport()) as peer:
            await peer.write(DOCUMENT, msgspec.json.encode(value | {"title": "by another"}))
        claimed = await store.claim_bounty("b-1", WORKER, "c-1", idempotency_key="k:claim")
        assert claimed.title == "by another"


@pytest.mark.parametrize(("after", "requests"), [(1, 1), (3, 2), (7, 3)])
@virtual
async def test_what_was_prepared_on_a_slow_server_is_used_as_long_as_a_life_takes_there(
    after: float, requests: int
) -> None:
    """Alone for a moment; then with a look beside; then its dates are too old."""
    mock = racing()
    async with a_store(mock, away=0.5) as store:
        await store.create_bounty(make_bounty())
        await store.prepare_claim("b-1", WORKER, "c-1", idempotency_key="k:claim")
        await store._client.flush()
        await asyncio.sleep(after)
        before = mock.request_count
        await store.claim_bounty("b-1", WORKER, "c-1", idempotency_key="k:claim")
        assert mock.request_count - before == requests


@virtual
async def test_what_cannot_be_prepared_is_left_to_the_claim() -> None:
    """Which then does it itself."""
    mock = racing()
    async with a_store(mock) as store:
        await store.create_bounty(make_bounty())
        mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch(path=STAGED), status=403))
        await store.prepare_claim("b-1", WORKER, "c-1", idempotency_key="k:claim")
        mock.clear_faults()
        claimed = await store.claim_bounty("b-1", WORKER, "c-1", idempotency_key="k:claim")
        assert claimed.status is BountyStatus.CLAIMED


@virtual
async def test_a_claim_of_what_another_has_claimed_meanwhile_is_refused() -> None:
    """What was prepared is based on the bounty as it stood."""
    mock = racing()
    async with a_store(mock) as store, a_store(mock) as other:
        await store.create_bounty(make_bounty())
        await store.prepare_claim("b-1", WORKER, "c-1", idempotency_key="k:claim")
        rival = msgspec.structs.replace(WORKER, agent_id="rival")
        await other.claim_bounty("b-1", rival, "c-2")
        with pytest.raises(BountyStateError):
            await store.claim_bounty("b-1", WORKER, "c-1", idempotency_key="k:claim")
        seen = await store.get_bounty("b-1")
        assert seen is not None
        assert seen.claimed_by == rival


@pytest.mark.parametrize("release", ["0.7.0", "0.9"])
@virtual
async def test_a_reward_that_was_prepared_is_one_request(release: str) -> None:
    """It is recorded by the call alone, and by as many calls as there are."""
    mock = racing(release)
    async with a_store(mock, release) as store:
        await store.prepare_reward(make_reward())
        assert not await store.has_reward(make_reward().reward_id)
        before = mock.request_count
        assert await store.record_reward(make_reward()) == make_reward()
        assert mock.request_count - before == 1
        assert await store.record_reward(make_reward()) == make_reward()


@virtual
async def test_what_was_prepared_of_another_reward_is_not_recorded() -> None:
    """Of the same id: what counts is what the call says."""
    mock = racing()
    async with a_store(mock) as store:
        await store.prepare_reward(msgspec.structs.replace(make_reward(), amount=1))
        assert await store.record_reward(make_reward()) == make_reward()


@virtual
async def test_a_reward_that_another_recorded_after_it_was_prepared_is_refused() -> None:
    """The look that was made ahead does not decide: the slot does."""
    mock = racing()
    async with a_store(mock) as store, a_store(mock) as other:
        await store.prepare_reward(make_reward())
        await other.record_reward(msgspec.structs.replace(make_reward(), amount=1))
        with pytest.raises(IdempotencyMismatchError):
            await store.record_reward(make_reward())


@asynccontextmanager
async def a_lease(mock: MockNexus) -> AsyncIterator[NexusClaimStore]:
    settings = NexusSettings(cleanup_delay=DELAY)
    async with NexusClient("http://nexus", settings=settings, transport=mock.transport()) as client:
        commit = RenameCommit(client, QUIRKS["0.7.0"])
        claims = NexusClaimStore(client, commit=commit, clock=wall_clock).cleaning_up(later=True)
        await claims.claim_or_renew(
            "bounty:b-1", WORKER, claim_id="c-1", lease=timedelta(minutes=30)
        )
        yield claims


@virtual
async def test_the_end_of_a_claim_that_was_prepared_is_one_request() -> None:
    """Until it is called the claim holds."""
    mock = racing()
    async with a_lease(mock) as claims:
        await claims.prepare_completion("c-1")
        standing = await claims.get("c-1")
        assert standing is not None
        assert standing.status is ClaimStatus.ACTIVE
        before = mock.request_count
        assert (await claims.complete("c-1")).status is ClaimStatus.COMPLETED
        assert mock.request_count - before == 1


@virtual
async def test_a_claim_that_another_released_after_its_end_was_prepared_is_not_completed() -> None:
    """What was prepared is based on the claim as it stood."""
    mock = racing()
    async with a_lease(mock) as claims:
        await claims.prepare_completion("c-1")
        async with NexusClient("http://nexus", transport=mock.transport()) as client:
            commit = RenameCommit(client, QUIRKS["0.7.0"])
            await NexusClaimStore(client, commit=commit, clock=wall_clock).release("c-1")
        with pytest.raises(ClaimStateError):
            await claims.complete("c-1")
