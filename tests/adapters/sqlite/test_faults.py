"""Every statement fails once, in every way; the verdict is held against the file."""

import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Container
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nexus_bounty.models import AgentIdentity
from nexus_bounty.outcomes import CommitUnknownError, OutcomeError, PaymentError, PreCommitError
from nexus_bounty_sqlite import SqliteClaimStore, SqliteCredits

HOUR = timedelta(hours=1)
PATIENCE = timedelta(milliseconds=20)
ALICE = AgentIdentity(agent_id="alice")


@dataclass
class Fault:
    """Fails statement number `at`, `before` it runs, `after` it has run, or `from` there on."""

    at: int
    mode: str
    code: int | None
    armed: bool = False
    seen: int = 0
    failed: str = ""
    dead: sqlite3.Connection | None = None

    def before(self, connection: sqlite3.Connection, sql: str) -> None:
        if connection is self.dead:
            raise self.error()
        if self.armed:
            self.seen += 1
            self.fail_if_due(("before", "from"), sql, connection)

    def after(self, connection: sqlite3.Connection, sql: str) -> None:
        if self.armed and not self.failed:
            self.fail_if_due(("after",), sql, connection)

    def fail_if_due(self, modes: Container[str], sql: str, connection: sqlite3.Connection) -> None:
        if self.is_due(sql) and self.mode in modes:
            self.failed = sql.split()[0]
            self.dead = connection if self.mode == "from" else None
            raise self.error()

    def is_due(self, sql: str) -> bool:
        return self.seen == self.at

    def error(self) -> sqlite3.OperationalError:
        exc = sqlite3.OperationalError("injected")
        if self.code is not None:
            exc.sqlite_errorcode = self.code
            exc.sqlite_errorname = str(self.code)
        return exc

    def connect(self, path: str, seconds: float) -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, timeout=seconds, isolation_level=None, factory=FaultyConnection
        )
        connection.fault = self
        return connection


@dataclass
class FaultAtCommit(Fault):
    """Fails every COMMIT, or another statement, before or after it runs."""

    statement: str = "COMMIT"

    def is_due(self, sql: str) -> bool:
        return sql == self.statement


class FaultyConnection(sqlite3.Connection):
    """Asks its fault before and after each statement."""

    fault: Fault

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        self.fault.before(self, sql)
        cursor = super().execute(sql, *args)
        try:
            self.fault.after(self, sql)
        except sqlite3.Error:
            # As after a failure of SQLite's own: a cursor in a traceback keeps the file open.
            cursor.close()
            raise
        return cursor


CREDITS: dict[str, Callable[[SqliteCredits], Awaitable[Any]]] = {
    "reserve": lambda service: service.reserve("r", account="alice", amount=10),
    "capture": lambda service: service.capture("held", to_account="bob"),
    "void": lambda service: service.void("held"),
    "transfer": lambda service: service.transfer(
        "x", from_account="alice", to_account="bob", amount=5
    ),
    "top_up": lambda service: service.top_up("y", account="bob", amount=7),
}
DONE = {
    "reserve": ("reserve", "r"),
    "capture": ("capture", "held"),
    "void": ("void", "held"),
    "transfer": ("transfer", "x"),
    "top_up": ("top_up", "y"),
}
CLAIMS: dict[str, tuple[Callable[[SqliteClaimStore], Awaitable[Any]], dict[str, str]]] = {
    "claim": (
        lambda claims: claims.claim_or_renew(
            "b-2", ALICE, claim_id="c-2", lease=HOUR, idempotency_key="k"
        ),
        {"c-1": "active", "c-2": "active"},
    ),
    "release": (
        lambda claims: claims.release("c-1", idempotency_key="k"),
        {"c-1": "released"},
    ),
    "complete": (lambda claims: claims.complete("c-1"), {"c-1": "completed"}),
}
MODES = ["before", "after", "from"]
CODES = [
    pytest.param(sqlite3.SQLITE_IOERR | 4 << 8, id="sync-failed"),
    pytest.param(sqlite3.SQLITE_BUSY, id="busy", marks=pytest.mark.exhaustive),
    pytest.param(None, id="no-code", marks=pytest.mark.exhaustive),
]


@pytest.fixture
async def template(tmp_path, clock):
    """A file to begin with: alice has 90 and a held reservation and a claim; one has expired."""
    path = tmp_path / "template.db"
    async with SqliteCredits(path, clock=clock) as service:
        await service.top_up("t", account="alice", amount=100)
        await service.reserve("held", account="alice", amount=10)
        await service.reserve("overdue", account="alice", amount=10, expires_at=clock.now + HOUR)
    async with SqliteClaimStore(path, clock=clock) as claims:
        await claims.claim_or_renew("b-1", ALICE, claim_id="c-1", lease=3 * HOUR)
    clock.advance(2 * HOUR)
    return path


