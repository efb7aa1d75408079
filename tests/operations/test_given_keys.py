"""A key that was given may have been used before, by anybody: no failure of a repeat hides that.

Every operation x what fails before its own writes x what is true of its key.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nexus_bounty import (
    CommitUnknownError,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
    OutcomeError,
    PaymentError,
    PostCommitError,
    PreCommitError,
    events,
)
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.models import utc_now
from nexus_bounty.operations import BountyOperations
from nexus_bounty.outcomes import Evidence, Outcome, Proof
from nexus_bounty.testing.virtual_time import wall_clock
from nexus_bounty_sqlite import SqliteCredits
from tests.events.test_doubts_end import Doubts, silence_after_write
from tests.operations import operation_trials
from tests.operations.lives import DOCUMENT, case_of, outcome
from tests.operations.operation_trials import KEY
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CID,
    Process,
    World,
    a_bounty,
    a_world,
    document,
    with_other,
)

Act = Callable[[BountyOperations, str | None], Awaitable[object]]

ACTS: dict[str, Act] = {
    "create": lambda o, key: o.create(a_bounty(), idempotency_key=key),
    "claim": lambda o, key: o.claim(BOUNTY_ID, BOB, idempotency_key=key),
    "release": lambda o, key: o.release(BOUNTY_ID, BOB, idempotency_key=key),
    "settle": lambda o, key: o.settle(BOUNTY_ID, CID, idempotency_key=key),
    "cancel": lambda o, key: o.cancel(BOUNTY_ID, idempotency_key=key),
    "expire": lambda o, key: o.expire(BOUNTY_ID, idempotency_key=key),
}
DECIDED_BY = {"settle": "begin", "create": "open"}


def has_landed(world: World, name: str) -> bool:
    """Whether the document names the operation with our key as one that happened: the truth."""
    records = (document(world.mock) or {}).get("nexusBounty", {}).get("ops", ())
    step = f"{KEY}:{DECIDED_BY.get(name, name)}"
    return any(each["key"] == step and not each.get("aborted") for each in records)


# What fails before the operation's own writes


def _journal_that(raises: Callable[[], Exception]) -> Callable[[World, Process], BountyOperations]:
    def hinder(_world: World, process: Process) -> BountyOperations:
        async def begin_operation(_entry: object) -> None:
            raise raises()

        process.credits.begin_operation = begin_operation  # type: ignore[attr-defined]
        return process.operations

    return hinder


def _locked() -> Exception:
    return PaymentError("database is locked", evidence=Evidence(proof=Proof.NEVER_SENT))


def _every_request(
    kind: FaultKind, times: int | None = None
) -> Callable[[World, Process], BountyOperations]:
    def hinder(world: World, process: Process) -> BountyOperations:
        world.mock.inject(Fault(kind, match=RequestMatch(), times=times))
        return process.operations

    return hinder


class _WithoutJournal:
    """A ledger that keeps none: what a process remembers of a key tells nothing to the next."""

    def __init__(self, ledger: MemoryCredits) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        if name.endswith(("_operation", "_operations")):
            raise AttributeError(name)
        return getattr(self._ledger, name)


def _no_journal_and_no_server(world: World, process: Process) -> BountyOperations:
    _every_request(FaultKind.DROP_BEFORE)(world, process)
    return with_other(process.operations, credits=_WithoutJournal(world.ledger))


def _another_ledger(_world: World, process: Process) -> BountyOperations:
    return with_other(process.operations, credits=MemoryCredits(clock=wall_clock, identity="other"))


def _after_the_deadline(_world: World, process: Process) -> BountyOperations:
    return with_other(process.operations, clock=lambda: wall_clock() + timedelta(days=30))


def _journal_and_server_lost(world: World, process: Process) -> BountyOperations:
    _every_request(FaultKind.DROP_BEFORE)(world, process)
    return JOURNAL["lost"](world, process)


JOURNAL = {
    "lost": _journal_that(lambda: CommitUnknownError("the answer was lost")),
    "locked": _journal_that(_locked),
    "broken": _journal_that(lambda: OSError("no such device")),
}
ELSEWHERE = {
    "no server": _every_request(FaultKind.DROP_BEFORE),
    "no server at first": _every_request(FaultKind.DROP_BEFORE, times=1),
    "out of time": _every_request(FaultKind.TIMEOUT_BEFORE),
    "refused": _every_request(FaultKind.STATUS_BEFORE),
    "no journal, no server": _no_journal_and_no_server,
    "journal and server": _journal_and_server_lost,
    "another ledger": _another_ledger,
    "after the deadline": _after_the_deadline,
}


async def _prepared(name: str) -> World:
    world = await a_world()
    await operation_trials.prepare(world, case_of(name))
    return world


async def _forgotten(world: World) -> None:
    """The journal has forgotten every operation, as it does after a month."""
    await world.ledger.forget_operations("default", utc_now() + timedelta(days=40000))


async def _landed(world: World, name: str) -> None:
    async with world.process(seed=3) as first:
        await ACTS[name](first.operations, KEY)
    assert has_landed(world, name)


async def _after(name: str) -> World:
    """The operation has happened and returned in another process, and is found in no journal."""
    world = await _prepared(name)
    await _landed(world, name)
    return world


@pytest.mark.parametrize("hindrance", JOURNAL)
@pytest.mark.parametrize("name", ACTS)
@virtual
async def test_what_happened_is_told_though_the_journal_cannot_be_reached(
    name: str, hindrance: str
) -> None:
    """The bounty's history knows it."""
    world = await _after(name)
    async with world.process(impatient=True) as process:
        operations = JOURNAL[hindrance](world, process)
        applied = len(world.mock.log)
        assert await outcome(ACTS[name](operations, KEY)) == "post_commit"
        assert len(world.mock.log) == applied


