"""Steps that read nothing first: what they believed to be there is compared before they write."""

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from nexus_bounty.ledger import MINT, LedgerScope, rules
from nexus_bounty.models import utc_now
from nexus_bounty.outcomes import (
    AssignedError,
    IdempotencyMismatchError,
    InsufficientCreditsError,
    PaymentError,
)
from nexus_bounty.ports import Assignment, JournaledOperation, ReservationStatus, Transfer
from nexus_bounty.transactions import Announced
from nexus_bounty.validation import MOST_AMOUNT
from nexus_bounty_postgres import PostgresCredits
from nexus_bounty_postgres.connections import Connections
from nexus_bounty_postgres.ledger_batch import LedgerBatch
from nexus_bounty_postgres.resolution import is_committed
from nexus_bounty_postgres.script import Script

MINUTE = timedelta(minutes=1)
TO_CAROL = Assignment(payee="carol", work="cid", key="s")


def _operation(key: str) -> JournaledOperation:
    return JournaledOperation(
        key=key, zone_id="z", kind="claim", bounty_id="b", fingerprint="f", decided_by=key
    )


def _transfer(name: str, source: str, target: str, amount: int) -> Transfer:
    return Transfer(
        transfer_id=name,
        from_account=source,
        to_account=target,
        amount=amount,
        memo="",
        created_at=utc_now(),
    )


@pytest.fixture
async def one(postgres_url, clock):
    async with PostgresCredits(postgres_url, clock=clock) as service:
        await service.top_up("fund", account="alice", amount=100)
        await service.reserve("r", account="alice", amount=10)
        yield service
        assert (await service.verify()).ok


@pytest.fixture
async def other(postgres_url, clock):
    async with PostgresCredits(postgres_url, clock=clock) as service:
        yield service


@pytest.fixture
def round_trips(monkeypatch):
    sent: list[Script] = []
    execute = Script.execute

    def counted(self: Script, connection: psycopg.Connection[Any]) -> Any:
        sent.append(self)
        return execute(self, connection)

    monkeypatch.setattr(Script, "execute", counted)
    return sent


async def test_what_can_be_foreseen_takes_one_round_trip(one, round_trips):
    """A new record, or a reservation that this process has seen, whoever is paid from it."""
    await one.reserve("x", account="alice", amount=5)
    await one.assign("x", TO_CAROL)
    await one.capture("x", to_account="carol", work="cid")
    await one.void("r")
    await one.transfer("t", from_account="alice", to_account="bob", amount=1)
    await one.top_up("u", account="bob", amount=1)
    await one.begin_operation(_operation("k"))
    assert len(round_trips) == 7


@pytest.mark.parametrize("name", ["assigned", "captured", "voided"])
async def test_what_others_have_done_to_a_reservation_is_seen(name, one, other):
    """The one who remembers it as it was is told what it is now, and nobody is paid twice."""
    if name == "assigned":
        await other.assign("r", TO_CAROL)
    elif name == "captured":
        await other.capture("r", to_account="carol")
    else:
        await other.void("r")
    with pytest.raises(PaymentError, match="reservation r is") as told:
        await one.capture("r", to_account="bob")
    assert isinstance(told.value, AssignedError) is (name == "assigned")
    assert (await one.balance("bob")).available == 0


async def test_what_is_only_told_is_compared_too(one, other):
    """Where another call of the same transaction writes something."""
    await other.void("r")
    told = LedgerScope(reservations=("r",))
    paid = LedgerScope(transfers=("u",), accounts=("alice", "bob"))

    def pay(book: Any) -> Any:
        return rules.transfer(book, utc_now(), _transfer("u", "alice", "bob", 5))

    works: list[Any] = [
        Announced(told, lambda book: book.reservation("r"), foreseeable=True),
        Announced(paid, pay, foreseeable=True),
    ]
    seen, _ = one._database._transactions.commit(works)
    assert seen.status == ReservationStatus.VOIDED
    assert (await one.balance("bob")).available == 5


async def test_one_work_is_paid_once_though_another_process_knows_of_it(one, other):
    """The one who assigns has never seen the other's reservation."""
    await other.reserve("x", account="alice", amount=5)
    await other.assign("x", TO_CAROL)
    with pytest.raises(PaymentError, match="one contribution pays one bounty"):
        await one.assign("r", TO_CAROL)


