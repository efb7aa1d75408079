"""A COMMIT that is lost, late or cut off: what is said of it is what became of it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import psycopg
import pytest

from nexus_bounty.models import AgentIdentity
from nexus_bounty.outcomes import CommitUnknownError, OutcomeError, PaymentError, PreCommitError
from nexus_bounty.ports import Assignment, JournaledOperation
from nexus_bounty_postgres import PostgresClaimStore, PostgresCredits
from tests.support.postgres_proxy import BEGINNING, COMMITTING, Loss, PostgresProxy
from tests.support.sampling import thorough_unless

SOON = timedelta(seconds=0.3)
HOUR = timedelta(hours=1)
ALICE = AgentIdentity(agent_id="alice")

Call = Callable[[PostgresCredits], Awaitable[Any]]
MOVEMENTS: dict[str, tuple[str, Call]] = {
    "top_up": ("entries", lambda c: c.top_up("x", account="alice", amount=5)),
    "transfer": (
        "entries",
        lambda c: c.transfer("x", from_account="alice", to_account="bob", amount=5),
    ),
    "reserve": ("entries", lambda c: c.reserve("x", account="alice", amount=5)),
    "assign": (
        "assigned",
        lambda c: c.assign("r", Assignment(payee="bob", work="cid", key="s"), shared_work=False),
    ),
    "capture": ("entries", lambda c: c.capture("r", to_account="bob")),
    "void": ("entries", lambda c: c.void("r")),
    "rescue": ("entries", lambda c: c.rescue("r", to_account="bob", because="lost")),
}
COUNTS = {
    "entries": "SELECT count(*) FROM nexus_bounty.entries",
    "assigned": "SELECT count(*) FROM nexus_bounty.reservations WHERE work = 'cid'",
    "operations": "SELECT count(*) FROM nexus_bounty.operations",
    "claims": "SELECT count(*) FROM nexus_bounty.claims",
}
RESOLVED = [Loss.QUERY, Loss.ANSWER, Loss.SILENCE]


def _thorough(names: Any, quick: set[str]) -> list[Any]:
    return [thorough_unless(name in quick, name) for name in names]


@pytest.fixture
def proxy(postgres_url):
    with PostgresProxy(postgres_url) as proxy:
        yield proxy


@pytest.fixture
def count(postgres_url):
    def counted(what: str) -> int:
        with psycopg.connect(postgres_url) as connection:
            return int(connection.execute(COUNTS[what].encode()).fetchall()[0][0])

    return counted


@pytest.fixture
async def ledger(proxy, postgres_url):
    async with PostgresCredits(
        proxy.url, answer_within=SOON, resolve_within=2 * SOON, wait=4 * SOON
    ) as service:
        await service.top_up("t", account="alice", amount=100)
        await service.reserve("r", account="alice", amount=10)
        yield service
        proxy.released.set()
        async with PostgresCredits(postgres_url) as direct:
            assert (await direct.verify()).ok


@pytest.mark.parametrize("loss", RESOLVED)
@pytest.mark.parametrize("name", _thorough(MOVEMENTS, {"assign"}))
async def test_a_commit_without_an_answer_is_found_out_and_made_once(
    name, loss, proxy, ledger, count
):
    """Whether it arrived or not, the call returns, and the movement is there once."""
    table, call = MOVEMENTS[name]
    before = count(table)
    proxy.arm(COMMITTING, loss)
    await call(ledger)
    assert proxy.happened.is_set()
    assert count(table) == before + 1


@pytest.mark.parametrize("loss", RESOLVED)
async def test_a_beginning_that_is_lost_is_made_again(loss, proxy, ledger, count):
    """Nothing can have been committed, so that nothing has to be found out."""
    before = count("entries")
    proxy.arm(BEGINNING, loss)
    await ledger.reserve("x", account="alice", amount=5)
    assert proxy.happened.is_set()
    assert count("entries") == before + 1


@pytest.mark.parametrize("first", [Loss.QUERY, Loss.ANSWER])
@pytest.mark.parametrize("loss", [Loss.QUERY, Loss.ANSWER])
async def test_a_look_at_what_became_of_it_may_be_lost_too(first, loss, proxy, ledger, count):
    """It is made again, and what the first has left behind is not taken for the commit."""
    before = count("entries")
    proxy.arm(COMMITTING, first)
    task = asyncio.create_task(ledger.reserve("x", account="alice", amount=5))
    await asyncio.to_thread(proxy.happened.wait, 10)
    proxy.arm("SELECT FROM nexus_bounty.commits", loss)
    await task
    assert proxy.happened.is_set()
    assert count("entries") == before + 1


@pytest.mark.parametrize("name", _thorough(MOVEMENTS, {"reserve"}))
async def test_a_commit_that_arrives_late_finds_nobody(name, proxy, ledger, count):
    """Its backend was made to end before the call was made again, or its marker was taken."""
    table, call = MOVEMENTS[name]
    before = count(table)
    proxy.arm(COMMITTING, Loss.LATE)
    await call(ledger)
    assert count(table) == before + 1
    proxy.released.set()
    await asyncio.to_thread(proxy.arrived.wait, 10)
    assert count(table) == before + 1


@pytest.mark.parametrize("loss", [Loss.CUT, Loss.CUT_BEFORE])
@pytest.mark.parametrize("name", _thorough(MOVEMENTS, {"reserve"}))
async def test_what_nobody_can_find_out_is_unknown_and_the_same_id_tells_later(
    name, loss, proxy, ledger, count
):
    """The server cannot be reached any more; once it can be, asking again settles it."""
    table, call = MOVEMENTS[name]
    before = count(table)
    proxy.arm(COMMITTING, loss)
    with pytest.raises(CommitUnknownError, match="ask again with the same id"):
        await call(ledger)
    assert count(table) == before + (loss is Loss.CUT)
    proxy.heal()
    await call(ledger)
    assert count(table) == before + 1


@pytest.mark.parametrize("loss", [Loss.CUT, Loss.CUT_BEFORE])
@pytest.mark.parametrize("name", _thorough(MOVEMENTS, {"transfer"}))
async def test_what_is_unknown_stays_so_while_the_same_id_cannot_be_asked_for(
    name, loss, proxy, ledger, count
):
    """A second try that finds no server proves nothing of the first, and does not say it does."""
    table, call = MOVEMENTS[name]
    before = count(table)
    proxy.arm(COMMITTING, loss)
    for _ in range(2):
        with pytest.raises(CommitUnknownError, match="ask again with the same id") as unknown:
            await call(ledger)
        assert "nothing has changed" not in str(unknown.value)
    with pytest.raises(PaymentError):
        await ledger.top_up("another", account="alice", amount=1)
    proxy.heal()
    await call(ledger)
    assert count(table) == before + 1
    proxy.cut()
    with suppress(OutcomeError):
        await ledger.top_up("yet another", account="alice", amount=1)  # over what was connected
    with pytest.raises(PaymentError):
        await call(ledger)


async def test_a_cancelled_call_is_in_doubt_while_the_same_id_cannot_be_asked_for(
    proxy, ledger, count
):
    """It runs to its end although nobody waits for it."""
    before = count("entries")
    proxy.arm(COMMITTING, Loss.CUT)
    task = asyncio.create_task(ledger.reserve("x", account="alice", amount=5))
    await asyncio.to_thread(proxy.happened.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(CommitUnknownError, match="ask again with the same id"):
        await ledger.reserve("x", account="alice", amount=5)
    assert count("entries") == before + 1


async def test_an_operation_that_may_be_written_down_stays_in_doubt(proxy, ledger, count):
    """The journal is kept as the ledger is; the same key of another zone is another operation."""
    wanted = JournaledOperation(
        key="k", zone_id="z", kind="claim", bounty_id="b", fingerprint="f", decided_by="k"
    )
    proxy.arm(COMMITTING, Loss.CUT)
    for _ in range(2):
        with pytest.raises(CommitUnknownError):
            await ledger.begin_operation(wanted)
    assert count("operations") == 1
    with pytest.raises(PreCommitError):
        await ledger.begin_operation(msgspec.structs.replace(wanted, zone_id="y"))


CLAIMS: dict[str, Callable[[PostgresClaimStore], Awaitable[Any]]] = {
    "claim": lambda c: c.claim_or_renew("t", ALICE, claim_id="c", lease=HOUR),
    "claim with a key": lambda c: c.create_claim(
        "t", ALICE, claim_id="c", lease=HOUR, idempotency_key="k"
    ),
    "heartbeat": lambda c: c.heartbeat("held", lease=2 * HOUR),
    "release": lambda c: c.release("held", idempotency_key="k"),
    "complete": lambda c: c.complete("held"),
}


@pytest.mark.parametrize("name", _thorough(CLAIMS, {"claim", "release"}))
async def test_a_lease_that_is_unknown_stays_so_while_it_cannot_be_asked_for(name, proxy):
    """With a key and without: the claim's own id is what a repeat has in common."""
    async with PostgresClaimStore(
        proxy.url, answer_within=SOON, resolve_within=2 * SOON, wait=2 * SOON
    ) as claims:
        await claims.claim_or_renew("other", ALICE, claim_id="held", lease=HOUR)
        proxy.arm(COMMITTING, Loss.CUT)
        for _ in range(2):
            with pytest.raises(CommitUnknownError, match="ask again with the same id"):
                await CLAIMS[name](claims)
        with pytest.raises(PreCommitError):
            await claims.claim_or_renew("t-2", ALICE, claim_id="c-2", lease=HOUR)
        proxy.heal()
        await CLAIMS[name](claims)


