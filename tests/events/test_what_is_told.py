"""Each event is told at the very point at which it happens, with whose it is."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest

from nexus_bounty import (
    BountyStateError,
    CommitUnknownError,
    NexusBountyStore,
    NexusClaimStore,
    NexusContributionStore,
    Outcome,
    PostCommitError,
    PreCommitError,
    Proof,
    RenameCommit,
    events,
)
from nexus_bounty.events import DoubtCause
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.testing.builders import make_agent, make_bounty
from tests.events.support import (
    IMPATIENT,
    Heard,
    a_mock,
    a_store,
    commit_of,
    read_of,
)
from tests.support.virtual import virtual
from tests.support.world import ALICE, BOB, BOUNTY_ID, CID, LedgerFault, World, a_bounty
from tests.test_works import FULL

OPEN = make_bounty(creator=ALICE)
HOUR = timedelta(hours=1)

# Operations


@virtual
async def test_an_operation_says_what_became_of_it_by_what_proof_and_at_what_cost() -> None:
    heard, mock = Heard(), a_mock()
    async with a_store(mock, observers=[heard]) as store:
        await store.create_bounty(OPEN, idempotency_key="k-1")
    began, ended = heard.the(events.OperationBegan), heard.the(events.OperationEnded)
    assert heard[0] is began
    assert began.operation == ended.operation
    assert began.operation
    assert (began.operation.layer, began.operation.name) == ("store", "create_bounty")
    assert (began.operation.key, began.operation.bounty_id) == ("k-1", BOUNTY_ID)
    assert (ended.outcome, ended.proof) == (Outcome.COMMITTED, Proof.ACKNOWLEDGED)
    assert ended.requests == len(mock.requests)
    assert ended.error is None


@virtual
async def test_the_seconds_of_an_operation_are_those_that_its_caller_waited() -> None:
    heard, mock = Heard(), a_mock()
    mock.inject(commit_of(FaultKind.DELAY, seconds=0.25))
    async with a_store(mock, observers=[heard]) as store:
        before = asyncio.get_running_loop().time()
        await store.create_bounty(OPEN)
        waited = asyncio.get_running_loop().time() - before
    assert heard.the(events.OperationEnded).seconds == waited >= 0.25
    slowest = max(heard.of(events.RequestEnded), key=lambda each: each.seconds)
    assert (slowest.path.endswith(f"{BOUNTY_ID}.json"), slowest.seconds) == (True, 0.25)


@virtual
async def test_a_repeat_is_another_operation_that_the_history_proves() -> None:
    heard = Heard()
    async with a_store(a_mock(), observers=[heard]) as store:
        await store.create_bounty(OPEN, idempotency_key="k-1")
        await store.create_bounty(OPEN, idempotency_key="k-1")
    first, second = heard.of(events.OperationEnded)
    assert first.operation
    assert second.operation
    assert first.operation.id != second.operation.id
    assert (second.outcome, second.proof) == (Outcome.COMMITTED, Proof.IN_HISTORY)


@virtual
async def test_a_refused_operation_ends_with_its_outcome_proof_and_error() -> None:
    heard = Heard()
    async with a_store(a_mock()) as store:
        await store.create_bounty(OPEN)
        with events.register(heard), pytest.raises(BountyStateError):
            await store.settle_bounty(BOUNTY_ID)
    ended = heard.the(events.OperationEnded)
    assert (ended.outcome, ended.proof) == (Outcome.PRE_COMMIT, Proof.DOCUMENT)
    assert ended.error == "BountyStateError"


@virtual
async def test_what_a_post_commit_error_owes_is_told_with_the_end() -> None:
    heard, mock = Heard(), a_mock()
    async with a_store(mock, IMPATIENT, observers=[heard]) as store:
        await store.create_bounty(OPEN)
        heard.clear()
        mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("delete"), times=None))
        with pytest.raises(Exception, match="still to be removed"):
            await store.cancel_bounty(BOUNTY_ID)
    ended = heard.the(events.OperationEnded)
    assert (ended.outcome, ended.owed) == (Outcome.POST_COMMIT, ("remove_stale_marker",))


@virtual
async def test_everything_inside_an_operation_is_attributed_to_it_and_to_the_step() -> None:
    world, heard = World(), Heard()
    await world.found()
    async with world.process() as process:
        with events.register(heard):
            await process.operations.create(a_bounty(), idempotency_key="k")
    called = heard.of(events.OperationEnded)[-1]
    assert called.operation
    assert (called.operation.layer, called.operation.name) == ("operations", "create")
    assert called.operation.parent is None
    assert called.requests == len(heard.of(events.RequestSent)) == 4
    assert (called.outcome, called.proof) == (Outcome.COMMITTED, Proof.ACKNOWLEDGED)
    for each in heard.of(events.RequestEnded):
        assert each.operation
        assert each.operation.outermost == called.operation
    names = [
        "/".join(one.name for one in each.operation)
        for each in heard.of(events.RequestEnded)
        if each.operation
    ]
    assert names == [*["create_bounty/create"] * 3, "fund_bounty/create"]


@virtual
async def test_operations_at_the_same_time_are_told_apart() -> None:
    heard = Heard()
    async with a_store(a_mock(), observers=[heard]) as store:
        bounties = [make_bounty(bounty_id=f"b-{number}") for number in range(8)]
        await asyncio.gather(*map(store.create_bounty, bounties))
    for sent in heard.of(events.RequestSent):
        assert sent.operation
        assert sent.operation.bounty_id in sent.path
    assert {each.requests for each in heard.of(events.OperationEnded)} == {2}


@virtual
async def test_a_read_belongs_to_no_operation() -> None:
    heard = Heard()
    async with a_store(a_mock(), observers=[heard]) as store:
        await store.get_bounty(BOUNTY_ID)
    assert {type(each) for each in heard} == {events.RequestSent, events.RequestEnded}
    assert {each.operation for each in heard} == {None}


# Requests and retries


@virtual
async def test_a_request_is_told_of_when_it_leaves_and_when_it_is_answered() -> None:
    heard, mock = Heard(), a_mock()
    async with a_store(mock, observers=[heard]) as store:
        await store._client.write("/a", b"1")
        with pytest.raises(Exception, match="conflict"):
            await store._client.write("/a", b"2", if_match="no such etag")
    first, ended, _, refused = heard
    assert first == events.RequestSent(None, "write", "/a", 1)
    assert isinstance(ended, events.RequestEnded)
    assert (ended.disposition, ended.reason) == ("acknowledged", "ok")
    assert isinstance(refused, events.RequestEnded)
    assert (refused.disposition, refused.reason) == ("ambiguous", "conflict")


@virtual
async def test_a_request_that_was_never_sent_is_not_told_of() -> None:
    heard = Heard()
    async with a_store(a_mock(), observers=[heard]) as store:
        client = store._client
    with pytest.raises(Exception, match="client closed"):
        await client.exists("/a")
    assert heard == []


@virtual
async def test_a_cancelled_request_ends_like_any_other() -> None:
    heard, mock = Heard(), a_mock()
    mock.inject(Fault(FaultKind.TIMEOUT_AFTER))
    async with a_store(mock, observers=[heard]) as store:
        asking = asyncio.create_task(store._client.exists("/a"))
        await asyncio.sleep(0.5)
        asking.cancel()
        await asyncio.wait([asking])
    ended = heard.the(events.RequestEnded)
    assert (ended.disposition, ended.reason, ended.seconds) == ("ambiguous", "cancelled", 0.5)


@virtual
async def test_a_retry_says_why_and_how_long_it_waits() -> None:
    heard, mock = Heard(), a_mock()
    mock.inject(Fault(FaultKind.STATUS_BEFORE, status=429, retry_after=3))
    async with a_store(mock, observers=[heard]) as store:
        before = asyncio.get_running_loop().time()
        await store._client.exists("/a")
        waited = asyncio.get_running_loop().time() - before
    retried = heard.the(events.Retried)
    assert (retried.why, retried.attempt) == ("ambiguous: rate limited", 1)
    assert retried.pause == waited == 3
    assert [each.attempt for each in heard.of(events.RequestSent)] == [1, 2]
    assert [each.disposition for each in heard.of(events.RequestEnded)] == [
        "ambiguous",
        "acknowledged",
    ]


# Doubts and fences


@pytest.mark.parametrize("strategy", ["conditional", "rename"])
@virtual
async def test_a_lost_answer_of_what_is_committed_is_resolved_in_the_same_call(
    strategy: str,
) -> None:
    heard, mock = Heard(), a_mock()
    lost = RequestMatch("write", "*/b-1.json") if strategy == "conditional" else None
    mock.inject(
        Fault(FaultKind.DROP_AFTER, match=lost or RequestMatch("rename")),
    )
    async with a_store(mock, observers=[heard]) as store:
        if strategy == "rename":
            store = NexusBountyStore(store._client, commit=RenameCommit(store._client))
        await store.create_bounty(OPEN, idempotency_key="k-1")
    resolved = heard.the(events.DoubtResolved)
    assert resolved.cause is DoubtCause.LOST_ANSWER
    assert (resolved.outcome, resolved.proof) == (Outcome.COMMITTED, Proof.IN_HISTORY)
    assert resolved.seconds is not None
    assert resolved.operation
    assert (resolved.operation.key, resolved.operation.bounty_id) == ("k-1", BOUNTY_ID)
    assert not heard.of(events.FenceWritten)
    assert not heard.of(events.OutcomeUnknown)


@virtual
async def test_what_was_lost_before_it_was_applied_is_resolved_by_the_repeat() -> None:
    heard, mock = Heard(), a_mock()
    mock.inject(commit_of(FaultKind.DROP_BEFORE))
    async with a_store(mock, observers=[heard]) as store:
        await store.create_bounty(OPEN)
    resolved = heard.the(events.DoubtResolved)
    assert (resolved.outcome, resolved.proof) == (Outcome.COMMITTED, Proof.ACKNOWLEDGED)
    assert heard.of(events.Retried)


@virtual
async def test_a_conflict_is_an_answer_and_no_doubt() -> None:
    heard, mock = Heard(), a_mock()
    async with a_store(mock, seed=2) as other, a_store(mock, observers=[heard]) as store:
        await other.create_bounty(OPEN)
        await store.get_bounty(BOUNTY_ID)
        await other.claim_bounty(BOUNTY_ID, BOB, "c-1")
        await store.claim_bounty(BOUNTY_ID, BOB, "c-2")
    assert "conflict" in {each.reason for each in heard.of(events.RequestEnded)}
    assert heard.of(events.DoubtResolved) == []


@virtual
async def test_a_call_that_gives_up_tells_of_its_fence_before_and_after_it_is_in() -> None:
    heard, mock = Heard(), a_mock()
    mock.inject(commit_of(FaultKind.DROP_BEFORE))
    async with a_store(mock, IMPATIENT, observers=[heard]) as store:
        with pytest.raises(PreCommitError) as refused:
            await store.create_bounty(OPEN, idempotency_key="k-1")
    assert refused.value.evidence.proof is Proof.FENCED
    written, landed = heard.the(events.FenceWritten), heard.the(events.FenceLanded)
    sent = [
        each
        for each in heard.of(events.RequestSent)
        if (each.method, each.path) == ("write", written.path)
    ]
    assert heard.place(sent[0]) < heard.place(written) < heard.place(sent[1])
    assert heard.place(sent[1]) < heard.place(landed)
    assert landed.path == written.path
    assert landed.operation
    assert landed.operation.key == "k-1"
    resolved = heard.the(events.DoubtResolved)
    assert (resolved.outcome, resolved.proof) == (Outcome.PRE_COMMIT, Proof.FENCED)


@pytest.mark.parametrize("strategy", ["conditional", "rename"])
@virtual
async def test_a_fence_that_a_repeat_comes_upon_landed_once(strategy: str) -> None:
    """The repeat goes by what it remembers, and so meets a conflict first."""
    heard, mock = Heard(), a_mock()
    async with a_store(mock, IMPATIENT) as store:
        if strategy == "rename":
            store = NexusBountyStore(store._client, commit=RenameCommit(store._client))
        await store.create_bounty(OPEN)
        a_rename = Fault(FaultKind.DROP_BEFORE, match=RequestMatch("rename"))
        mock.inject(a_rename if strategy == "rename" else commit_of(FaultKind.DROP_BEFORE))
        with events.register(heard):
            for _ in range(2):
                with pytest.raises(PreCommitError) as refused:
                    await store.claim_bounty(BOUNTY_ID, BOB, "c-1", idempotency_key="k-1")
                assert refused.value.evidence.proof is Proof.FENCED
    written, landed = heard.the(events.FenceWritten), heard.the(events.FenceLanded)
    assert written.operation == landed.operation
    assert written.path == landed.path


@virtual
async def test_a_fence_whose_answer_was_lost_is_told_to_have_landed_once_it_is_seen() -> None:
    heard, mock = Heard(), a_mock()
    mock.inject(commit_of(FaultKind.DROP_BEFORE), commit_of(FaultKind.DROP_AFTER))
    async with a_store(mock, IMPATIENT, observers=[heard]) as store:
        with pytest.raises(PreCommitError):
            await store.create_bounty(OPEN)
    assert heard.the(events.FenceWritten).operation == heard.the(events.FenceLanded).operation


@virtual
async def test_a_fence_that_its_call_has_not_seen_is_told_by_nobody_to_have_landed() -> None:
    """What became of the operation is: by the repeat that comes upon the fence."""
    heard, mock = Heard(), a_mock()
    mock.inject(
        commit_of(FaultKind.DROP_BEFORE),
        commit_of(FaultKind.DROP_AFTER),
        Fault(FaultKind.DROP_BEFORE, match=RequestMatch("read"), times=None),
    )
    async with a_store(mock, IMPATIENT, observers=[heard]) as store:
        with pytest.raises(CommitUnknownError):
            await store.create_bounty(OPEN, idempotency_key="k-1")
        mock.clear_faults()
        with pytest.raises(PreCommitError):
            await store.create_bounty(OPEN, idempotency_key="k-1")
    assert heard.the(events.FenceWritten)
    assert heard.of(events.FenceLanded) == []
    assert heard.the(events.DoubtResolved).outcome is Outcome.PRE_COMMIT


@virtual
async def test_an_unknown_outcome_begins_a_doubt_that_a_repeat_ends() -> None:
    heard, mock = Heard(), a_mock()
    mock.inject(
        commit_of(FaultKind.TIMEOUT_AFTER, times=None),
        read_of(FaultKind.TIMEOUT_BEFORE, times=None),
    )
    async with a_store(mock, IMPATIENT, observers=[heard]) as store:
        with pytest.raises(CommitUnknownError):
            await store.create_bounty(OPEN, idempotency_key="k-1")
        mock.clear_faults()
        unknown = heard.the(events.OutcomeUnknown)
        assert unknown.operation
        assert (unknown.operation.key, unknown.error) == ("k-1", "CommitUnknownError")
        assert heard.of(events.DoubtResolved) == []
        await asyncio.sleep(100)
        await store.create_bounty(OPEN, idempotency_key="k-1")
        await store.create_bounty(OPEN, idempotency_key="k-1")
    resolved = heard.the(events.DoubtResolved)
    assert resolved.cause is DoubtCause.EARLIER_CALL
    assert resolved.outcome is Outcome.COMMITTED
    assert resolved.seconds == pytest.approx(100)
    assert resolved.operation
    assert resolved.operation.key == "k-1"


@virtual
async def test_whoever_asks_what_became_of_it_ends_the_doubt() -> None:
    heard, mock = Heard(), a_mock()
    async with a_store(mock, observers=[heard]) as store:
        await store.create_bounty(OPEN, idempotency_key="k-1")
        await store.resolve_operation(BOUNTY_ID, "k-1")
        await store.resolve_operation(BOUNTY_ID, "k-2")
    landed, never = heard.of(events.DoubtResolved)
    assert landed.cause is never.cause is DoubtCause.ASKED
    assert (landed.outcome, landed.proof) == (Outcome.COMMITTED, Proof.IN_HISTORY)
    assert (never.outcome, never.proof) == (Outcome.PRE_COMMIT, Proof.FENCED)
    assert never.operation
    assert never.operation.key == "k-2"
    assert heard.the(events.FenceLanded).operation == never.operation


@virtual
async def test_a_step_in_doubt_puts_the_operation_in_doubt_which_is_told_and_resolved() -> None:
    """The step alone is not: a repeat may take it with another key, or not at all."""
    world, heard = World(), Heard()
    await world.found()
    async with world.process(impatient=True) as process:
        await process.operations.create(a_bounty())
        world.mock.inject(
            commit_of(FaultKind.TIMEOUT_AFTER, times=None),
            read_of(FaultKind.TIMEOUT_BEFORE, times=None),
        )
        with events.register(heard):
            with pytest.raises(CommitUnknownError):
                await process.operations.cancel(BOUNTY_ID, idempotency_key="k")
            world.mock.clear_faults()
            await process.operations.cancel(BOUNTY_ID, idempotency_key="k")
    doubts = [each.operation.key for each in heard.of(events.OutcomeUnknown) if each.operation]
    assert doubts == ["k"]
    ended = [each.operation.key for each in heard.of(events.DoubtResolved) if each.operation]
    assert ended == doubts


class Cancelling(httpx.AsyncBaseTransport):
    """Cancels the task that sends a `method` about the document once it is applied."""

    def __init__(self, inner: httpx.AsyncBaseTransport, method: str) -> None:
        self._inner = inner
        self._method = method

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        about_document = f"/{BOUNTY_ID}.json".encode() in await request.aread()
        if request.url.path.endswith(f"/{self._method}") and about_document:
            task = asyncio.current_task()
            assert task
            task.cancel()
            await asyncio.sleep(0)
        return response


@virtual
async def test_a_cancelled_commit_is_a_doubt_and_a_cancelled_look_is_none() -> None:
    for method, outcome in (("read", None), ("write", Outcome.UNKNOWN)):
        heard, mock = Heard(), a_mock()
        async with a_store(mock, seed=2) as founding:
            await founding.create_bounty(OPEN)
        transport = Cancelling(mock.transport(), method)
        async with a_store(mock, observers=[heard], transport=transport) as store:
            task = asyncio.create_task(store.claim_bounty(BOUNTY_ID, BOB, "c-1"))
            await asyncio.wait([task])
            assert task.cancelled()
        ended = heard.the(events.OperationEnded)
        assert (ended.outcome, ended.error) == (outcome, "CancelledError")
        assert len(heard.of(events.OutcomeUnknown)) == (outcome is not None)


# Clean-up


@virtual
async def test_a_step_that_is_left_to_the_reconciler_is_told_of() -> None:
    world, heard = World(), Heard()
    await world.found()
    async with world.process(impatient=True) as process:
        await process.operations.create(a_bounty())
        await process.operations.claim(BOUNTY_ID, BOB)
        world.mock.inject(
            Fault(FaultKind.DROP_BEFORE, match=RequestMatch(path="*/claims/*"), times=None)
        )
        with events.register(heard):
            result = await process.operations.cancel(BOUNTY_ID, idempotency_key="k")
    assert result.owed == ["release_lease"]
    owed = heard.the(events.StepOwed)
    assert owed.step == "release_lease"
    assert owed.operation
    assert (owed.operation.name, owed.operation.key) == ("cancel", "k")


@virtual
async def test_what_a_store_that_is_called_directly_owes_is_told_of_as_well() -> None:
    heard, mock = Heard(), a_mock()
    refused = (RequestMatch("delete"), RequestMatch(path="*/indexes/tags/*"))
    mock.inject(*(Fault(FaultKind.STATUS_BEFORE, match=each, times=None) for each in refused))
    async with a_store(mock, IMPATIENT, observers=[heard]) as store:
        claims = NexusClaimStore(store._client, commit="conditional")
        works = NexusContributionStore(store._client)
        await store.create_bounty(OPEN)
        await claims.claim_or_renew("bounty:b-1", BOB, claim_id="c-1", lease=HOUR)
        for late in (
            store.cancel_bounty(BOUNTY_ID),
            claims.release("c-1"),
            works.put(FULL),
        ):
            with pytest.raises(PostCommitError):
                await late
    assert [
        (each.operation.name, each.step) for each in heard.of(events.StepOwed) if each.operation
    ] == [
        ("cancel_bounty", "remove_stale_marker"),
        ("release", "remove_active_marker"),
        ("put_contribution", "index_contribution"),
    ]


@virtual
async def test_a_clean_up_is_told_of_with_what_it_leaves_and_belongs_to_no_operation() -> None:
    heard, mock = Heard(), a_mock()
    async with a_store(mock, IMPATIENT, observers=[heard]) as quick:
        store = quick.cleaning_up(later=True)
        await store.create_bounty(OPEN)
        await store.claim_bounty(BOUNTY_ID, BOB, "c-1")
        await asyncio.sleep(1)
        done = heard.the(events.CleanUpEnded)
        assert (done.removed, done.left, done.why) == (1, (), None)
        mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("delete"), times=None))
        await store.cancel_bounty(BOUNTY_ID)
        await asyncio.sleep(60)
    failed = heard.of(events.CleanUpEnded)[1]
    assert (failed.removed, len(failed.left)) == (0, 1)
    assert failed.why == "NexusError: ambiguous: server error"
    deletes = [each for each in heard.of(events.RequestSent) if each.method == "delete"]
    assert {each.operation for each in [*deletes, done, failed]} == {None}


# Leases


@virtual
async def test_the_mutations_of_a_claim_store_are_told_of_as_well() -> None:
    heard = Heard()
    async with a_store(a_mock()) as store:
        claims = NexusClaimStore(store._client, commit="conditional", observers=[heard])
        await claims.claim_or_renew("bounty:b-1", make_agent("bob"), claim_id="c-1", lease=HOUR)
        await claims.complete("c-1")
    assert [
        (each.operation.name, each.operation.bounty_id)
        for each in heard.of(events.OperationEnded)
        if each.operation
    ] == [("claim_or_renew", "bounty:b-1"), ("complete", "c-1")]


@virtual
async def test_a_settlement_whose_ledger_does_not_answer_ends_in_what_it_owes() -> None:
    world, heard = World(), Heard()
    await world.found()
    async with world.process(fault=LedgerFault("lost_always", of="capture")) as process:
        await process.operations.create(a_bounty())
        await process.operations.claim(BOUNTY_ID, BOB)
        with events.register(heard), pytest.raises(Exception, match="still owed"):
            await process.operations.settle(BOUNTY_ID, CID)
    ended = heard.of(events.OperationEnded)[-1]
    assert ended.outcome is Outcome.POST_COMMIT
    assert ended.owed[0] == "capture_payment"