async def test_an_id_of_another_process_is_not_used_again(one, other):
    """For a reservation, and for a transfer."""
    await other.reserve("x", account="alice", amount=5)
    await other.transfer("t", from_account="alice", to_account="bob", amount=1)
    with pytest.raises(IdempotencyMismatchError):
        await one.reserve("x", account="alice", amount=6)
    with pytest.raises(IdempotencyMismatchError):
        await one.transfer("t", from_account="alice", to_account="bob", amount=2)
    assert (await one.reserve("x", account="alice", amount=5)).amount == 5


async def test_what_another_process_reserved_and_is_overdue_comes_back_first(
    one, other, clock, postgres_url
):
    """Though the credits would do without it: no later clock may capture it."""
    await other.reserve("x", account="alice", amount=5, expires_at=clock() + MINUTE)
    clock.advance(2 * MINUTE)
    await one.reserve("y", account="alice", amount=1)
    with psycopg.connect(postgres_url) as connection:  # a look by the ledger would expire it, too
        (status,) = connection.execute(
            "SELECT status FROM nexus_bounty.reservations WHERE reservation_id = 'x'"
        ).fetchall()[0]
    assert status == ReservationStatus.EXPIRED


@pytest.mark.parametrize("kind", ["operation", "transfer", "reservation"])
async def test_a_record_that_is_only_looked_at_is_read(kind, one, other):
    """Also where another call of the same transaction could have been foreseen."""
    await other.transfer("t", from_account="alice", to_account="bob", amount=1)
    await other.begin_operation(_operation("t"))
    await other.reserve("t", account="alice", amount=5)
    scope, look = {
        "operation": (LedgerScope(operations=(("z", "t"),)), lambda b: b.operation("z", "t")),
        "transfer": (LedgerScope(transfers=("t",)), lambda b: b.transfer("t")),
        "reservation": (LedgerScope(reservations=("t",)), lambda b: b.reservation("t")),
    }[kind]
    new = _operation("new")
    write: Announced[LedgerScope, Any, None] = Announced(
        LedgerScope(operations=(("z", "new"),)),
        lambda book: book.save_operation(new),
        foreseeable=True,
    )
    works = [write, Announced(scope, look, foreseeable=True)]
    assert one._database._transactions.commit(works)[1] is not None
    assert await one.find_operation("z", "new") == new


@pytest.mark.parametrize(("account", "has"), [("alice", 90), ("nobody-yet", 0)])
async def test_credits_that_are_not_there_are_not_foreseen(account, has, one):
    """The refusal says how many there are; calls that come with it are none the worse."""
    with pytest.raises(InsufficientCreditsError, match=f"has {has} available, 91 required"):
        await one.reserve("x", account=account, amount=91)
    assert (await one.reserve("y", account="alice", amount=90)).status == "held"


@pytest.mark.parametrize("further", [(), ("top_up",)])
async def test_credits_that_others_have_spent_are_not_spent_again(further, one, other):
    """Though more come in the same transaction: at no entry is there less than nothing."""
    await other.transfer("t", from_account="alice", to_account="bob", amount=90)

    def pay(book: Any) -> Any:
        return rules.transfer(book, utc_now(), _transfer("u", "alice", "bob", 5))

    def earn(book: Any) -> Any:
        return rules.transfer(book, utc_now(), _transfer("v", MINT, "alice", 9))

    scope = LedgerScope(transfers=("u", "v"), accounts=("alice", "bob", MINT))
    works = [Announced(scope, each, foreseeable=True) for each in (pay, *[earn for _ in further])]
    told = one._database._transactions.commit(works)
    assert isinstance(told[0].error, InsufficientCreditsError)
    assert (await one.balance("alice")).available == 9 * len(further)


async def test_no_more_credits_are_issued_than_can_be_counted(one):
    """Nothing but a top-up takes the mint below zero, and it is asked how far."""
    with pytest.raises(PaymentError, match="would exceed"):
        await one.top_up("u", account="alice", amount=MOST_AMOUNT)
    await one.top_up("u", account="alice", amount=MOST_AMOUNT - 100)


