"""The process really killed, at every boundary, and another one taking over on the same files.

The server runs in this process, the ledger is a file. A nursery, one small process without
threads, forks a worker for every command; the worker runs one operation and is gone with
`os._exit` at the boundary it was told. Boundaries are counted first, then tried one by one.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import httpx
import pytest
import pytest_asyncio

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    Contribution,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
    OutcomeError,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.mock import MockNexus, running
from nexus_bounty.mock.core import CoreState
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.operations import BountyOperations
from nexus_bounty.ports import ClaimStore
from nexus_bounty.reconcile import Reconciler
from nexus_bounty_sqlite import SqliteClaimStore, SqliteCredits
from tests.support.sampling import sample_and_all, thorough_unless
from tests.support.transports import Bounded
from tests.support.world import stranded

KILLED = 42
FUNDS, PRICE = 1000, 100
BOB = AgentIdentity(agent_id="bob")
LATER = timedelta(minutes=15)
"""Older than the grace period, and well within the lease."""
MINUTES = timedelta(minutes=10)
"""Older than the grace period of whatever was done at `LATER`."""

Act = Callable[[BountyOperations], Awaitable[object]]

ACTS: dict[str, Act] = {
    "create": lambda o: o.create(_bounty(), idempotency_key="create"),
    "claim": lambda o: o.claim("b-1", BOB, idempotency_key="claim"),
    "release": lambda o: o.release("b-1", BOB, idempotency_key="release"),
    "settle": lambda o: o.settle("b-1", "cid-1", idempotency_key="settle"),
    "cancel": lambda o: o.cancel("b-1", idempotency_key="cancel"),
    "expire": lambda o: o.expire("b-1", idempotency_key="expire"),
}


def _bounty() -> Bounty:
    return Bounty(
        bounty_id="b-1",
        title="Sort it",
        creator=AgentIdentity(agent_id="alice"),
        amount=PRICE,
        criteria=BountyCriteria(description="sorted", required_tags=["sorted"]),
        deadline=datetime(2100, 1, 1, tzinfo=UTC),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


# The worker: one process, one command


@dataclass(frozen=True)
class Command:
    """What a worker is to do: an act, or `reconcile`; and at which boundary it dies, if at one."""

    act: str
    url: str
    ledger: str
    claims: str = "nexus"
    ahead_seconds: float = 0.0
    die_at: int | None = None


class Boundaries:
    """Counts the moments before and after each request and each call, and dies at one of them."""

    def __init__(self, die_at: int | None) -> None:
        self.seen = 0
        self._die_at = die_at

    def reach(self) -> None:
        self.seen += 1
        if self.seen == self._die_at:
            os._exit(KILLED)


class BoundedService:
    """A service, each call of which that changes something lies between two boundaries."""

    def __init__(self, service: object, calls: tuple[str, ...], boundaries: Boundaries) -> None:
        self._service = service
        self._calls = calls
        self._boundaries = boundaries

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._service, name)
        return self._bounded(call) if name in self._calls else call

    def _bounded(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def run(*args: Any, **named: Any) -> Any:
            self._boundaries.reach()
            result = await call(*args, **named)
            self._boundaries.reach()
            return result

        return run


MOVES = ("reserve", "capture", "void")
LEASES = ("claim_or_renew", "release", "complete")


def _transport(boundaries: Boundaries) -> Bounded:
    """A real connection; loading certificates would take longer than the work."""
    return Bounded(httpx.AsyncHTTPTransport(verify=False), boundaries.reach)


async def _work(command: Command) -> dict[str, Any]:
    boundaries = Boundaries(command.die_at)
    settings = NexusSettings(url=command.url, connect_timeout=2, request_timeout=2)
    client = NexusClient(settings=settings, transport=_transport(boundaries), random=Random())

    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=command.ahead_seconds)

    ledger = SqliteCredits(command.ledger, clock=clock)
    leases: ClaimStore = NexusClaimStore(client, commit="conditional", clock=clock)
    if command.claims == "sqlite":
        on_file = SqliteClaimStore(command.ledger, clock=clock)
        leases = BoundedService(on_file, LEASES, boundaries)
    operations = BountyOperations(
        NexusBountyStore(client, commit="conditional", clock=clock),
        credits=BoundedService(ledger, MOVES, boundaries),
        claims=leases,
        contributions=MemoryContributionStore([Contribution(cid="cid-1", tags=["sorted"])]),
        clock=clock,
    )
    async with client, ledger:
        said = await _said(command.act, operations)
        await leases.close()
    return {"said": said, "boundaries": boundaries.seen}


async def _said(act: str, operations: BountyOperations) -> str:
    if act == "reconcile":
        report = await Reconciler(operations, grace=timedelta(minutes=5)).run_until_clean()
        return "; ".join(
            [*(f"{each.subject}: {each.left}" for each in stranded(report)), *report.errors]
        )
    try:
        await ACTS[act](operations)
    except OutcomeError as error:
        return error.outcome.value
    return "committed"


# The nursery: forks a worker for each line it reads, and says how it ended


def _nursery() -> None:
    asyncio.run(_warm_up())
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _be_a_worker(Command(**json.loads(line)))
        _, status = os.waitpid(child, 0)
        print(json.dumps({"exit": os.waitstatus_to_exitcode(status)}), flush=True)  # noqa: T201


async def _warm_up() -> None:
    """Have everything imported that is only imported when the first request is sent."""
    async with httpx.AsyncClient(verify=False) as client:
        with suppress(httpx.HTTPError):
            await client.get("http://127.0.0.1:9/")


def _be_a_worker(command: Command) -> NoReturn:
    code = 1
    try:
        result = asyncio.run(_work(command))
        print(json.dumps(result), flush=True)  # noqa: T201
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    _nursery()
    sys.exit()


# The test process


@dataclass
class Ended:
    """How a worker ended, and what it said before, if it came to that."""

    exit: int
    said: str = ""
    boundaries: int = 0


class Nursery:
    """The nursery as seen from here."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, command: Command) -> Ended:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(command)).encode() + b"\n")
        said: dict[str, Any] = {}
        while "exit" not in said:
            assert self._process.stdout is not None
            line = await asyncio.wait_for(self._process.stdout.readline(), 30)
            assert line, "the nursery is gone"
            said |= json.loads(line)
        return Ended(**said)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nursery() -> AsyncIterator[Nursery]:
    """One for all cases: its imports take longer than its work."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        yield Nursery(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()  # the end of its input ends it
        await asyncio.wait_for(process.wait(), 30)
    assert process.returncode == 0


@dataclass
class Case:
    """An operation, what came before it, how old its bounty is then, and what it brings about."""

    act: str
    before: tuple[str, ...]
    brings: str
    age: timedelta = timedelta(0)
    claims: str = "nexus"

    @property
    def name(self) -> str:
        return f"{self.act} after {'+'.join(self.before) or 'nothing'}, leases on {self.claims}"


PAST_DEADLINE = timedelta(days=365 * 80)

CASES = (
    Case("create", (), "open"),
    Case("claim", ("create",), "claimed"),
    Case("claim", ("create",), "claimed", claims="sqlite"),
    Case("release", ("create", "claim"), "open"),
    Case("release", ("create", "claim"), "open", claims="sqlite"),
    Case("settle", ("create", "claim"), "settled"),
    Case("settle", ("create", "claim"), "settled", claims="sqlite"),
    Case("cancel", ("create",), "cancelled"),
    Case("cancel", ("create", "claim"), "cancelled"),
    Case("expire", ("create",), "expired", age=PAST_DEADLINE),
    Case("expire", ("create", "claim"), "expired", age=PAST_DEADLINE),
)


@dataclass
class Stage:
    """Everything that outlives the workers: the server's files, and the ledger."""

    mock: MockNexus
    url: str
    nursery: Nursery
    http: httpx.AsyncClient
    ledger: Path
    case: Case
    files: CoreState = field(init=False)
    kept: Path = field(init=False)
    copies: int = 0

    async def do(self, act: str, age: timedelta, die_at: int | None = None) -> Ended:
        """Have a worker of its own do something, at a time that lies `age` ahead."""
        return await self.nursery.run(
            Command(
                act,
                self.url,
                str(self.ledger),
                self.case.claims,
                age.total_seconds(),
                die_at,
            )
        )

    async def prepare(self) -> None:
        async with SqliteCredits(self.ledger) as ledger:
            await ledger.top_up("founding", account="alice", amount=FUNDS)
        for act in self.case.before:
            assert (await self.do(act, timedelta(0))).said == "committed"

    def keep(self) -> None:
        """Remember the files and the ledger as they are now."""
        self.files = self.mock.snapshot()
        self.kept = self.ledger
        self.restore()

    def restore(self) -> None:
        """Put the files back, and go on with a fresh copy of the ledger."""
        self.mock.restore(self.files)
        self.copies += 1
        self.ledger = _copy(self.kept, self.kept.with_name(f"{self.copies}.db"))

    async def try_boundary(self, boundary: int) -> list[str]:
        """Kill the operation at `boundary`, let others take over, and say what is wrong then."""
        case = self.case
        killed = await self.do(case.act, case.age, boundary)
        wrong = [] if killed.exit == KILLED else [f"it was not killed, but ended {killed}"]
        wrong += await self.reconciled(case.age + LATER)
        repeated = await self.do(case.act, case.age + LATER)
        if repeated.said not in ("committed", "pre_commit"):
            wrong.append(f"its repeat ended {repeated}")
        wrong += await self.broken()
        status = (await self._document() or {}).get("status")
        if repeated.said == "committed" and status != case.brings:
            wrong.append(f"its repeat said committed, and the bounty is {status}")
        return [f"{boundary}: {each}" for each in wrong]

    async def reconciled(self, age: timedelta) -> list[str]:
        """What the reconciler, in a process of its own, leaves wrong or says it cannot end."""
        report = await self.do("reconcile", age)
        left = [f"the reconciler ended {report}"] if report.exit or report.said else []
        return left + await self.broken()

    async def broken(self) -> list[str]:
        """What is wrong with the files and the ledger as they are."""
        return broken(await self._document(), self._leases(), Books(self.ledger))

    async def _document(self) -> dict[str, Any] | None:
        """The bounty, read over HTTP; a tombstone is no bounty."""
        bounty = await self._read("/zones/default/bounties/b-1.json")
        ops = bounty["nexusBounty"]["ops"] if bounty else []
        return None if all(op.get("aborted") for op in ops) else bounty

    async def _read(self, path: str) -> dict[str, Any] | None:
        body = {"jsonrpc": "2.0", "id": 1, "method": "read", "params": {"path": path}}
        answer = (await self.http.post(f"{self.url}/api/nfs/read", json=body)).json()
        if answer.get("error"):
            return None
        result = answer["result"]
        data = result["data"] if isinstance(result, dict) else result
        return dict(json.loads(base64.b64decode(data)))

    def _leases(self) -> list[str]:
        """Who holds an active lease, wherever they are kept."""
        with closing(sqlite3.connect(self.ledger)) as connection:
            rows = connection.execute("SELECT document FROM claims").fetchall()
        on_nexus = (
            self.mock.read_file(path) or b"{}"
            for path in self.mock.files
            if path.startswith("/zones/default/claims/")
        )
        claims = [json.loads(text) for text in (*(row[0] for row in rows), *on_nexus)]
        return [each["agent"]["agentId"] for each in claims if each["status"] == "active"]