@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("hindrance", ELSEWHERE)
@pytest.mark.parametrize("name", ACTS)
@virtual
async def test_what_happened_is_never_said_not_to_have(
    name: str, hindrance: str, forgotten: bool, remembered: bool
) -> None:
    """It is told, or that nobody knows; whether or not the journal still has the key.

    So it is where this process has seen the bounty before that happened, and remembers it so.
    """
    world = await _prepared(name)
    async with world.process(impatient=True) as process:
        if remembered:
            await process.operations.services.store.get_bounty(BOUNTY_ID)
        await _landed(world, name)
        if forgotten:
            await _forgotten(world)
        operations = ELSEWHERE[hindrance](world, process)
        assert await outcome(ACTS[name](operations, KEY)) != "pre_commit"


@pytest.mark.parametrize("hindrance", JOURNAL | ELSEWHERE)
@pytest.mark.parametrize("name", ACTS)
@virtual
async def test_a_verdict_on_a_key_that_was_never_used_is_true_and_uses_nothing_up(
    name: str, hindrance: str
) -> None:
    """Once all is well again, the same call with the same key makes it happen."""
    world = await _prepared(name)
    async with world.process(impatient=True) as process:
        operations = (JOURNAL | ELSEWHERE)[hindrance](world, process)
        told = await outcome(ACTS[name](operations, KEY))
        if hindrance in JOURNAL:
            assert told == "unknown"
        assert has_landed(world, name) == (told in ("committed", "post_commit"))
    world.mock.clear_faults()
    await world.mock.settle()
    if hindrance == "another ledger":
        return  # it may be posted with that one
    async with world.process(seed=5) as healthy:
        assert await outcome(ACTS[name](healthy.operations, KEY)) == "committed"


@pytest.mark.parametrize("hindrance", JOURNAL | ELSEWHERE)
@pytest.mark.parametrize("name", ACTS)
@virtual
async def test_with_a_key_of_our_own_nothing_was_done(name: str, hindrance: str) -> None:
    """Nobody can have used it, so that no request is needed to say so."""
    world = await _prepared(name)
    async with world.process(impatient=True) as process:
        applied, asked = len(world.mock.log), world.mock.request_count
        operations = (JOURNAL | ELSEWHERE)[hindrance](world, process)
        told = await outcome(ACTS[name](operations, None))
        if told == "committed":  # what was in the way was not in the way of that
            assert hindrance in ("no server at first", "after the deadline")
            return
        assert told == "pre_commit"
        if hindrance in JOURNAL:
            assert world.mock.request_count == asked
    if hindrance != "another ledger":
        assert len(world.mock.log) == applied