@pytest.mark.parametrize("waits_for", ["alice", "new"])
async def test_two_who_are_the_first_to_pay_somebody_are_one_after_the_other(
    waits_for, one, postgres_url
):
    """The account is made once, and has what both have paid, whichever row the second waits for."""
    payer = "alice" if waits_for == "alice" else "bob"
    await one.top_up("u", account="bob", amount=1)
    with psycopg.connect(postgres_url) as first:
        first.execute(
            "INSERT INTO nexus_bounty.entries (kind, source_id, debit, credit, amount, at, memo)"
            " VALUES ('transfer', 'first', %s, 'new', 1, now(), '')",
            [payer],
        )
        paying = asyncio.create_task(
            one.transfer("second", from_account="alice", to_account="new", amount=1)
        )
        await asyncio.sleep(0.3)
        assert not paying.done()
        first.commit()
    await paying
    assert (await one.balance("new")).available == 2


async def test_an_entry_of_another_program_moves_credits_in_the_transaction_of_a_step_too(
    one, postgres_url, monkeypatch
):
    """A step has moved its own; that is said for no more than its own."""
    closing = LedgerBatch.closing_as_foreseen

    def and_another(self: LedgerBatch, script: Script, *words: str) -> bool:
        is_proven = closing(self, script, *words)
        script.add(
            "INSERT INTO nexus_bounty.entries (kind, source_id, debit, credit, amount, at, memo)"
            " VALUES ('transfer', 'another', 'alice', 'dave', 2, now(), '')"
        )
        return is_proven

    monkeypatch.setattr(LedgerBatch, "closing_as_foreseen", and_another)
    await one.transfer("u", from_account="alice", to_account="bob", amount=1)
    assert [(await one.balance(name)).available for name in ("alice", "bob", "dave")] == [87, 1, 2]


def test_who_comes_with_a_marker_that_was_asked_for_is_refused(postgres_url):
    """It may be on its way still: after the verdict it cannot be committed, however often asked."""
    connections = Connections(postgres_url, most=2)
    assert is_committed(connections, None, "not-yet-there") is False
    assert is_committed(connections, None, "not-yet-there") is False
    mark = "INSERT INTO nexus_bounty.commits (marker) VALUES (%s)"
    with psycopg.connect(postgres_url) as late:
        with pytest.raises(psycopg.errors.UniqueViolation):
            late.execute(mark, ["not-yet-there"])
        late.rollback()
        late.execute(mark, ["there"])
        late.commit()
    assert is_committed(connections, None, "there") is True
    connections.close()


def test_whoever_holds_a_marker_in_an_open_transaction_is_ended(postgres_url):
    """Its locks are gone before the step is made again."""
    connections = Connections(postgres_url, most=2)
    with psycopg.connect(postgres_url) as slow:
        slow.pgconn.exec_(b"BEGIN; INSERT INTO nexus_bounty.commits (marker) VALUES ('held-open')")
        assert is_committed(connections, None, "held-open") is False
        with pytest.raises(psycopg.OperationalError):
            slow.commit()
    connections.close()


@pytest.mark.parametrize("text", ["", "it's", 'a "b"', "c:\\d", "50 %s %", "{a,b}", "NULL", "ž 漢"])
def test_values_arrive_as_they_are(text, postgres_url):
    """Alone, and in a list."""
    script = Script()
    script.add("SELECT %s::text, %s::text[], %s::bigint, %s::text", text, [text, None], 7, None)
    with psycopg.connect(postgres_url) as connection:
        assert script.run(connection) == [[(text, [text, None], 7, None)]]


@pytest.mark.parametrize("value", ["a\0b", ["a\0b"]])
def test_what_no_text_can_hold_is_refused(value, postgres_url):
    """And is not cut short."""
    script = Script()
    script.add("SELECT %s", value)
    with psycopg.connect(postgres_url) as connection, pytest.raises(psycopg.DataError):
        script.run(connection)


def test_text_is_sent_as_the_connection_reads_it(postgres_url):
    """Whatever the encoding of the client is."""
    script = Script()
    script.add("SELECT length(%s)", "žé")
    with psycopg.connect(postgres_url, client_encoding="latin2") as connection:
        assert script.run(connection) == [[(2,)]]
