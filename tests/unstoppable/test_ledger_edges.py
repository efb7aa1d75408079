"""The edges of a ledger: who may read its file, how accounts are spelled, what is damaged in it."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from nexus_bounty import AgentIdentity, InvalidInputError
from nexus_bounty.events.types import told_as
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.operations.services import check_payee
from nexus_bounty.outcomes import CommitUnknownError
from nexus_bounty_sqlite import SqliteClaimStore, SqliteCredits
from nexus_bounty_sqlite import schema as sqlite_schema
from tests.cli.conftest import environment, mock, shell, url
from tests.cli.shell import Shell
from tests.support.ledgers import lived

__all__ = ["environment", "mock", "shell", "url"]  # fixtures

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
NOBODY = 65534
on_posix = pytest.mark.skipif(os.name == "nt", reason="permissions are others there")
INVISIBLE = ("a\u3164", "\u2800", "a\ufe0f", "a\u034fb", "a\u200b", "a\u202eb", "\U000e0100a")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def _modes(directory: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in directory.iterdir()}


def _touch(path: Path, mode: int) -> None:
    path.touch()
    path.chmod(mode)


@pytest.mark.parametrize("mask", [0o022, 0o000])
@pytest.mark.parametrize("service", [SqliteCredits, SqliteClaimStore])
async def test_a_new_file_is_its_owner_s_alone(
    path: Path, mask: int, service: type[SqliteCredits | SqliteClaimStore]
) -> None:
    """Its companions too, whatever the umask: who has how much is nobody else's business."""
    before = os.umask(mask)
    try:
        async with service(path):
            modes = _modes(path.parent)
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3


async def test_the_mode_of_a_file_that_is_there_stays(path: Path) -> None:
    """Somebody has decided on it."""
    _touch(path, 0o640)
    async with SqliteCredits(path):
        pass
    assert _modes(path.parent)[path.name] == 0o640


async def test_two_spellings_that_look_alike_are_one_account() -> None:
    """Or credits sent to a name would be with another of the same looks."""
    ledger = MemoryCredits()
    await ledger.top_up("t-1", account=DECOMPOSED, amount=5)
    await ledger.top_up("t-2", account=COMPOSED, amount=5)
    balance = await ledger.balance(DECOMPOSED)
    assert (balance.account, balance.available) == (COMPOSED, 10)
    await ledger.reserve("r-1", account=DECOMPOSED, amount=3)
    held = await ledger.capture("r-1", to_account=DECOMPOSED + "-2")
    assert (held.account, held.captured_to) == (COMPOSED, COMPOSED + "-2")
    with pytest.raises(InvalidInputError, match="another account"):
        await ledger.transfer("t-3", from_account=COMPOSED, to_account=DECOMPOSED, amount=1)


@pytest.mark.parametrize("name", [" alice", "alice ", *INVISIBLE])
async def test_a_name_that_looks_like_another_is_no_account(name: str) -> None:
    """Neither with a space that nobody sees nor with a sign that shows nothing."""
    ledger = MemoryCredits()
    with pytest.raises(InvalidInputError):
        await ledger.top_up("t-1", account=name, amount=5)
    with pytest.raises(InvalidInputError):
        await ledger.balance(name)


async def test_an_agent_whose_account_is_spelled_otherwise_is_refused_before_money_moves() -> None:
    """Its bounties would name an account that the ledger calls otherwise."""
    check_payee("agent", AgentIdentity(agent_id=COMPOSED))
    with pytest.raises(InvalidInputError, match="composed"):
        check_payee("agent", AgentIdentity(agent_id=DECOMPOSED))


def test_the_command_line_takes_either_spelling(shell: Shell) -> None:
    """Keyboards and file systems differ in what they make of one letter."""
    shell.json("top-up", DECOMPOSED, 10)
    made = shell.json("create", "t", "--amount", 10, "--creator", DECOMPOSED)
    assert made["bounty"]["creator"]["agentId"] == COMPOSED
    assert shell.json("balance", COMPOSED)["reserved"] == 10


def _damage(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)


async def _all_of(ledger: SqliteCredits) -> object:
    return [each async for each in ledger.history()]


@pytest.mark.parametrize("date", ["", "soon", "2030-01-01", "0001-01-01T00:00:00+12:00", "9" * 30])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE entries SET at = '{}' WHERE entry_id = 2", "entry 2"),
        ("UPDATE reservations SET created_at = '{}' WHERE reservation_id = 'r1'", "reservation r1"),
        ("UPDATE reservations SET expires_at = '{}' WHERE reservation_id = 'r1'", "reservation r1"),
    ],
)
async def test_an_audit_goes_on_past_a_damaged_date(
    path: Path, change: str, named: str, date: str
) -> None:
    """And finds what else is wrong; whoever reads that row is told so, too."""
    async with SqliteCredits(path) as ledger:
        await lived(ledger)
        _damage(path, change.format(date))
        _damage(path, "UPDATE accounts SET balance = 75 WHERE name = 'alice'")
        problems = (await ledger.verify()).problems
        assert any(f"{named} has a damaged date" in each for each in problems)
        assert any("alice has 75" in each for each in problems)
        with pytest.raises(CommitUnknownError, match=f"date of {named}"):
            await (_all_of(ledger) if "entry" in named else ledger.get_reservation("r1"))


