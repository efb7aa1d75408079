"""A copy of claims leaves every lease with whom it is."""

from datetime import timedelta
from typing import Any

import pytest

from nexus_bounty.leases import copy_claims
from nexus_bounty.memory import MemoryClaimStore
from nexus_bounty.models import AgentIdentity
from nexus_bounty.outcomes import ClaimConflictError, CommitUnknownError, IdempotencyMismatchError
from nexus_bounty_postgres import PostgresClaimStore
from nexus_bounty_sqlite import SqliteClaimStore

HOUR = timedelta(hours=1)
ALICE, BOB = AgentIdentity(agent_id="alice"), AgentIdentity(agent_id="bob")


@pytest.fixture
async def source(path, clock):
    async with SqliteClaimStore(path, clock=clock) as claims:
        await claims.claim_or_renew("t1", ALICE, claim_id="b", lease=HOUR, idempotency_key="k1")
        await claims.heartbeat("b", lease=2 * HOUR)
        await claims.claim_or_renew("t2", ALICE, claim_id="c", lease=HOUR, context={"n": 1})
        await claims.release("c")
        await claims.claim_or_renew("t2", BOB, claim_id="d", lease=HOUR)
        await claims.complete("d", idempotency_key="k2")
        yield claims


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def target(request, tmp_path, clock):
    made: Any = MemoryClaimStore(clock=clock)
    if request.param == "sqlite":
        made = SqliteClaimStore(tmp_path / "copy.db", clock=clock)
    if request.param == "postgres":
        made = PostgresClaimStore(request.getfixturevalue("postgres_url"), clock=clock)
    async with made as claims:
        yield claims


async def _all(claims: Any) -> tuple[Any, ...]:
    found = [each async for page in claims.claim_pages() for each in page]
    return found, [each async for page in claims.key_use_pages() for each in page]


async def test_a_copy_has_every_claim_and_key_as_it_stands(source, target):
    """Revisions and contexts included; who holds a target holds it there."""
    copied = await copy_claims(source, target)
    assert (copied.claims, copied.copied, copied.keys, copied.problems) == (3, 3, 2, [])
    assert await _all(target) == await _all(source)
    with pytest.raises(ClaimConflictError) as held:
        await target.claim_or_renew("t1", BOB, claim_id="x", lease=HOUR)
    assert held.value.holder == "alice"
    with pytest.raises(IdempotencyMismatchError):
        await target.claim_or_renew("t9", BOB, claim_id="y", lease=HOUR, idempotency_key="k1")


async def test_a_copy_can_be_repeated_and_carried_on(source, target):
    """A target that went from one agent to another does so there, whatever the claims' names."""
    await copy_claims(source, target)
    again = await copy_claims(source, target)
    assert (again.copied, again.keys, again.problems) == (0, 0, [])
    await source.release("b")
    await source.claim_or_renew("t1", BOB, claim_id="a", lease=HOUR, idempotency_key="k3")
    rest = await copy_claims(source, target)
    assert (rest.copied, rest.keys, rest.problems) == (2, 1, [])
    assert await _all(target) == await _all(source)


async def test_a_lease_that_was_renewed_in_the_copy_is_left_as_it_is_and_told(source, target):
    """Both places were worked on."""
    await copy_claims(source, target)
    renewed = await target.heartbeat("b", lease=3 * HOUR)
    copied = await copy_claims(source, target)
    assert await target.get("b") == renewed
    assert copied.problems == ["claim b differs", "claim b is active in the target"]


AHEAD = {
    "renewed": lambda claims: claims.heartbeat("b", lease=5 * HOUR),
    "released": lambda claims: claims.release("b"),
    "completed": lambda claims: claims.complete("b"),
}


@pytest.mark.parametrize("then", ["nothing", "released", "completed"])
@pytest.mark.parametrize("act", AHEAD)
async def test_what_became_of_a_claim_in_the_copy_stays_whatever_the_source_did(
    source, target, clock, act, then
):
    """The old place has more revisions, but what they count was done before."""
    await copy_claims(source, target)
    for _ in range(3):
        await source.heartbeat("b", lease=HOUR)
    clock.advance(timedelta(minutes=1))
    ahead = await AHEAD[act](target)
    if then in ("released", "completed"):
        await AHEAD[then](source)
    copied = await copy_claims(source, target)
    assert await target.get("b") == ahead
    assert "claim b differs" in copied.problems


async def test_a_lease_in_the_copy_never_gets_shorter(source, target, clock):
    """Its agent counts on what it was told last, there."""
    await copy_claims(source, target)
    renewed = await target.heartbeat("b", lease=5 * HOUR)
    clock.advance(timedelta(minutes=1))
    for _ in range(3):
        await source.heartbeat("b", lease=HOUR)
    assert "claim b differs" in (await copy_claims(source, target)).problems
    assert await target.get("b") == renewed


async def test_a_target_that_another_holds_in_the_copy_is_not_given_to_two(source, target):
    """Whoever claimed it there keeps it, and the copy is not called the same."""
    await target.claim_or_renew("t1", BOB, claim_id="z", lease=HOUR)
    copied = await copy_claims(source, target)
    assert copied.problems == ["claim b differs", "claim z is active in the target"]
    assert [each.claim_id for each in await target.active_claims("t1")] == ["z"]


async def test_a_key_that_was_used_for_something_else_in_the_copy_is_told(source, target):
    """Neither place can know what the other did."""
    await target.claim_or_renew("t9", BOB, claim_id="z", lease=HOUR, idempotency_key="k1")
    copied = await copy_claims(source, target)
    assert "key k1 was used for something else" in copied.problems


async def test_keys_that_nobody_remembers_any_more_are_not_copied(source, target, clock):
    """They are as old as those that each place forgets by itself."""
    clock.advance(timedelta(days=365))
    copied = await copy_claims(source, target)
    assert (copied.keys, copied.problems) == (0, [])


async def test_a_copy_that_is_cut_short_is_carried_on(source, target, monkeypatch):
    """The ended claims are there, then the answer fails; the next copy adds the rest."""
    take_over = target.take_over_claims
    pages = []

    async def cut(page: Any) -> int:
        pages.append(page)
        if len(pages) == 2:
            raise CommitUnknownError("no answer")
        return int(await take_over(page))

    monkeypatch.setattr(target, "take_over_claims", cut)
    with pytest.raises(CommitUnknownError):
        await copy_claims(source, target)
    monkeypatch.undo()
    copied = await copy_claims(source, target)
    assert (copied.copied, copied.problems) == (1, [])