class Books:
    """What the ledger's file says, by plain SQL, every balance counted from the journal."""

    def __init__(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            self.intact = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            entries = connection.execute(
                "SELECT kind, source_id, debit, credit, amount FROM entries ORDER BY entry_id"
            ).fetchall()
            self.written = dict(connection.execute("SELECT name, balance FROM accounts"))
            self.escrow = connection.execute(
                "SELECT status, captured_to, amount FROM reservations"
            ).fetchall()
        self.counted: Counter[str] = Counter()
        for _, _, debit, credit, amount in entries:
            self.counted.update({debit: -amount, credit: amount})
        self.captures = [entry for entry in entries if entry[0] == "capture"]


def broken(bounty: dict[str, Any] | None, leases: list[str], books: Books) -> list[str]:
    """Every invariant that does not hold at rest."""
    wrong = [] if books.intact else ["the file is damaged"]
    if {name: amount for name, amount in books.counted.items() if amount} != {
        name: amount for name, amount in books.written.items() if amount
    }:
        wrong.append(f"balances {books.written} do not follow from the journal")
    people = sum(amount for name, amount in books.written.items() if name != "system:mint")
    if people != FUNDS:
        wrong.append(f"there are {people} credits, not {FUNDS}")
    status = bounty["status"] if bounty else None
    holder = (bounty or {}).get("claimedBy", {}).get("agentId")
    expected: dict[str | None, list[Any]] = {
        "open": [[("held", None, PRICE)]],
        "claimed": [[("held", None, PRICE)]],
        "settled": [[("captured", holder, PRICE)]],
        "cancelled": [[], [("voided", None, PRICE)]],
        "expired": [[], [("voided", None, PRICE)]],
        None: [[]],
    }
    if books.escrow not in expected.get(status, []):
        wrong.append(f"the bounty is {status} and its escrow {books.escrow}")
    if len(books.captures) != (status == "settled"):
        wrong.append(f"the bounty is {status}, paid {len(books.captures)} times")
    if leases != ([holder] if status == "claimed" else []):
        wrong.append(f"the bounty is {status} by {holder} and leased to {leases}")
    return wrong


EVERY_FIFTH = 5
"""Odd, so that moments before a request and after one take turns."""


def _quick(case: Case) -> Any:
    """Releasing a lease in the ledger's file is what cancelling does, too."""
    if case.act == "release" and case.claims == "sqlite":
        return pytest.param(case, id=case.name, marks=pytest.mark.exhaustive)
    quick = case.act in ("create", "settle") and case.claims == "nexus"
    return thorough_unless(quick, case, case.name)


@sample_and_all
@pytest.mark.parametrize("case", [_quick(case) for case in CASES])
@pytest.mark.asyncio(loop_scope="module")
async def test_whatever_a_process_was_doing_when_it_was_killed_another_one_ends(
    case: Case, sample: bool, nursery: Nursery, tmp_path: Path
) -> None:
    """Killed at each boundary, reconciled and repeated by others: every invariant holds."""
    wrong = []
    async with _a_stage(case, nursery, tmp_path) as stage:
        await stage.prepare()
        stage.keep()
        whole = await stage.do(case.act, case.age)
        assert (whole.exit, whole.said) == (0, "committed")
        for boundary in range(1, whole.boundaries + 1, EVERY_FIFTH if sample else 1):
            stage.restore()
            wrong += await stage.try_boundary(boundary)
    assert whole.boundaries >= 8
    assert not wrong


@pytest.mark.exhaustive
@pytest.mark.asyncio(loop_scope="module")
async def test_a_reconciler_that_is_killed_is_continued_by_the_next(
    nursery: Nursery, tmp_path: Path
) -> None:
    """A settle dies after the pivot, the reconciler at each boundary; the next one ends it."""
    case = Case("settle", ("create", "claim"), "settled")
    wrong = []
    async with _a_stage(case, nursery, tmp_path) as stage:
        await stage.prepare()
        assert (await stage.do("settle", timedelta(0), die_at=8)).exit == KILLED
        stage.keep()
        whole = await stage.do("reconcile", LATER)
        assert (whole.exit, whole.said) == (0, "")
        for boundary in range(1, whole.boundaries + 1):
            stage.restore()
            killed = await stage.do("reconcile", LATER, boundary)
            wrong += [] if killed.exit == KILLED else [f"{boundary}: not killed: {killed}"]
            wrong += [f"{boundary}: {each}" for each in await stage.reconciled(LATER + MINUTES)]
    assert not wrong


@asynccontextmanager
async def _a_stage(case: Case, nursery: Nursery, directory: Path) -> AsyncIterator[Stage]:
    mock = MockNexus("0.10-hypothetical")
    async with (
        running(mock) as url,
        httpx.AsyncClient(verify=False) as http,
    ):
        yield Stage(mock, url, nursery, http, directory / "ledger.db", case)


def _copy(source: Path, target: Path) -> Path:
    """A copy of a ledger that nobody has open, its write-ahead log included."""
    for suffix in ("", "-wal", "-shm"):
        part = source.with_name(source.name + suffix)
        if part.exists():
            shutil.copy(part, target.with_name(target.name + suffix))
    return target
