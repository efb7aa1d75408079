"""A file that is not there is read like an empty one, and is made by what is written first."""

import pytest

from nexus_bounty.outcomes import CommitUnknownError
from nexus_bounty_sqlite import SqliteClaimStore, SqliteCredits


@pytest.fixture
async def ledger(path):
    made = SqliteCredits(path)
    yield made
    await made.close()


async def test_reading_leaves_no_file_behind(ledger, path):
    """Neither it nor one of its companions."""
    assert (await ledger.balance("alice")).available == 0
    assert (await ledger.verify()).ok
    assert [each async for each in ledger.history()] == []
    assert await ledger.find_operation("z", "k") is None
    assert list(path.parent.iterdir()) == []


async def test_claims_are_read_so_too(path):
    """They lie in a file of the same kind."""
    claims = SqliteClaimStore(path)
    assert await claims.active_claims("t") == []
    await claims.close()
    assert list(path.parent.iterdir()) == []


async def test_what_is_written_then_is_read_from_the_file(ledger, path):
    """Whoever has read before the file was there sees it, even if another process made it."""
    assert (await ledger.balance("alice")).available == 0
    async with SqliteCredits(path) as other:
        await other.top_up("t", account="alice", amount=5)
    assert (await ledger.balance("alice")).available == 5
    await ledger.top_up("t2", account="alice", amount=5)
    assert (await ledger.balance("alice")).available == 10


async def test_a_file_that_was_open_and_is_gone_is_not_read_as_empty(ledger, path):
    """What a connection has seen is not taken for never having been."""
    await ledger.top_up("t", account="alice", amount=5)
    assert (await ledger.balance("alice")).available == 5
    for each in path.parent.iterdir():
        each.unlink()
    assert (await ledger.balance("alice")).available == 5


async def test_where_no_file_can_be_none_is_read(tmp_path):
    """A directory that is missing is not an empty ledger."""
    ledger = SqliteCredits(tmp_path / "missing" / "ledger.db")
    with pytest.raises(CommitUnknownError):
        await ledger.balance("alice")
    await ledger.close()