@pytest.mark.parametrize("hindrance", JOURNAL | ELSEWHERE)
@pytest.mark.parametrize("name", ["create", "claim", "settle", "cancel"])
@virtual
async def test_a_doubt_ends_with_the_truth_or_not_at_all(name: str, hindrance: str) -> None:
    """The first call landed unheard; what the repeat tells, and its events, agree with that."""
    world, heard = await _prepared(name), Doubts()
    silence_after_write(world, DOCUMENT)
    async with world.process(impatient=True) as process:
        with events.register(heard):
            await outcome(ACTS[name](process.operations, KEY))
            world.mock.clear_faults()
            operations = (JOURNAL | ELSEWHERE)[hindrance](world, process)
            again = await outcome(ACTS[name](operations, KEY))
    told = heard.of(events.DoubtResolved)
    ended = [e.outcome for e in told if e.operation and e.operation.layer == "operations"]
    if has_landed(world, name):
        assert again != "pre_commit"
        assert Outcome.PRE_COMMIT not in ended
    assert again != "unknown" or not ended


@pytest.mark.parametrize("name", ACTS)
@virtual
async def test_a_repeat_that_is_cancelled_at_the_journal_ends_no_doubt(name: str) -> None:
    """It has no verdict, and the next one is true."""
    world = await _after(name)
    async with world.process(impatient=True) as process:
        began = asyncio.Event()

        async def begin_operation(_entry: object) -> None:
            began.set()
            await asyncio.Event().wait()

        process.credits.begin_operation = begin_operation  # type: ignore[attr-defined]
        task = asyncio.ensure_future(ACTS[name](process.operations, KEY))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        operations = JOURNAL["lost"](world, process)
        assert await outcome(ACTS[name](operations, KEY)) == "post_commit"


@virtual
async def test_who_may_not_cancel_is_told_what_the_key_did() -> None:
    """Of a bounty that is gone for good, "nothing was done" would be a lie about the key."""
    world = await _after("cancel")
    async with world.process() as process:
        await _forgotten(world)
        act = process.operations.cancel(BOUNTY_ID, actor="mallory", idempotency_key=KEY)
        assert await outcome(act) == "post_commit"


async def _seen_before_it_landed_elsewhere(world: World, name: str, process: Process) -> None:
    await process.operations.services.store.get_bounty(BOUNTY_ID)
    await _landed(world, name)
    await _forgotten(world)


@pytest.mark.parametrize("status", [401, 403, 404, 413, 422])
@pytest.mark.parametrize("method", ["write", "rename", "exists", "read"])
@pytest.mark.parametrize("name", ACTS)
@virtual
async def test_a_server_that_refuses_this_call_refuses_no_earlier_one(
    name: str, method: str, status: int
) -> None:
    """What this process remembers of the bounty is older than the call that did it."""
    world = await _prepared(name)
    async with world.process(impatient=True) as process:
        await _seen_before_it_landed_elsewhere(world, name, process)
        refusing = Fault(FaultKind.STATUS_BEFORE, status=status, times=None)
        world.mock.inject(refusing.on(RequestMatch(method=method)))
        assert await outcome(ACTS[name](process.operations, KEY)) != "pre_commit"


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("settle", lambda o: o.settle(BOUNTY_ID, CID, actor="mallory", idempotency_key=KEY)),
        ("cancel", lambda o: o.cancel(BOUNTY_ID, actor="mallory", idempotency_key=KEY)),
    ],
)
@virtual
async def test_who_may_not_is_told_what_the_key_did_by_the_bounty_as_it_is_now(
    name: str, act: Callable[[BountyOperations], Awaitable[object]]
) -> None:
    """Not as it was seen before: neither whether it happened nor the snapshot of it is old."""
    world = await _prepared(name)
    async with world.process() as process:
        await _seen_before_it_landed_elsewhere(world, name, process)
        with pytest.raises(PostCommitError) as told:
            await act(process.operations)
    standing = document(world.mock)
    assert standing is not None
    assert told.value.bounty is not None
    assert told.value.bounty.status == standing["status"]


@virtual
async def test_a_key_that_was_fenced_off_is_definite_without_the_journal() -> None:
    """It never happened and never will; the proof says so."""
    world = await _prepared("cancel")
    async with world.process(impatient=True) as process:
        await process.operations.services.store.resolve_operation(BOUNTY_ID, f"{KEY}:cancel")
        operations = JOURNAL["lost"](world, process)
        with pytest.raises(PreCommitError) as refused:
            await ACTS["cancel"](operations, KEY)
    assert refused.value.evidence.proof is Proof.FENCED