@pytest.fixture
def runs(template, path, mode, code):
    """Faults at statement 1, 2, 3, … each on a fresh file, until one is never reached."""

    def enumerate_faults():
        for at in count(1):
            _remove(path)
            shutil.copy(template, path)
            fault = Fault(at, mode, code)
            yield fault
            if not fault.failed:
                assert at > 3
                return

    return enumerate_faults


def _remove(path: Path) -> None:
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink()


async def _attempt(fault: Fault, call: Awaitable[Any]) -> OutcomeError | None:
    fault.armed = True
    try:
        await call
    except OutcomeError as exc:
        return exc
    finally:
        fault.armed = False
        fault.dead = None
    return None


def _assert_not_locked(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")


def _assert_truthful(verdict: OutcomeError | None, happened: bool, fault: Fault) -> None:
    if verdict is None:
        assert happened
    elif isinstance(verdict, PreCommitError):
        assert not happened, f"{fault} was called pre-commit and is in the file"
    else:
        assert isinstance(verdict, CommitUnknownError)
        assert fault.failed == "COMMIT"
    if fault.failed and fault.failed != "COMMIT":
        assert isinstance(verdict, PreCommitError), f"{fault} came before COMMIT"


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", CREDITS)
async def test_a_movement_is_never_called_undone_when_it_is_in_the_file(
    operation, runs, path, clock, recount
):
    """The verdict agrees with the file, nothing stays locked, and the same id settles it."""
    for fault in runs():
        async with SqliteCredits(
            path, clock=clock, connect=fault.connect, busy_timeout=PATIENCE
        ) as service:
            verdict = await _attempt(fault, CREDITS[operation](service))
            happened = recount().count(*DONE[operation]) == 1
            _assert_truthful(verdict, happened, fault)
            _assert_not_locked(path)
            await CREDITS[operation](service)
        _assert_done_once(operation, recount())


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("mode", MODES)
async def test_what_fails_while_the_file_is_opened_is_pre_commit(runs, path, clock, recount):
    """Opening takes statements too, and none of them can move credits."""
    for fault in runs():
        service = SqliteCredits(path, clock=clock, connect=fault.connect, busy_timeout=PATIENCE)
        verdict = await _attempt(fault, service.__aenter__())
        # Only the commit of the empty opening transaction may be in doubt, and being busy while
        # the log is switched on is waited out.
        assert isinstance(verdict, PaymentError | None) or fault.failed == "COMMIT"
        _assert_not_locked(path)
        await CREDITS["reserve"](service)
        await service.close()
        _assert_done_once("reserve", recount())


async def test_being_busy_while_the_log_is_switched_on_is_waited_out(path):
    """SQLite itself does not wait there, however long its busy timeout."""
    fault = Fault(1, "before", sqlite3.SQLITE_BUSY)
    service = SqliteCredits(path, connect=fault.connect)
    assert await _attempt(fault, CREDITS["top_up"](service)) is None
    assert fault.failed == "PRAGMA"
    await service.close()


@pytest.mark.parametrize("mode", MODES)
async def test_a_new_file_is_made_whole_or_not_at_all(mode, path, clock, recount):
    """Whatever fails while the tables are made, the next one to come finds or makes them all."""
    for at in count(1):
        _remove(path)
        fault = Fault(at, mode, sqlite3.SQLITE_IOERR)
        service = SqliteCredits(path, clock=clock, connect=fault.connect, busy_timeout=PATIENCE)
        verdict = await _attempt(fault, CREDITS["top_up"](service))
        assert isinstance(verdict, PreCommitError | None) or fault.failed == "COMMIT"
        await CREDITS["top_up"](service)
        await service.close()
        assert recount().count(*DONE["top_up"]) == 1
        if not fault.failed:
            assert at > 20
            return


def _assert_done_once(operation: str, found: Any) -> None:
    assert found.count(*DONE[operation]) == 1
    assert found.count("expire", "overdue") == 1
    assert found.total == (107 if operation == "top_up" else 100)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", CLAIMS)
async def test_a_claim_is_never_called_undone_when_it_is_in_the_file(
    operation, runs, path, clock, recount
):
    """The same for leases."""
    call, done = CLAIMS[operation]
    for fault in runs():
        async with SqliteClaimStore(
            path, clock=clock, connect=fault.connect, busy_timeout=PATIENCE
        ) as claims:
            verdict = await _attempt(fault, call(claims))
            _assert_truthful(verdict, recount().claims == done, fault)
            _assert_not_locked(path)
            await call(claims)
        assert recount().claims == done


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("mode", MODES)
async def test_a_failed_read_is_never_a_proof(runs, path, clock, recount):
    """Whatever fails on the way to a balance, the error does not invite compensation."""
    for fault in runs():
        async with SqliteCredits(
            path, clock=clock, connect=fault.connect, busy_timeout=PATIENCE
        ) as service:
            verdict = await _attempt(fault, service.balance("alice"))
            assert isinstance(verdict, CommitUnknownError | None)
            assert verdict or fault.failed in ("", "PRAGMA")
            balance = await service.balance("alice")
            assert (balance.available, balance.reserved) == (90, 10)
        assert recount().count("expire", "overdue") == 1


async def test_a_file_that_cannot_be_opened_says_what_sqlite_needs(tmp_path):
    """A folder that nothing can be written to is enough: the log lies beside the file."""
    async with SqliteCredits(tmp_path / "ledger.db") as ledger:
        await ledger.balance("alice")
    (tmp_path / "ledger.db").unlink()
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(PreCommitError, match="and its folder must be writable"):
        async with SqliteCredits(tmp_path / "ledger.db") as ledger:
            await ledger.top_up("t", account="alice", amount=1)


async def test_a_commit_refused_as_busy_is_undone_and_says_so(path, template):
    """The transaction was still open and has been rolled back: that is proof."""
    shutil.copy(template, path)
    fault = FaultAtCommit(0, "before", sqlite3.SQLITE_BUSY)
    async with SqliteCredits(path, connect=fault.connect) as service:
        verdict = await _attempt(fault, CREDITS["reserve"](service))
    assert isinstance(verdict, PaymentError)
    assert verdict.evidence.proof == "refused"


async def test_a_commit_that_could_not_sync_is_unknown(path, template):
    """The log may hold it: neither committed nor not."""
    shutil.copy(template, path)
    fault = FaultAtCommit(0, "before", sqlite3.SQLITE_IOERR | 4 << 8)
    async with SqliteCredits(path, connect=fault.connect) as service:
        verdict = await _attempt(fault, CREDITS["reserve"](service))
    assert isinstance(verdict, CommitUnknownError)
    assert (verdict.operation, verdict.idempotency_key) == ("reserve", "r")
    assert verdict.evidence.observations[0].action == "COMMIT"


async def test_a_file_held_by_another_is_a_refusal_after_the_busy_timeout(path, template):
    """Waiting has an end, and what never began is pre-commit."""
    shutil.copy(template, path)
    async with SqliteCredits(path, busy_timeout=PATIENCE) as service:
        await service.expire_due()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(PaymentError, match="locked"):
                await CREDITS["reserve"](service)
            assert (await service.balance("bob")).available == 0
            other.execute("ROLLBACK")
        assert (await CREDITS["reserve"](service)).amount == 10


async def test_a_closed_service_moves_nothing(path):
    """After `close` a change is pre-commit and a read proves nothing."""
    service = SqliteCredits(path)
    await service.close()
    await service.close()
    with pytest.raises(PaymentError, match="closed"):
        await CREDITS["top_up"](service)
    with pytest.raises(CommitUnknownError, match="closed"):
        await service.balance("alice")


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, None])
@pytest.mark.parametrize("operation", CREDITS)
async def test_what_is_unknown_stays_so_while_the_file_refuses(
    operation, code, path, template, recount
):
    """A second try that is refused before its COMMIT, or at it, proves nothing of the first."""
    shutil.copy(template, path)
    lost = FaultAtCommit(0, "after", sqlite3.SQLITE_IOERR | 4 << 8)
    async with SqliteCredits(path, connect=lost.connect, busy_timeout=PATIENCE) as service:
        assert isinstance(await _attempt(lost, CREDITS[operation](service)), CommitUnknownError)
        assert recount().count(*DONE[operation]) == 1
        lost.mode, lost.code = "before", code
        for refused in ("COMMIT", "BEGIN IMMEDIATE"):
            lost.failed, lost.statement = "", refused
            told = await _attempt(lost, CREDITS[operation](service))
            assert isinstance(told, CommitUnknownError)
            assert (told.operation, told.idempotency_key) == (operation, DONE[operation][1])
        await CREDITS[operation](service)
    assert recount().count(*DONE[operation]) == 1


@pytest.mark.parametrize("operation", CLAIMS)
async def test_a_lease_that_is_unknown_stays_so_while_the_file_refuses(
    operation, path, template, clock
):
    """The same for leases, with a key and without."""
    shutil.copy(template, path)
    call, _ = CLAIMS[operation]
    lost = FaultAtCommit(0, "after", sqlite3.SQLITE_IOERR | 4 << 8)
    async with SqliteClaimStore(
        path, clock=clock, connect=lost.connect, busy_timeout=PATIENCE
    ) as claims:
        assert isinstance(await _attempt(lost, call(claims)), CommitUnknownError)
        lost.mode, lost.code, lost.failed = "before", sqlite3.SQLITE_BUSY, ""
        assert isinstance(await _attempt(lost, call(claims)), CommitUnknownError)
        await call(claims)
