"""RenameCommit among several clients: races, deaths, late writes, other programs, leftovers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyExistsError,
    BountyQuery,
    BountyStateError,
    BountyStatus,
    CommitUnknownError,
    NexusBountyStore,
    NexusClient,
    NexusError,
    PreCommitError,
)
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.nexus.commit.rename import RenameCommit
from nexus_bounty.nexus.commit.slots import STAGED_AT_ROOT
from nexus_bounty.nexus.documents.paths import contents, staged
from nexus_bounty.testing.builders import make_bounty, make_bounty_in, make_reward
from nexus_bounty.testing.virtual_time import run, wall_clock
from tests.support.racing import (
    DOCUMENT,
    SLOTS,
    ZONE,
    on_every_release,
    racing,
    seeds,
    store_on,
)
from tests.support.sampling import every_nth
from tests.support.transports import Mortal

S = BountyStatus
WORKER, RIVAL = AgentIdentity(agent_id="worker"), AgentIdentity(agent_id="rival")
Step = Callable[[NexusBountyStore], Awaitable[object]]

LIFE: list[tuple[str, Step]] = [
    ("create", lambda s: s.create_bounty(make_bounty(), idempotency_key="create")),
    ("claim", lambda s: s.claim_bounty("b-1", WORKER, "c", idempotency_key="claim")),
    ("begin", lambda s: s.begin_settlement("b-1", "cid", idempotency_key="begin")),
    ("settle", lambda s: s.settle_bounty("b-1", idempotency_key="settle")),
]
STATUSES = [None, S.OPEN, S.CLAIMED, S.PENDING_SETTLEMENT, S.SETTLED]


def keys_in_slots(mock: MockNexus) -> list[str]:
    """The keys of the operations that were committed, in the order of their slots."""
    keys = []
    for seq in range(1, 100):
        content = mock.read_file(f"{SLOTS}/{seq}")
        if content is None:
            break
        newest = msgspec.json.decode(content)["nexusBounty"]["ops"][-1]
        keys += [] if newest.get("aborted") else [newest["key"]]
    return keys


def beneath(mock: MockNexus, prefix: str) -> list[str]:
    return [path for path in mock.files if path.startswith(prefix)]


def seq_of_file(mock: MockNexus) -> int:
    seq: int = msgspec.json.decode(mock.read_file(DOCUMENT) or b"")["nexusBounty"]["seq"]
    return seq


@seeds(6, 40)
def test_of_eight_who_claim_at_once_exactly_one_wins(seed: int) -> None:
    """Whatever the order of their requests; the one told so is the one in the document."""

    async def scenario() -> None:
        mock = racing(seed=seed, race_window=0.005)
        async with store_on(mock) as store:
            await store.create_bounty(make_bounty())
        outcomes = await asyncio.gather(*(_claim(mock, seed, each) for each in range(8)))
        winners = [agent for agent in outcomes if agent is not None]
        async with store_on(mock) as store:
            bounty = await store.get_bounty("b-1")
        assert bounty is not None
        assert bounty.claimed_by is not None
        assert winners == [bounty.claimed_by.agent_id]

    run(scenario())


async def _claim(mock: MockNexus, seed: int, number: int) -> str | None:
    agent = AgentIdentity(agent_id=f"agent-{number}")
    await asyncio.sleep((seed * 7 + number * 3) % 5 * 0.004)
    async with store_on(mock, seed=f"{seed} {number}") as store:
        try:
            await store.claim_bounty("b-1", agent, f"c-{number}")
        except BountyStateError:
            return None
    return agent.agent_id


async def _live(mock: MockNexus, steps: int) -> None:
    async with store_on(mock) as store:
        for _, step in LIFE[:steps]:
            await step(store)


async def _die_in(mock: MockNexus, step: Step, at: int, *, after: bool) -> bool:
    """Run `step` in a client that dies at its `at`-th request; `False` if it never came to it."""
    mortal = Mortal(mock.transport(), at, after=after)
    async with store_on(mock, mortal) as store:
        doomed = asyncio.ensure_future(step(store))
        death = asyncio.ensure_future(mortal.died.wait())
        await asyncio.wait({doomed, death}, return_when=asyncio.FIRST_COMPLETED)
        doomed.cancel()
        death.cancel()
        await asyncio.gather(doomed, death, return_exceptions=True)
    return mortal.died.is_set()


@on_every_release
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(len(LIFE)), ids=[name for name, _ in LIFE])
def test_a_client_that_dies_at_any_request_leaves_a_legal_state_and_keeps_nobody_waiting(
    number: int, after: bool, release: str
) -> None:
    """The next client reads, lists and goes on at once; the repeated step is committed once."""

    async def scenario(at: int) -> bool:
        mock = racing(release)
        await _live(mock, number)
        step = LIFE[number][1]
        died = await _die_in(mock, step, at, after=after)
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with store_on(mock) as store:
            found = await store.get_bounty("b-1")
            status = found.status if found else None
            assert status in (STATUSES[number], STATUSES[number + 1])
            if found is not None:
                listed = await store.list_bounties(BountyQuery(status=found.status))
                assert listed == [found]
                assert await store.list_bounties() == [found]
            await step(store)
            for _, next_step in LIFE[number + 1 :]:
                await next_step(store)
        assert loop.time() - began < 1
        assert keys_in_slots(mock) == [name for name, _ in LIFE]
        return died

    at = 1
    while run(scenario(at)):
        at += 1
    assert at > 3


@on_every_release
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_rival_takes_over_from_a_claimer_who_died_unless_he_had_won(
    after: bool, release: str
) -> None:
    """Whoever is in the slot holds the bounty, dead or alive."""

    async def scenario(at: int) -> bool:
        mock = racing(release)
        await _live(mock, 1)
        died = await _die_in(mock, LIFE[1][1], at, after=after)
        async with store_on(mock) as store:
            try:
                holder = await store.claim_bounty("b-1", RIVAL, "r", idempotency_key="rival")
            except BountyStateError:
                holder = await store.get_bounty("b-1")  # type: ignore[assignment]
        assert holder.claimed_by is not None
        won = "claim" if holder.claimed_by.agent_id == "worker" else "rival"
        assert keys_in_slots(mock) == ["create", won]
        return died

    at = 1
    while run(scenario(at)):
        at += 1


LATE = [
    Fault(FaultKind.LATE, after_requests=1000),
    Fault(FaultKind.LATE, after_requests=7),
    Fault(FaultKind.DUPLICATE_LATE, after_requests=1000),
    Fault(FaultKind.DUPLICATE_LATE, after_requests=7),
]


@on_every_release
@pytest.mark.parametrize("fault", every_nth(3, LATE), ids=str)
@pytest.mark.parametrize("number", range(len(LIFE)), ids=[name for name, _ in LIFE])
def test_no_request_that_arrives_late_takes_a_document_back(
    number: int, fault: Fault, release: str
) -> None:
    """Any request of any step, carried out after the whole life: everybody still sees the end."""

    async def scenario(at: int) -> bool:
        mock = racing(release)
        await _live(mock, number)
        before = mock.oracle.received_total
        async with store_on(mock) as store:
            mock.inject(fault.on(at=before + at))
            await LIFE[number][1](store)
        reached = mock.oracle.received_total - before >= at
        async with store_on(mock) as store:
            for _, step in LIFE[number + 1 :]:
                await step(store)
        await mock.settle()
        async with store_on(mock) as store:
            listed = await store.list_bounties()
            found = await store.get_bounty("b-1")
        assert found is not None
        assert found.status is S.SETTLED
        assert listed == [found]
        assert keys_in_slots(mock) == [name for name, _ in LIFE]
        assert seq_of_file(mock) == len(LIFE)
        return reached

    at = 1
    while run(scenario(at)):
        at += 1


def test_a_store_that_remembers_an_old_state_commits_nothing_over_a_newer_one() -> None:
    """Not even when the slots in between are no longer kept."""

    async def scenario() -> None:
        mock = racing()
        await _live(mock, 1)
        async with store_on(mock) as store, store_on(mock) as sleeper:
            await sleeper.get_bounty("b-1")
            await store.cancel_bounty("b-1")
            await asyncio.sleep(timedelta(days=2).total_seconds())
            assert f"{SLOTS}/2" in await store.collect_leftovers()
            with pytest.raises(BountyStateError):
                await sleeper.claim_bounty("b-1", WORKER, "c")

    run(scenario())


def test_a_document_of_another_program_is_not_overwritten_by_a_create() -> None:
    """Its file has no slots."""

    async def scenario() -> None:
        mock = racing()
        async with store_on(mock) as store:
            await _write(mock, msgspec.to_builtins(make_bounty()))
            with pytest.raises(BountyExistsError):
                await store.create_bounty(make_bounty(title="Mine"))
            found = await store.get_bounty("b-1")
        assert found == make_bounty()

    run(scenario())


def test_what_another_program_changes_is_seen_and_built_upon() -> None:
    """It keeps our evidence, so the sequence number stays."""

    async def scenario() -> None:
        mock = racing()
        async with store_on(mock) as store:
            await store.create_bounty(make_bounty())  # and remembers it
            value = msgspec.json.decode(mock.read_file(DOCUMENT) or b"")
            await _write(mock, {**value, "theirs": 7})
            await store.claim_bounty("b-1", WORKER, "c")
        assert msgspec.json.decode(mock.read_file(DOCUMENT) or b"")["theirs"] == 7

    run(scenario())


def test_a_claim_in_doubt_is_fenced_when_another_program_cancels_meanwhile() -> None:
    """The slot is still free then: a stray rename must not win it."""

    async def scenario() -> None:
        mock = racing()
        await _live(mock, 1)
        lost = Fault(FaultKind.LATE, match=RequestMatch("rename"), after_requests=1000, times=None)
        async with store_on(mock) as store:
            mock.inject(lost)
            claim = asyncio.ensure_future(LIFE[1][1](store))
            await asyncio.sleep(5)
            claim.cancel()
            await asyncio.gather(claim, return_exceptions=True)
            mock.clear_faults()
            value = msgspec.json.decode(mock.read_file(DOCUMENT) or b"")
            await _write(mock, {**value, "status": "cancelled"})
            resolution = await store.resolve_operation("b-1", "claim")
            await mock.settle()
            with pytest.raises(PreCommitError):
                await LIFE[1][1](store)
            found = await store.get_bounty("b-1")
        assert resolution.outcome.value == "pre_commit"
        assert found is not None
        assert found.status is S.CANCELLED
        assert keys_in_slots(mock) == ["create"]

    run(scenario())


def test_a_bounty_whose_creator_died_before_its_file_was_written_is_in_every_listing() -> None:
    """It was committed: the slot says so."""

    async def scenario() -> None:
        mock = racing()
        drop = Fault(FaultKind.DROP_BEFORE, match=RequestMatch("write", path=DOCUMENT))
        mock.inject(drop)
        async with store_on(mock) as store:
            bounty = await store.create_bounty(make_bounty())
        assert mock.read_file(DOCUMENT) is None
        async with store_on(mock) as store:
            assert await store.list_bounties() == [bounty]
        assert seq_of_file(mock) == 1

    run(scenario())


def test_a_reward_whose_file_was_never_written_is_found_all_the_same() -> None:
    """By its id and in the listing."""

    async def scenario() -> None:
        mock = racing()
        reward = make_reward()
        drop = Fault(FaultKind.DROP_BEFORE, match=RequestMatch("write", path=f"{ZONE.rewards}/*"))
        mock.inject(drop)
        async with store_on(mock) as store:
            await store.record_reward(reward)
            assert mock.read_file(ZONE.reward(reward.reward_id)) is None
            assert await store.list_rewards() == [reward]
            assert await store.has_reward(reward.reward_id)

    run(scenario())


def test_a_listing_of_many_documents_asks_for_their_slots_in_bulk() -> None:
    """Markers, documents, slots: three requests, however many bounties."""

    async def scenario() -> int:
        mock = racing()
        async with store_on(mock) as store:
            for number in range(50):
                await store.create_bounty(make_bounty(bounty_id=f"b-{number}"))
            mock.reset_counts()
            assert len(await store.list_bounties(BountyQuery(status=S.OPEN))) == 50
        return mock.request_count

    assert run(scenario()) == 3


@pytest.mark.parametrize(("release", "copies"), [("0.5.6", 0), ("0.7.0", 0), ("0.9", 1)])
def test_leftovers_go_when_nothing_can_need_them_and_not_before(release: str, copies: int) -> None:
    """Staged files of losers, slots that the file has followed, and the copies of both."""

    async def scenario() -> None:
        mock = racing(release, race_window=0.01)
        await _live(mock, 1)
        await asyncio.gather(*(_claim(mock, 0, each) for each in range(4)))
        async with store_on(mock) as store:
            assert await store.collect_leftovers() == []
            await asyncio.sleep(timedelta(days=2).total_seconds())
            await store.begin_settlement("b-1", "cid")
            gone = await store.collect_leftovers()
            assert {f"{SLOTS}/1", f"{SLOTS}/2"} < set(gone)
            assert f"{SLOTS}/3" not in gone
            assert not beneath(mock, staged(DOCUMENT))
            assert not beneath(mock, STAGED_AT_ROOT)
            assert len(beneath(mock, contents(DOCUMENT))) == copies
            assert await store.collect_leftovers() == []
            settled = await store.settle_bounty("b-1")
            assert await store.list_bounties() == [settled]

    run(scenario())


def test_slots_that_the_file_has_only_just_followed_stay_for_those_who_read_it_before() -> None:
    """The next sweep takes them."""

    async def scenario() -> None:
        mock = racing()
        await _live(mock, 2)
        old = mock.read_file(f"{SLOTS}/1")
        async with store_on(mock) as store:
            await _write(mock, msgspec.json.decode(old or b""))  # a write that arrives late
            await asyncio.sleep(timedelta(days=2).total_seconds())
            assert await store.collect_leftovers() == []
            assert seq_of_file(mock) == 2
            assert len(await store.collect_leftovers()) == 2

    run(scenario())


def test_what_a_process_writes_first_is_staged_with_its_copy() -> None:
    """Although every etag that it has seen is of content that was overwritten, and so no hash."""

    async def scenario() -> None:
        mock = racing("0.9.26")
        await _live(mock, 2)
        async with store_on(mock) as store:
            assert await store.get_bounty("b-1") is not None  # its etag is stale from now on
            await LIFE[2][1](store)
        mock.reset_counts()
        async with store_on(mock) as store:
            await LIFE[3][1](store)
        copies = [each for each in mock.requests if contents(DOCUMENT) in str(each.paths)]
        assert [each.method for each in copies if "write" in each.method] == ["write_batch"]

    run(scenario())


def test_a_slot_whose_copy_is_gone_is_not_taken_for_a_free_one() -> None:
    """Where a slot loses its content, what was committed there is not known then."""

    async def scenario() -> None:
        mock = racing("0.9")
        drop = Fault(FaultKind.DROP_BEFORE, match=RequestMatch("write", path=DOCUMENT), times=None)
        mock.inject(drop)
        await _live(mock, 1)
        async with NexusClient("http://nexus", transport=mock.transport()) as client:
            for copy in beneath(mock, contents(DOCUMENT)):
                await client.delete(copy)
        async with store_on(mock) as store:
            with pytest.raises(NexusError, match="there is no copy"):
                await store.get_bounty("b-1")
            with pytest.raises(CommitUnknownError):
                await store.create_bounty(make_bounty(title="Mine"))

    run(scenario())


def test_a_zone_that_was_committed_by_preconditions_goes_on_by_rename() -> None:
    """The first slot follows the sequence number of the file."""

    async def scenario() -> None:
        mock = racing()
        async with NexusClient("http://nexus", transport=mock.transport()) as client:
            plain = NexusBountyStore(client, commit="conditional", clock=wall_clock)
            await plain.create_bounty(make_bounty_in(S.OPEN))
            await plain.claim_bounty("b-1", WORKER, "c")
        async with store_on(mock) as store:
            await store.begin_settlement("b-1", "cid")
        assert mock.read_file(f"{SLOTS}/3") == mock.read_file(DOCUMENT)

    run(scenario())


def test_a_store_whose_server_is_gone_says_so_and_nothing_was_committed() -> None:
    """Nothing was sent that could commit."""

    async def scenario() -> None:
        mock = racing()
        await _live(mock, 1)
        mock.inject(Fault(FaultKind.REFUSE, times=None))
        async with store_on(mock) as store:
            with pytest.raises(PreCommitError):
                await store.claim_bounty("b-1", WORKER, "c")
            with pytest.raises(NexusError):
                await store.list_bounties()

    run(scenario())


async def _write(mock: MockNexus, value: dict[str, object]) -> None:
    """Write the document as another program does."""
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        await client.write(DOCUMENT, msgspec.json.encode(value))


def test_the_strategy_needs_nothing_but_a_client() -> None:
    """So that every program of a zone can be given the same."""
    assert RenameCommit(NexusClient("http://nexus"))