async def test_calls_that_share_a_lost_commit_are_all_told_the_truth(proxy, ledger, count):
    """Each of them, the refused ones as well."""
    before = count("entries")
    proxy.arm(COMMITTING, Loss.ANSWER)
    calls = [ledger.reserve(f"x{n}", account="alice", amount=20) for n in range(8)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    made = [result for result in results if not isinstance(result, BaseException)]
    assert proxy.happened.is_set()
    assert len(made) == 4
    assert count("entries") == before + 4


@pytest.mark.parametrize("loss", [Loss.ANSWER, Loss.LATE])
async def test_a_call_that_is_cancelled_in_the_middle_of_its_commit_loses_nothing(
    loss, proxy, ledger, count
):
    """It runs to its end although nobody waits, and the same id tells what became of it."""
    before = count("entries")
    proxy.arm(COMMITTING, loss)
    task = asyncio.create_task(ledger.reserve("x", account="alice", amount=5))
    await asyncio.to_thread(proxy.happened.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await ledger.reserve("x", account="alice", amount=5)).status == "held"
    assert count("entries") == before + 1


@pytest.mark.parametrize("loss", [Loss.QUERY, Loss.ANSWER])
async def test_an_operation_is_written_down_once(loss, proxy, ledger, count):
    """And its writer is told that the key was free."""
    wanted = JournaledOperation(
        key="k", zone_id="z", kind="claim", bounty_id="b", fingerprint="f", decided_by="k"
    )
    proxy.arm(COMMITTING, loss)
    assert await ledger.begin_operation(wanted) is None
    assert proxy.happened.is_set()
    assert count("operations") == 1
    found = await ledger.find_operation("z", "k")
    assert found is not None
    assert found.calls == 1


@pytest.mark.parametrize("loss", [Loss.QUERY, Loss.ANSWER, Loss.LATE])
async def test_a_claim_is_made_once(loss, proxy, count):
    """The lease is the agent's own, and no other stands beside it."""
    async with PostgresClaimStore(proxy.url, answer_within=SOON) as claims:
        await claims.get("c")
        proxy.arm(COMMITTING, loss)
        claim = await claims.claim_or_renew("t", ALICE, claim_id="c", lease=HOUR)
        proxy.released.set()
        assert proxy.happened.is_set()
        assert claim.revision == 1
        assert await claims.active_claims("t") == [claim]
        assert count("claims") == 1
