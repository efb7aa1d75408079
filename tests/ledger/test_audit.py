"""The audit, the sums and the journal tell the truth."""

import sqlite3
from contextlib import closing

import pytest

from nexus_bounty.ledger import MINT, EntryKind, LedgerCredits, Sums
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.outcomes import InvalidInputError, PaymentError
from nexus_bounty.validation import MOST_AMOUNT
from nexus_bounty_sqlite import SqliteCredits


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request, path, clock):
    made = MemoryCredits(clock=clock) if request.param == "memory" else None
    async with made or SqliteCredits(path, clock=clock) as service:
        yield service


async def _live(ledger: LedgerCredits) -> None:
    await ledger.top_up("t", account="alice", amount=100)
    await ledger.reserve("r1", account="alice", amount=10, reference="bounty-1")
    await ledger.capture("r1", to_account="bob")
    await ledger.reserve("r2", account="alice", amount=20)
    await ledger.transfer("x", from_account="bob", to_account="carol", amount=4, memo="thanks")


async def test_the_sums_tell_issued_free_and_reserved(ledger):
    """Free and reserved credits together are what was issued."""
    await _live(ledger)
    sums = await ledger.sums()
    assert sums == Sums(issued=100, available=80, reserved=20)
    assert sums.balanced
    assert await ledger.total() == 100


async def test_the_audit_of_an_honest_ledger_finds_nothing(ledger):
    """It counts entries, accounts and reservations."""
    await _live(ledger)
    audit = await ledger.verify()
    assert (audit.ok, list(audit.problems)) == (True, [])
    assert (audit.entries, audit.accounts, audit.reservations) == (5, 5, 2)


async def test_every_journal_entry_balances(ledger):
    """The two postings of an entry add up to zero."""
    await _live(ledger)
    async for entry in ledger.history():
        assert sum(change for _, change in entry.postings) == 0


async def test_the_history_of_a_reservation_tells_its_life(ledger):
    """From the account to escrow, from escrow to the payee, and what for."""
    await _live(ledger)
    moves = [(e.kind, e.debit, e.credit, e.memo) async for e in ledger.history(source_id="r1")]
    assert moves == [
        (EntryKind.RESERVE, "alice", "system:escrow:alice", "bounty-1"),
        (EntryKind.CAPTURE, "system:escrow:alice", "bob", "bounty-1"),
    ]


async def test_the_history_of_an_account_has_all_that_touched_it(ledger):
    """Its escrow included, oldest first, others' movements left out."""
    await _live(ledger)
    sources = [entry.source_id async for entry in ledger.history(account="alice")]
    assert sources == ["t", "r1", "r1", "r2"]
    assert [entry.source_id async for entry in ledger.history(account="carol")] == ["x"]


async def test_a_history_of_many_pages_is_complete(ledger):
    """No entry is left out or told twice."""
    for number in range(450):
        await ledger.top_up(f"t{number}", account="alice", amount=1)
    assert [e.source_id async for e in ledger.history()] == [f"t{n}" for n in range(450)]


async def test_an_entry_prints_as_one_line(ledger):
    """A line names the time, the movement and the memo."""
    await _live(ledger)
    lines = [str(entry) async for entry in ledger.history(source_id="x")]
    assert lines == ["2026-01-01T00:00:00+00:00 transfer x: 4 from bob to carol (thanks)"]


async def test_a_refusal_writes_nothing(ledger):
    """The journal is the same before and after."""
    await _live(ledger)
    before = [entry async for entry in ledger.history()]
    with pytest.raises(PaymentError) as refusal:
        await ledger.capture("r1", to_account="carol")
    assert (refusal.value.operation, refusal.value.idempotency_key) == ("capture", "r1")
    assert refusal.value.evidence.observations
    with pytest.raises(PaymentError):
        await ledger.reserve("r3", account="alice", amount=71)
    assert [entry async for entry in ledger.history()] == before


async def test_no_more_credits_exist_than_can_be_counted(ledger):
    """The bound is on the whole system, so that no balance can exceed it."""
    await ledger.top_up("t1", account="alice", amount=MOST_AMOUNT)
    with pytest.raises(PaymentError, match="exceed"):
        await ledger.top_up("t2", account="bob", amount=1)
    assert await ledger.total() == MOST_AMOUNT


@pytest.mark.parametrize("account", [MINT, "system:escrow:alice", "system:anything"])
async def test_the_ledgers_own_accounts_are_out_of_reach(ledger, account):
    """Nobody pays from, pays to, or reserves in them."""
    await _live(ledger)
    for call in (
        ledger.reserve("r", account=account, amount=1),
        ledger.capture("r2", to_account=account),
        ledger.transfer("y", from_account=account, to_account="bob", amount=1),
        ledger.transfer("y", from_account="alice", to_account=account, amount=1),
        ledger.top_up("y", account=account, amount=1),
        ledger.balance(account),
    ):
        with pytest.raises(InvalidInputError):
            await call


@pytest.mark.parametrize(
    ("tampering", "problem"),
    [
        pytest.param(
            "UPDATE accounts SET balance = 75 WHERE name = 'alice'",
            "alice has 75, its postings add up to 70",
            id="credits from nowhere",
        ),
        pytest.param(
            "UPDATE entries SET amount = 9 WHERE kind = 'capture'",
            "reservation r1 does not follow from",
            id="another amount paid",
        ),
        pytest.param(
            "UPDATE reservations SET status = 'voided' WHERE reservation_id = 'r2'",
            "system:escrow:alice has 20, held reservations need 0",
            id="void without giving back",
        ),
        pytest.param(
            "DELETE FROM reservations WHERE reservation_id = 'r2'",
            "the journal names r2, which is no reservation",
            id="a reservation forgotten",
        ),
        pytest.param(
            "UPDATE entries SET entry_id = 99 WHERE kind = 'top_up'",
            "alice was below zero after entry 2",
            id="spent before it was there",
        ),
    ],
)
async def test_the_audit_finds(path, tampering, problem):
    """What was changed behind the triggers' back is found by recounting."""
    async with SqliteCredits(path) as ledger:
        await _live(ledger)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in triggers.fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute(tampering)
        audit = await ledger.verify()
    assert not audit.ok
    assert any(problem in found for found in audit.problems)
