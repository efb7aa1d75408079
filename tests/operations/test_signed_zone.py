"""In a zone that is signed, what a stranger has written moves no money and proves nothing.

The stranger can write every file of the zone, and has no key. The oracle counts the money in the
ledger.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from nexus_bounty import CommitUnknownError, OutcomeError, PostCommitError, UntrustedDocumentError
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.models import RewardType, reward_id
from nexus_bounty.operations import BountyOperations
from nexus_bounty.operations.explaining import clues_to, explanation_of
from nexus_bounty.operations.paying import payout_of
from nexus_bounty.operations.vouching import contradiction
from nexus_bounty.outcomes import Outcome
from nexus_bounty.ports import cleaning_up
from nexus_bounty.reconcile import Reconciler, ReconcileReport
from tests.operations.lives import KEY, claimed, outcome, posted, refusal, settled
from tests.support.racing import by_rename_on
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    FUNDS,
    GRACE,
    PRICE,
    World,
    a_bounty,
    document,
)

DOCUMENT = f"/zones/default/bounties/{BOUNTY_ID}.json"
REWARD = f"/zones/default/rewards/{reward_id(RewardType.BOUNTY_PAYOUT, BOUNTY_ID, CID)}.json"
MALLORY = {"agentId": "mallory"}
SIGNED = (SecretStr("a key of the zone, quite long enough"),)
Act = Callable[[BountyOperations], Awaitable[object]]


async def a_signed_world(release: str | None = None) -> World:
    world = World(signing_keys=SIGNED)
    if release is not None:
        world = World(release, by_rename_on(release), SIGNED)
    await world.found()
    return world


def forge(world: World, path: str = DOCUMENT, **changes: Any) -> None:
    """Change a document as anybody with access to the zone can, marker and slot included."""
    value = msgspec.json.decode(world.mock.read_file(path) or b"{}") | changes
    content = msgspec.json.encode({name: item for name, item in value.items() if item is not None})
    write = world.mock.core.table.write
    write(path, content)
    if path == DOCUMENT:
        write(f"/zones/default/indexes/bounties/status/{value['status']}/{BOUNTY_ID}", b"")


async def money(world: World) -> dict[str, tuple[int, int]]:
    """What everybody has, free and reserved."""
    found = {name: await world.ledger.balance(name) for name in ("alice", "bob", "mallory")}
    return {name: (each.available, each.reserved) for name, each in found.items()}


IN_ESCROW = {"alice": (FUNDS - PRICE, PRICE), "bob": (0, 0), "mallory": (0, 0)}
PAID = {"alice": (FUNDS - PRICE, 0), "bob": (PRICE, 0), "mallory": (0, 0)}


async def reconciled(world: World) -> ReconcileReport:
    await world.later()
    async with world.process(seed=9) as process:
        return await Reconciler(process.operations, grace=GRACE).run_until_clean()


@pytest.mark.parametrize("release", [None, "0.10", "0.7.0", "0.9"])
@virtual
async def test_a_life_is_lived_in_a_signed_zone(release: str | None) -> None:
    """On each kind of server; nothing of it is to be repaired."""
    world = await a_signed_world(release)
    async with world.process() as process:
        await settled(process.operations)
    assert await money(world) == PAID
    assert (await reconciled(world)).found == 0


FORGED: dict[str, dict[str, Any]] = {
    "draft": {},
    "open": {"claimedBy": None, "claimId": None},
    "claimed": {"claimedBy": MALLORY, "claimId": "c-mallory"},
    "pending_settlement": {"claimedBy": MALLORY, "claimId": "c", "fulfilledByCid": CID},
    "completed": {"claimedBy": MALLORY, "claimId": "c", "fulfilledByCid": CID},
    "settled": {"claimedBy": MALLORY, "claimId": "c", "fulfilledByCid": CID},
    "expired": {},
    "cancelled": {},
}
ACTS: dict[str, Act] = {
    "claim": lambda o: o.claim(BOUNTY_ID, CAROL),
    "settle": lambda o: o.settle(BOUNTY_ID, CID),
    "release": lambda o: o.release(BOUNTY_ID, BOB),
    "cancel": lambda o: o.cancel(BOUNTY_ID),
    "expire": lambda o: o.expire(BOUNTY_ID),
}


@pytest.mark.parametrize("status", FORGED)
@virtual
async def test_on_a_forged_bounty_nothing_is_done(status: str) -> None:
    """Whatever is asked of it: its document stays as it is, and so does the money."""
    world = await a_signed_world()
    async with world.process() as process:
        await claimed(process.operations)
    forge(world, status=status, updatedAt="2026-01-01T00:00:00Z", **FORGED[status])
    standing = world.mock.read_file(DOCUMENT)
    async with world.process(seed=2) as process:
        for act in ACTS.values():
            assert await outcome(act(process.operations)) == "pre_commit"
    assert world.mock.read_file(DOCUMENT) == standing
    assert await money(world) == IN_ESCROW


@pytest.mark.parametrize("status", FORGED)
@virtual
async def test_a_reconciler_reports_a_forged_bounty_and_moves_nothing(status: str) -> None:
    """Once where it would have acted, and once among the documents that do not count."""
    world = await a_signed_world()
    async with world.process() as process:
        await claimed(process.operations)
    forge(world, status=status, updatedAt="2026-01-01T00:00:00Z", **FORGED[status])
    standing = world.mock.read_file(DOCUMENT)
    report = await reconciled(world)
    assert report.errors == []
    assert report.failed == 0
    told = {(each.sweep, each.subject) for each in report.left}
    assert ("index markers", BOUNTY_ID) in told
    assert "orphan reservations" in {sweep for sweep, _ in told}
    assert all("without a key" in (each.left or "") for each in report.left), report.left
    assert world.mock.read_file(DOCUMENT) == standing
    assert await money(world) == IN_ESCROW


@virtual
async def test_a_settlement_under_way_is_not_paid_on_a_forged_document() -> None:
    """Not even to whom the ledger has on record: a person has to look at it first."""
    world = await a_signed_world()
    async with world.process() as process:
        await claimed(process.operations)
        capture = process.credits.capture

        async def forged_meanwhile(reservation_id: str, **named: Any) -> Any:
            forge(world, title="Sort it!", criteria={"description": "anything"})
            raise CommitUnknownError("the answer was lost")

        process.credits.capture = forged_meanwhile  # type: ignore[method-assign]
        error = await refusal(process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY))
        assert isinstance(error, PostCommitError)
        process.credits.capture = capture  # type: ignore[method-assign]
        again = await refusal(process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY))
        assert isinstance(again, OutcomeError)
    await reconciled(world)
    assert await money(world) == IN_ESCROW


def _lost_after_commit(world: World) -> None:
    write = RequestMatch(method="write", path=DOCUMENT)
    world.mock.inject(Fault(FaultKind.TIMEOUT_AFTER, match=write, times=None))


def _without_ours(history: dict[str, Any]) -> dict[str, Any]:
    return history | {"ops": [each for each in history["ops"] if each["kind"] != "cancel"]}


def _as_fenced(history: dict[str, Any]) -> dict[str, Any]:
    marks = ({"aborted": True} if each["kind"] == "cancel" else {} for each in history["ops"])
    return history | {
        "ops": [each | mark for each, mark in zip(history["ops"], marks, strict=True)]
    }


def _as_before(history: dict[str, Any]) -> dict[str, Any]:
    rest = _without_ours(history)
    return rest | {"seq": rest["ops"][-1]["seq"]}


HIDDEN: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "taken out": _without_ours,
    "called a fence": _as_fenced,
    "put back as it was before": _as_before,
}


@pytest.mark.parametrize("key", [KEY, None], ids=["with a key", "without"])
@pytest.mark.parametrize("how", HIDDEN)
@virtual
async def test_a_commit_that_a_stranger_hides_is_not_called_pre_commit(
    how: str, key: str | None
) -> None:
    """Its answer was lost after it had landed; what the document says by then proves nothing.

    No earlier call is looked for where no key was given: there the commit itself has to know.
    """
    world = await a_signed_world()
    async with world.process(impatient=True) as process:
        await posted(process.operations)
        send, strategy = world.mock.core.table.write, process.operations.services.store
        _lost_after_commit(world)
        reads = strategy._choice._strategy.reads  # type: ignore[attr-defined]
        read = reads.read

        async def hidden_first(path: str, *arguments: Any, **named: Any) -> Any:
            value = msgspec.json.decode(world.mock.read_file(DOCUMENT) or b"{}")
            if path == DOCUMENT and value["nexusBounty"]["ops"][-1]["kind"] == "cancel":
                lie = {
                    "status": "open",
                    "amount": 1,
                    "nexusBounty": HIDDEN[how](value["nexusBounty"]),
                }
                send(DOCUMENT, msgspec.json.encode(value | lie))
            return await read(path, *arguments, **named)

        reads.read = hidden_first
        act = process.operations.cancel
        told = await refusal(act(BOUNTY_ID, idempotency_key=key))
        assert told.outcome is Outcome.UNKNOWN
        world.mock.clear_faults()
        assert await outcome(act(BOUNTY_ID, idempotency_key=told.idempotency_key)) == "unknown"
    assert await money(world) == IN_ESCROW


@virtual
async def test_a_fence_is_not_written_over_what_a_stranger_has_changed() -> None:
    """It would sign what they say; whether an earlier attempt by name lands is not known then."""
    world = await a_signed_world("0.7.0")
    async with world.process(impatient=True) as process:
        await posted(process.operations)
    async with world.process(impatient=True, seed=2) as process:
        store: Any = cleaning_up(process.operations.services.store, later=False)

        def changed_meanwhile(_: Any) -> bool:
            forge(world, criteria={"description": "anything"})
            return True

        renames = RequestMatch(method="rename", predicate=changed_meanwhile)
        world.mock.inject(Fault(FaultKind.TIMEOUT_BEFORE, match=renames, times=None))
        assert await outcome(store.cancel_bounty(BOUNTY_ID, idempotency_key=KEY)) == "unknown"
        world.mock.clear_faults()
    signed = [each for each in world.mock.log if each.content and b'"anything"' in each.content]
    assert signed == []
    assert await money(world) == IN_ESCROW


@virtual
async def test_a_record_that_a_stranger_makes_up_is_no_commit_of_ours() -> None:
    """The claim never landed, whatever the history says."""
    world = await a_signed_world()
    async with world.process(impatient=True) as process:
        await posted(process.operations)
        write = RequestMatch(method="write", path=DOCUMENT)
        world.mock.inject(Fault(FaultKind.TIMEOUT_BEFORE, match=write, times=None))
        act = process.operations.claim
        assert await outcome(act(BOUNTY_ID, BOB, idempotency_key=KEY)) == "unknown"
        world.mock.clear_faults()
        value = document(world.mock) or {}
        last = value["nexusBounty"]["ops"][-1]
        made_up = last | {"key": f"{KEY}:claim", "kind": "claim", "seq": last["seq"] + 1}
        history = value["nexusBounty"] | {"ops": [*value["nexusBounty"]["ops"], made_up]}
        history["seq"] = made_up["seq"]
        forge(world, nexusBounty=history, status="claimed", claimedBy={"agentId": "bob"})
        assert await outcome(act(BOUNTY_ID, BOB, idempotency_key=KEY)) == "unknown"
        services = process.operations.services
        clues = await clues_to(services, KEY)
        told = await explanation_of(services, KEY, BOUNTY_ID, clues.operation, clues)
    assert told.outcome is Outcome.UNKNOWN
    assert "not to be trusted" in told.summary


@virtual
async def test_our_commit_stays_proven_when_another_program_moves_the_bounty_on() -> None:
    """Its record is signed; only what the document says by now is somebody else's word."""
    world = await a_signed_world()
    async with world.process() as process:
        await claimed(process.operations)
    forge(world, status="completed", fulfilledByCid=CID)  # as Grove does
    async with world.process(seed=2) as process:
        store: Any = process.operations.services.store
        became = await store.resolve_operation(BOUNTY_ID, "claim:claim")
        assert became.outcome is Outcome.COMMITTED
        assert became.bounty.untrusted is not None


