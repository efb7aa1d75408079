"""Ledgers in tests: a clock, a file, a past, and a reader that trusts none of our code."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from nexus_bounty.ledger import LedgerCredits
from nexus_bounty.testing import ManualClock


class Recount:
    """What is in the file, read by plain SQL and counted again from the journal."""

    def __init__(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            self.balances = dict(connection.execute("SELECT name, balance FROM accounts"))
            self.journal = connection.execute(
                "SELECT kind, source_id, debit, credit, amount FROM entries ORDER BY entry_id"
            ).fetchall()
            self.reservations = {
                reservation_id: (account, amount, status)
                for reservation_id, account, amount, status in connection.execute(
                    "SELECT reservation_id, account, amount, status FROM reservations"
                )
            }
            self.claims = dict(connection.execute("SELECT claim_id, status FROM claims"))

    @property
    def total(self) -> int:
        """What the users have."""
        return sum(balance for name, balance in self.balances.items() if name != "system:mint")

    def count(self, kind: str, source_id: str) -> int:
        """How often a movement was made."""
        return sum(entry[:2] == (kind, source_id) for entry in self.journal)

    def assert_consistent(self) -> None:
        """Balances follow from the journal, reservations too, and all accounts add up to zero."""
        counted: Counter[str] = Counter()
        for _, _, debit, credit, amount in self.journal:
            counted.update({debit: -amount, credit: amount})
            assert debit == "system:mint" or counted[debit] >= 0
        assert self.balances == dict(counted) or not self.journal
        assert sum(self.balances.values()) == 0
        self._assert_reservations_follow_from_journal()

    def _assert_reservations_follow_from_journal(self) -> None:
        ending = {"held": [], "captured": ["capture"], "voided": ["void"], "expired": ["expire"]}
        kinds: dict[str, list[str]] = {}
        for kind, source_id, *_ in self.journal:
            if kind not in ("transfer", "top_up"):
                kinds.setdefault(source_id, []).append(kind)
        expected = {
            reservation_id: ["reserve", *ending[status]]
            for reservation_id, (_, _, status) in self.reservations.items()
        }
        assert kinds == expected


async def lived(ledger: LedgerCredits) -> None:
    """One movement of each kind but `void`, among alice, bob and carol."""
    await ledger.top_up("t", account="alice", amount=100)
    await ledger.reserve("r1", account="alice", amount=10, reference="bounty-1")
    await ledger.capture("r1", to_account="bob")
    await ledger.reserve("r2", account="alice", amount=20)
    await ledger.transfer("x", from_account="bob", to_account="carol", amount=4, memo="thanks")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def recount(path):
    def read() -> Recount:
        found = Recount(path)
        found.assert_consistent()
        return found

    return read
