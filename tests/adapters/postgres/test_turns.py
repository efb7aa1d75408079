"""Calls of several machines at the same moment: who comes second waits, and sees what was first."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, cast

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from nexus_bounty.ledger import Book, LedgerScope, rules
from nexus_bounty.models import AgentIdentity, utc_now
from nexus_bounty.outcomes import (
    ClaimConflictError,
    IdempotencyMismatchError,
    InsufficientCreditsError,
    PaymentError,
)
from nexus_bounty.ports import Assignment, JournaledOperation, Transfer
from nexus_bounty.transactions import Announced
from nexus_bounty_postgres import PostgresClaimStore, PostgresCredits
from nexus_bounty_postgres.connections import Connections
from nexus_bounty_postgres.resolution import is_committed
from nexus_bounty_postgres.schema import _LOCK, VERSION, prepare, version_of
from tests.support.postgres_proxy import COMMITTING, Loss, PostgresProxy

HOUR = timedelta(hours=1)
A_MOMENT = 0.2
_SPEND = """
    INSERT INTO nexus_bounty.entries (kind, source_id, debit, credit, amount, at, memo)
    VALUES ('transfer', 'other', 'alice', 'dave', 60, now(), '')
"""

_WAITS_FOR_A_LOCK = """
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
def proxy(postgres_url):
    with PostgresProxy(postgres_url) as proxy:
        yield proxy


@pytest.fixture
async def first(proxy):
    async with PostgresCredits(proxy.url) as service:
        for name in ("alice", "bob"):
            await service.top_up(f"fund-{name}", account=name, amount=100)
            await service.reserve(f"r-{name}", account=name, amount=10)
        yield service


@pytest.fixture
async def second(postgres_url):
    async with PostgresCredits(postgres_url) as service:
        yield service


async def both(
    proxy: PostgresProxy, slow: Coroutine[Any, Any, Any], quick: Coroutine[Any, Any, Any]
) -> BaseException:
    """Call `quick` while `slow` is about to commit; what the one that fails is told."""
    proxy.arm(COMMITTING, Loss.SLOW)
    first = asyncio.create_task(slow)
    await asyncio.to_thread(proxy.happened.wait, 10)
    second = asyncio.create_task(quick)
    await asyncio.sleep(A_MOMENT)
    proxy.released.set()
    ended = await asyncio.gather(first, second, return_exceptions=True)
    (error,) = (each for each in ended if isinstance(each, BaseException))
    return error


async def test_one_work_is_assigned_once_though_the_reservations_are_of_two_accounts(
    proxy, first, second
):
    """They share no account, and yet one is told of the other."""
    assignment = Assignment(payee="carol", work="cid", key="s")
    calls = first.assign("r-alice", assignment), second.assign("r-bob", assignment)
    error = await both(proxy, *calls)
    assert isinstance(error, PaymentError)
    assert "one contribution pays one bounty" in str(error)


async def test_the_same_credits_are_not_spent_twice(proxy, first, second):
    """Who commits last finds what the other left."""
    calls = (
        each.reserve(n, account="alice", amount=60) for each, n in ((first, "x"), (second, "y"))
    )
    assert isinstance(await both(proxy, *calls), InsufficientCreditsError)


async def test_an_id_that_two_use_at_once_stands_for_one_of_them(proxy, first, second):
    """For other accounts, so that nothing but the id is common to them."""
    calls = (
        first.reserve("x", account="alice", amount=1),
        second.reserve("x", account="bob", amount=1),
    )
    assert isinstance(await both(proxy, *calls), IdempotencyMismatchError)


async def test_a_key_that_two_begin_at_once_stands_for_one_of_them(proxy, first, second):
    """The other is told what it stands for."""
    claim, settle = (
        JournaledOperation(
            key="k", zone_id="z", kind=kind, bounty_id="b", fingerprint=kind, decided_by="k"
        )
        for kind in ("claim", "settle")
    )
    error = await both(proxy, first.begin_operation(claim), second.begin_operation(settle))
    assert isinstance(error, IdempotencyMismatchError)
    assert "the key stands for settle" in str(error)


async def test_of_two_who_claim_at_once_one_hears_of_the_other(proxy, postgres_url):
    """Not that the database refused something."""
    alice, bob = (AgentIdentity(agent_id=name) for name in ("alice", "bob"))
    async with PostgresClaimStore(proxy.url) as one, PostgresClaimStore(postgres_url) as other:
        await one.get("a")
        error = await both(
            proxy,
            one.claim_or_renew("t", alice, claim_id="a", lease=HOUR),
            other.claim_or_renew("t", bob, claim_id="b", lease=HOUR),
        )
    assert isinstance(error, ClaimConflictError)
    assert error.holder == "bob"


async def test_an_account_that_somebody_holds_is_waited_for_so_long(first, postgres_url):
    """Then nothing has moved, and nothing will; others are not held up."""
    wait = timedelta(seconds=A_MOMENT / 2)
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT FROM nexus_bounty.accounts WHERE name = 'alice' FOR UPDATE")
        async with PostgresCredits(postgres_url, wait=wait) as hasty:
            with pytest.raises(PaymentError, match="did not commit"):
                await hasty.reserve("y", account="alice", amount=1)
            assert (await hasty.reserve("z", account="bob", amount=1)).status == "held"
            assert await hasty.get_reservation("y") is None