@virtual
async def test_a_forged_reward_counts_for_nothing_and_is_reported() -> None:
    """It says that a stranger was paid."""
    world = await a_signed_world()
    async with world.process() as process:
        await settled(process.operations)
    forge(world, REWARD, recipient=MALLORY)
    async with world.process(seed=2) as process:
        store: Any = process.operations.services.store
        assert not await store.has_reward(reward_id(RewardType.BOUNTY_PAYOUT, BOUNTY_ID, CID))
        assert await store.list_rewards() == []
    report = await reconciled(world)
    assert [each.sweep for each in report.left] == ["missing rewards"]


@virtual
async def test_what_was_not_signed_is_left_alone_until_somebody_signs_it() -> None:
    """A zone from before signing was turned on; then its life goes on as usual."""
    world = World()
    await world.found()
    async with world.process() as process:
        await claimed(process.operations)
    world.signing_keys = SIGNED
    async with world.process(seed=2) as process:
        error = await refusal(process.operations.settle(BOUNTY_ID, CID))
        assert isinstance(error, UntrustedDocumentError)
        assert "sign" in str(error)
        store: Any = process.operations.services.store
        seen = await store.get_bounty(BOUNTY_ID)
        assert "not signed" in seen.untrusted
        assert await contradiction(process.operations.services, seen) is None
        signed = await store.sign_bounty(BOUNTY_ID, as_seen=seen)
        assert signed == msgspec.structs.replace(seen, untrusted=None)
        assert await store.sign_bounty(BOUNTY_ID) == signed
        await process.operations.settle(BOUNTY_ID, CID)
    assert await money(world) == PAID
    assert (await reconciled(world)).found == 0