def test_a_ledger_that_cannot_be_read_is_named_with_the_reason(
    shell: Shell, tmp_path: Path
) -> None:
    """Exit code 1: a read that failed has changed nothing, whatever it does not know."""
    file = tmp_path / "odd.db"
    file.write_bytes(b"no database, but long enough to be read as one" * 40)
    for options in ((), ("--json",)):
        ended = shell("balance", "bob", "--credits", f"sqlite:///{file}", *options)
        assert ended.code == 1
        assert f"{file} cannot be read: file is not a database" in ended.said
        assert "may have happened" not in ended.said


@pytest.fixture
def shared(shell: Shell) -> Iterator[Path]:
    """A ledger in a directory that everybody may look into."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        shell.setenv("NEXUS_BOUNTY_CREDITS", f"sqlite:///{directory / 'l.db'}")
        shell.json("top-up", "bob", 5)
        assert shell("balance", "bob").code == 0  # with all that it imports
        yield directory / "l.db"
        directory.chmod(0o755)


@contextmanager
def as_a_reader() -> Iterator[None]:
    """Be somebody to whom permissions apply."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(me)


@on_posix
def test_a_ledger_that_may_only_be_read_is_read(shell: Shell, shared: Path) -> None:
    """Its owner may have made it so; writing to it is refused, and nothing moves."""
    shared.chmod(0o444)
    shared.parent.chmod(0o777)  # SQLite keeps beside it what readers share
    with as_a_reader():
        assert "5 free" in shell("balance", "bob").out
        refused = shell("top-up", "bob", 5)
    assert refused.code == 3
    assert f"{shared} refused: attempt to write a readonly database" in refused.said
    shared.chmod(0o644)
    assert "5 free" in shell("balance", "bob").out


@on_posix
@pytest.mark.parametrize(("file", "directory"), [(0o000, 0o755), (0o444, 0o555)])
def test_one_that_cannot_be_read_is_named_with_the_reason(
    shell: Shell, shared: Path, file: int, directory: int
) -> None:
    """In one line, with exit code 1: its file or its directory does not allow it."""
    shared.chmod(file)
    shared.parent.chmod(directory)
    with as_a_reader():
        ended = shell("balance", "bob")
    assert ended.code == 1, ended
    assert f"{shared} cannot be read: " in ended.err
    assert len(ended.err.splitlines()) == 1


async def test_a_file_of_an_earlier_version_is_brought_to_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With everything in it, by whichever process comes first; the earlier release refuses it."""
    async with SqliteCredits(path) as ledger:
        await lived(ledger)
        before = await ledger.verify()
    following = sqlite_schema.SCHEMA_VERSION + 1
    added = {following: ("ALTER TABLE reservations ADD COLUMN note TEXT NOT NULL DEFAULT ''",)}
    with monkeypatch.context() as next_release:
        next_release.setattr(sqlite_schema, "VERSIONS", {**sqlite_schema.VERSIONS, **added})
        next_release.setattr(sqlite_schema, "SCHEMA_VERSION", following)
        for _ in range(2):
            async with SqliteCredits(path) as ledger:
                assert await ledger.verify() == before
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (following,)
            (note,) = connection.execute("SELECT DISTINCT note FROM reservations").fetchone()
            assert note == ""
    with pytest.raises(CommitUnknownError, match="upgrade nexus-bounty") as unreadable:
        await SqliteCredits(path).balance("alice")
    assert told_as(unreadable.value).endswith("upgrade nexus-bounty")


async def test_a_migration_that_fails_half_way_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its statements, or none."""
    async with SqliteCredits(path) as ledger:
        await lived(ledger)
        before = await ledger.verify()
    following = sqlite_schema.SCHEMA_VERSION + 1
    broken = {following: ("CREATE TABLE half (a TEXT) STRICT", "CREATE NONSENSE")}
    with monkeypatch.context() as next_release:
        next_release.setattr(sqlite_schema, "VERSIONS", {**sqlite_schema.VERSIONS, **broken})
        next_release.setattr(sqlite_schema, "SCHEMA_VERSION", following)
        with pytest.raises(CommitUnknownError, match="cannot be read"):
            await SqliteCredits(path).balance("alice")
    async with SqliteCredits(path) as ledger:
        assert await ledger.verify() == before
