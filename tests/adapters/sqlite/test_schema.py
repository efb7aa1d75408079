"""What the file itself forbids, to whoever opens it."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from nexus_bounty.models import AgentIdentity
from nexus_bounty.outcomes import CommitUnknownError, PaymentError, PreCommitError, Proof
from nexus_bounty_sqlite import SqliteClaimStore, SqliteCredits, ledger_book, schema
from nexus_bounty_sqlite.schema import SCHEMA_VERSION

ENTRY = "INSERT INTO entries (kind, source_id, debit, credit, amount, at, memo) VALUES "


@pytest.fixture
async def used_file(path):
    """A file in which alice has 70, 20 more in escrow, and bob has 10."""
    async with SqliteCredits(path) as service, SqliteClaimStore(path) as claims:
        await service.top_up("t", account="alice", amount=100)
        await service.reserve("captured", account="alice", amount=10)
        await service.capture("captured", to_account="bob")
        await service.reserve("held", account="alice", amount=20)
        agent = AgentIdentity(agent_id="alice")
        await claims.claim_or_renew("b", agent, claim_id="c", lease=timedelta(hours=1))
    return path


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(
            f"{ENTRY} ('transfer', 'x', 'alice', 'bob', 71, '', '')", id="spend more than is free"
        ),
        pytest.param(
            f"{ENTRY} ('transfer', 'x', 'nobody', 'bob', 1, '', '')", id="spend from nobody"
        ),
        pytest.param(
            f"{ENTRY} ('void', 'x', 'system:escrow:alice', 'alice', 21, '', '')",
            id="free more than is held",
        ),
        pytest.param(f"{ENTRY} ('transfer', 'x', 'alice', 'bob', 0, '', '')", id="move nothing"),
        pytest.param(f"{ENTRY} ('transfer', 'x', 'alice', 'bob', -1, '', '')", id="move backwards"),
        pytest.param(f"{ENTRY} ('transfer', 'x', 'alice', 'bob', 0.5, '', '')", id="move a part"),
        pytest.param(f"{ENTRY} ('transfer', 'x', 'alice', 'alice', 1, '', '')", id="move in place"),
        pytest.param(f"{ENTRY} ('top_up', 't', 'alice', 'bob', 1, '', '')", id="top up twice"),
        pytest.param(
            f"{ENTRY} ('void', 'captured', 'system:escrow:alice', 'alice', 10, '', '')",
            id="void what was captured",
        ),
        pytest.param(
            f"{ENTRY} ('reserve', 'held', 'alice', 'system:escrow:alice', 1, '', '')",
            id="reserve twice",
        ),
        pytest.param("UPDATE entries SET amount = 1", id="rewrite the journal"),
        pytest.param("DELETE FROM entries", id="delete the journal"),
        pytest.param("UPDATE accounts SET balance = -1 WHERE name = 'alice'", id="overdraw"),
        pytest.param(
            "UPDATE reservations SET status = 'held', captured_to = NULL "
            "WHERE reservation_id = 'captured'",
            id="reopen a reservation",
        ),
        pytest.param(
            "UPDATE reservations SET status = 'captured' WHERE reservation_id = 'held'",
            id="capture to nobody",
        ),
        pytest.param("DELETE FROM reservations", id="forget reservations"),
        pytest.param(
            "INSERT INTO claims VALUES ('c-2', 'b', 'active', '', '{}')", id="claim twice"
        ),
    ],
)
async def test_the_file_refuses_to(used_file, recount, statement):
    """Constraints hold for plain SQL as they do for the adapter."""
    connection = sqlite3.connect(used_file, isolation_level=None)
    with closing(connection), pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    assert recount().balances["alice"] == 70


@pytest.fixture
def with_pragma(path):
    def change(pragma: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA {pragma}")
            connection.commit()

    return change


async def test_a_file_of_a_later_release_is_refused(used_file, with_pragma):
    """The error names both versions and says what to do; the file is left alone."""
    with_pragma(f"user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(PaymentError, match=r"schema \d+.*up to \d+.*upgrade") as refusal:
        async with SqliteCredits(used_file):
            raise AssertionError("opened")
    assert refusal.value.evidence.proof is Proof.NEVER_SENT


async def test_a_read_of_a_file_that_cannot_be_used_proves_nothing(used_file, with_pragma):
    """A failed look-up is never pre-commit, so that nobody compensates because of it."""
    with_pragma(f"user_version = {SCHEMA_VERSION + 1}")
    service = SqliteCredits(used_file)
    with pytest.raises(CommitUnknownError, match=r"schema \d+"):
        await service.get_reservation("held")
    await service.close()


async def test_a_database_of_another_program_is_left_alone(path):
    """Its tables are neither used nor added to."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(PaymentError, match="another program"):
        async with SqliteCredits(path):
            raise AssertionError("opened")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


async def test_a_file_that_is_no_database_is_refused(path):
    """Nothing is written over it."""
    path.write_bytes(b"precious" * 1000)
    with pytest.raises(PreCommitError, match="not a database"):
        async with SqliteClaimStore(path):
            raise AssertionError("opened")
    assert path.read_bytes() == b"precious" * 1000


async def test_a_file_in_a_directory_that_is_not_there_is_refused(tmp_path):
    """The error is pre-commit: no credits can have moved."""
    with pytest.raises(PaymentError, match="unable to open"):
        async with SqliteCredits(tmp_path / "missing" / "ledger.db"):
            raise AssertionError("opened")


async def test_the_entries_of_one_source_are_found_by_an_index(used_file):
    """However long the journal is, which has no index for that alone."""
    async with SqliteCredits(used_file) as service:
        found = [each.kind async for each in service.history(source_id="captured")]
    assert found == ["reserve", "capture"]
    with closing(sqlite3.connect(used_file)) as connection:
        query = f"EXPLAIN QUERY PLAN {ledger_book.ENTRY} WHERE {ledger_book.OF_SOURCE}"
        plan = str(connection.execute(query, ["captured"] * 3).fetchall())
    for index in ("one_move_per", "one_start_per", "one_end_per"):
        assert index in plan


async def test_an_sqlite_that_is_too_old_is_named(path, monkeypatch):
    """Strict tables came with 3.37."""
    monkeypatch.setattr(schema, "OLDEST_SQLITE", (99, 0))
    with pytest.raises(PaymentError, match=r"too old, 99\.0 is needed"):
        async with SqliteCredits(path):
            raise AssertionError("opened")


async def test_credits_and_claims_may_share_a_file(used_file, recount):
    """Both keep their tables side by side."""
    found = recount()
    assert (found.total, found.claims) == (100, {"c": "active"})


async def test_the_file_is_durable_and_logged_ahead(path):
    """Every connection syncs every commit."""
    made = []

    def connect(name, seconds):
        connection = sqlite3.connect(name, timeout=seconds, isolation_level=None)
        made.append(connection)
        return connection

    async with SqliteCredits(path, connect=connect) as service:
        modes = await service._database.write("look", None, _modes)
        assert await service._database.read("look", _modes) == modes == ("wal", 2)
    assert len(made) == 2


def _modes(connection):
    (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    return journal, synchronous
