"""The audit, the sums and the journal tell the truth."""

import pytest

from nexus_bounty.ledger import MINT, EntryKind, Sums
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.outcomes import InvalidInputError, PaymentError
from nexus_bounty.validation import MOST_AMOUNT
from nexus_bounty_sqlite import SqliteCredits
from tests.support.ledgers import lived


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request, path, clock):
    made = MemoryCredits(clock=clock) if request.param == "memory" else None
    async with made or SqliteCredits(path, clock=clock) as service:
        yield service


async def test_the_sums_tell_issued_free_and_reserved(ledger):
    """Free and reserved credits together are what was issued."""
    await lived(ledger)
    sums = await ledger.sums()
    assert sums == Sums(issued=100, available=80, reserved=20)
    assert sums.balanced
    assert await ledger.total() == 100


async def test_the_audit_of_an_honest_ledger_finds_nothing(ledger):
    """It counts entries, accounts and reservations."""
    await lived(ledger)
    audit = await ledger.verify()
    assert (audit.ok, list(audit.problems)) == (True, [])
    assert (audit.entries, audit.accounts, audit.reservations) == (5, 5, 2)


async def test_every_journal_entry_balances(ledger):
    """The two postings of an entry add up to zero."""
    await lived(ledger)
    async for entry in ledger.history():
        assert sum(change for _, change in entry.postings) == 0


async def test_the_history_of_a_reservation_tells_its_life(ledger):
    """From the account to escrow, from escrow to the payee, and what for."""
    await lived(ledger)
    moves = [(e.kind, e.debit, e.credit, e.memo) async for e in ledger.history(source_id="r1")]
    assert moves == [
        (EntryKind.RESERVE, "alice", "system:escrow:alice", "bounty-1"),
        (EntryKind.CAPTURE, "system:escrow:alice", "bob", "bounty-1"),
    ]


async def test_the_history_of_an_account_has_all_that_touched_it(ledger):
    """Its escrow included, oldest first, others' movements left out."""
    await lived(ledger)
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
    await lived(ledger)
    lines = [str(entry) async for entry in ledger.history(source_id="x")]
    assert lines == ["2026-01-01T00:00:00+00:00 transfer x: 4 from bob to carol (thanks)"]


async def test_a_refusal_writes_nothing(ledger):
    """The journal is the same before and after."""
    await lived(ledger)
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
    await lived(ledger)
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