@virtual
async def test_what_has_changed_since_it_was_looked_at_is_not_signed() -> None:
    """A stranger was faster than the person who signs."""
    world = await a_signed_world()
    async with world.process() as process:
        await claimed(process.operations)
        forge(world, criteria={"description": "sorted"})
        store: Any = process.operations.services.store
        seen = await store.get_bounty(BOUNTY_ID)
        forge(world, claimedBy=MALLORY)
        error = await refusal(store.sign_bounty(BOUNTY_ID, as_seen=seen))
        assert "changed since" in str(error)
        assert (await store.get_bounty(BOUNTY_ID)).untrusted is not None


@virtual
async def test_a_reward_is_signed_only_if_it_says_what_was_paid() -> None:
    """And by whom it is asked does not matter."""
    world = World()
    await world.found()
    async with world.process() as process:
        await settled(process.operations)
    world.signing_keys = SIGNED
    genuine = world.mock.read_file(REWARD) or b""
    forge(world, REWARD, recipient=MALLORY)
    async with world.process(seed=2) as process:
        store: Any = process.operations.services.store
        bounty = await store.sign_bounty(BOUNTY_ID)
        reward = payout_of(bounty)
        assert reward is not None
        assert await outcome(store.sign_reward(reward)) == "other_operation"
        world.mock.core.table.write(REWARD, genuine)
        await store.sign_reward(reward)
        assert await store.has_reward(reward.reward_id)
    assert (await reconciled(world)).found == 0


