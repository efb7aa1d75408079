"""The audit finds what was changed in the file past all of its triggers."""

import sqlite3
from contextlib import closing

import pytest

from nexus_bounty_sqlite import SqliteCredits
from tests.support.ledgers import lived


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
        await lived(ledger)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in triggers.fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute(tampering)
        audit = await ledger.verify()
    assert not audit.ok
    assert any(problem in found for found in audit.problems)