async def test_credits_that_were_spent_after_the_look_are_not_spent_again(second, postgres_url):
    """Not for a moment either, although other credits come in by the same transaction."""
    for name in ("alice", "bob"):
        await second.top_up(f"fund-{name}", account=name, amount=90)
    spent: list[int] = []

    def move(book: Book) -> None:
        spent.append(book.balance("alice"))
        for number, (source, target) in enumerate([("alice", "carol"), ("bob", "alice")]):
            wanted = Transfer(
                transfer_id=f"t{number}", from_account=source, to_account=target, amount=60
            )
            rules.transfer(book, utc_now(), wanted)
        if len(spent) == 1:
            with psycopg.connect(postgres_url) as other:
                other.execute(_SPEND)

    scope = LedgerScope(accounts=("alice", "bob", "carol"), transfers=("t0", "t1"))
    with pytest.raises(InsufficientCreditsError):
        await second._write("move", None, Announced(scope, move))
    assert spent == [90, 30]
    assert (await second.balance("alice")).available == 30
    assert list((await second.verify()).problems) == []


async def test_entries_of_one_account_are_numbered_in_the_order_in_which_they_count(
    second, postgres_url
):
    """Who waits for the account has no number yet: its history would show what never was."""
    await second.top_up("fund", account="alice", amount=90)
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT FROM nexus_bounty.accounts WHERE name = 'alice' FOR UPDATE")
        waiting = asyncio.create_task(
            second.transfer("t", from_account="alice", to_account="bob", amount=1)
        )
        with psycopg.connect(postgres_url, autocommit=True) as looker:
            while not looker.execute(_WAITS_FOR_A_LOCK).fetchall():  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.01)
        holder.execute(_SPEND)
    await waiting
    assert [each.source_id async for each in second.history()] == ["fund", "other", "t"]


async def test_who_was_overtaken_once_is_not_overtaken_again(second, postgres_url):
    """The second time everything is locked from the first look on."""
    await second.top_up("fund", account="alice", amount=90)
    locked = []

    def look(_: Book) -> None:
        with psycopg.connect(postgres_url) as other:
            rows = other.execute(
                "SELECT name FROM nexus_bounty.accounts WHERE name = 'alice' FOR UPDATE SKIP LOCKED"
            ).fetchall()
        locked.append(not rows)
        if len(locked) == 1:
            raise psycopg.errors.SerializationFailure

    await second._write("look", None, Announced(LedgerScope(accounts=("alice",)), look))
    assert locked == [False, True]


@pytest.mark.parametrize("kind", ["reservation", "operation"])
async def test_a_record_is_locked_from_the_first_look_on(kind, second, postgres_url):
    """What the rules decide about it is decided of what stands when it is written."""
    await second.top_up("fund", account="alice", amount=90)
    await second.reserve("r", account="alice", amount=10)
    await second.begin_operation(
        JournaledOperation(
            key="k", zone_id="z", kind="claim", bounty_id="b", fingerprint="f", decided_by="k"
        )
    )
    scope, query = {
        "reservation": (
            LedgerScope(reservations=("r",)),
            "SELECT 1 FROM nexus_bounty.reservations",
        ),
        "operation": (
            LedgerScope(operations=(("z", "k"),)),
            "SELECT 1 FROM nexus_bounty.operations",
        ),
    }[kind]

    def look(_: Book) -> list[Any]:
        with psycopg.connect(postgres_url) as other:
            return other.execute(f"{query} FOR UPDATE SKIP LOCKED".encode()).fetchall()

    assert await second._write("look", None, Announced(scope, look)) == []


def test_nothing_is_concluded_before_the_backend_has_ended(postgres_url):
    """Its transaction is open, and could still be committed: after the verdict it cannot."""
    connections = Connections(postgres_url, most=2)
    with psycopg.connect(postgres_url) as slow:
        (xid,) = slow.execute("SELECT pg_current_xact_id()::text").fetchall()[0]
        slow.execute("INSERT INTO nexus_bounty.commits (marker) VALUES ('m')")
        assert is_committed(connections, xid, "m") is False
        with pytest.raises(psycopg.OperationalError):
            slow.commit()
    connections.close()


def test_a_server_that_does_not_answer_is_asked_ever_more_rarely_and_not_for_ever():
    """Nobody says what became of it then."""
    looks, within = [], timedelta(seconds=1.5)

    class Gone:
        def use(self) -> Any:
            looks.append(time.monotonic())
            raise psycopg.OperationalError

    begun = time.monotonic()
    assert is_committed(cast("Connections", Gone()), "1", "m", within) is None
    assert time.monotonic() - begun < within.total_seconds() + 0.5
    assert 3 <= len(looks) <= 20


@pytest.mark.thorough
def test_the_tables_are_made_by_one_at_a_time(empty_postgres_url):
    """Whoever is second waits for the first, and finds them made."""
    import alembic.command  # noqa: F401 - the time to import it is not waited for

    with psycopg.connect(empty_postgres_url) as first:
        first.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
            conninfo = make_conninfo(empty_postgres_url)
            making = threading.Thread(target=prepare, args=(connection, conninfo))
            making.start()
            making.join(10 * A_MOMENT)
            assert making.is_alive()
            first.commit()
            making.join(20)
            assert version_of(connection) == VERSION