CONTRADICTED: dict[str, dict[str, Any]] = {
    "cancelled, and its reservation is held": {"status": "cancelled"},
    "settled, and its reservation is held": {"status": "settled", "fulfilledByCid": CID},
    "completed, and its reservation is held": {"status": "completed", "fulfilledByCid": CID},
    "for zone:default/bounty:b-1": {"amount": 1},
    "in another ledger": {"ledgerId": "another"},
    "has no reservation r-0": {"reservationId": "r-0"},
}


@pytest.mark.parametrize("why", CONTRADICTED)
@virtual
async def test_the_ledger_contradicts_what_is_not_to_be_signed(why: str) -> None:
    """Each status goes with what a reservation can be then."""
    world = await a_signed_world()
    async with world.process() as process:
        await claimed(process.operations)
        forge(world, **CONTRADICTED[why])
        store: Any = process.operations.services.store
        bounty = await store.get_bounty(BOUNTY_ID)
        assert why in (await contradiction(process.operations.services, bounty) or "")


@virtual
async def test_a_tombstone_that_is_not_signed_hides_no_bounty() -> None:
    """A stranger buries one that is alive; signing a real one leaves it one."""
    world = await a_signed_world()
    async with world.process() as process:
        await posted(process.operations)
        genuine = document(world.mock) or {}
        forge(world, nexusBounty=genuine["nexusBounty"] | {"tombstone": True})
        store: Any = process.operations.services.store
        assert (await store.get_bounty(BOUNTY_ID)).untrusted is not None
        assert await outcome(process.operations.create(a_bounty(), idempotency_key="k-2")) != (
            "committed"
        )
    world = World()
    await world.found()
    async with world.process() as process:
        await process.operations.services.store.resolve_operation(BOUNTY_ID, KEY)
    world.signing_keys = SIGNED
    async with world.process(seed=2) as process:
        store = process.operations.services.store
        assert (await store.get_bounty(BOUNTY_ID)).untrusted is not None
        await store.sign_bounty(BOUNTY_ID)
        assert await store.get_bounty(BOUNTY_ID) is None