async def test_a_file_that_is_locked_hides_no_claim(tmp_path: Path) -> None:
    """A real ledger: another program has it, and the claim happened before."""
    file, mock = tmp_path / "ledger.db", MockNexus()
    settings = NexusSettings(retry_attempts=1)
    async with (
        NexusClient(transport=mock.transport(), settings=settings) as client,
        SqliteCredits(file, busy_timeout=timedelta(milliseconds=20)) as ledger,
    ):
        await ledger.top_up("funds", account="alice", amount=1000)
        operations = BountyOperations(
            NexusBountyStore(client),
            credits=ledger,
            claims=NexusClaimStore(client),
            contributions=MemoryContributionStore(),
        )
        await operations.create(a_bounty(utc_now() + timedelta(days=1)))
        await operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            claim, cancel = operations.claim, operations.cancel
            assert await outcome(claim(BOUNTY_ID, BOB, idempotency_key=KEY)) == "post_commit"
            assert await outcome(cancel(BOUNTY_ID, idempotency_key="new")) == "unknown"
            assert await outcome(cancel(BOUNTY_ID)) == "pre_commit"
        assert await outcome(cancel(BOUNTY_ID, idempotency_key="new")) == "committed"


@virtual
async def test_what_cannot_be_known_says_what_to_do() -> None:
    """Nothing is compensated, and nothing is repeated with another key."""
    world = await _prepared("claim")
    async with world.process() as process:
        operations = JOURNAL["locked"](world, process)
        with pytest.raises(CommitUnknownError) as unknown:
            await ACTS["claim"](operations, KEY)
    said = str(unknown.value)
    assert "database is locked" in said
    assert "whether an earlier call with this key did it is not known" in said
    assert "repeat it with the same key" in said
    assert (unknown.value.operation, unknown.value.idempotency_key) == ("claim", KEY)


@virtual
async def test_a_key_that_was_made_for_this_call_is_like_one_of_our_own() -> None:
    """Once: after that it may have been used."""
    world = await _prepared("claim")
    async with world.process(impatient=True) as process:
        operations = _every_request(FaultKind.DROP_BEFORE)(world, process)
        operations.services.new_keys.add(KEY)
        assert await outcome(ACTS["claim"](operations, KEY)) == "pre_commit"
        await _forgotten(world)
        assert await outcome(ACTS["claim"](operations, KEY)) == "unknown"


@pytest.mark.parametrize("release", [None, "0.9"])
@pytest.mark.parametrize("name", ["create", "claim", "settle", "cancel"])
@virtual
async def test_a_key_that_was_made_for_this_call_costs_no_more_than_none(
    name: str, release: str | None
) -> None:
    """Nothing is looked for that cannot be there: no request more, and no round trip."""
    spent = {}
    for key in (KEY, None):
        world = await a_world(release, away=0.1)
        await operation_trials.prepare(world, case_of(name))
        async with world.process() as process:
            process.operations.services.new_keys.add(KEY)
            sent, began = world.mock.request_count, asyncio.get_running_loop().time()
            assert await outcome(ACTS[name](process.operations, key)) == "committed"
            took = asyncio.get_running_loop().time() - began
            spent[key] = world.mock.request_count - sent, round(took, 3)
    assert spent[KEY] == spent[None]


# Who asked


@virtual
async def test_the_journal_says_who_asked() -> None:
    """Where the program said it."""
    world = await a_world()
    async with world.process() as process:
        do = process.operations
        await do.create(a_bounty(), actor="alice", idempotency_key="a")
        await do.claim(BOUNTY_ID, BOB, actor="bob", idempotency_key="b")
        await do.release(BOUNTY_ID, BOB, actor="bob", idempotency_key="c")
        await do.claim(BOUNTY_ID, BOB, idempotency_key="d")
        await do.settle(BOUNTY_ID, CID, actor="alice", idempotency_key="e")
        with pytest.raises(OutcomeError):
            await do.cancel(BOUNTY_ID, actor="alice", idempotency_key="f")
    entries = [await world.ledger.find_operation("default", key) for key in "abcdef"]
    asked = [entry.actor if entry else "no entry" for entry in entries]
    assert asked == ["alice", "bob", "bob", None, "alice", "alice"]
