"""How others fare under the same schedules: the naive operations, and resolvers that look right.

Every schedule with one fault of every operation beside a rival is run over each of them, and held
against the same applied log and ledger. Then the conformance kit does the same, over sockets, to
clients of other stores that have conditional writes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from nexus_bounty import AgentIdentity, Bounty, NexusClient
from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.documents.commits import Aborted, CommitResult, Committed, Intent, Trail
from nexus_bounty.outcomes import Proof
from nexus_bounty.testing.virtual_time import wall_clock
from tests.simulation import conformance, oracles
from tests.simulation.actors import Done, Process, Surroundings
from tests.simulation.decisions import Decisions
from tests.simulation.exhaustive import CASES, Case, Part
from tests.simulation.network import LedgerLine, Line
from tests.simulation.scenario import Schedule
from tests.simulation.simulation import Result, Simulation, replay
from tests.simulation.work import prepare
from tests.support.naive_commits import TrustingCommit, UnfencedCommit
from tests.support.naive_operations import NaiveOperations, NaiveStore
from tests.support.world import Strategy

DONE_BY_STATUS: Final = {
    "create": "open",
    "claim": "claimed",
    "settle": "settled",
    "cancel": "cancelled",
}


class _ByAReading(UnfencedCommit):
    """Finds out by a read alone what became of an operation."""

    async def abort(self, intent: Intent, deadline: Deadline, trail: Trail) -> CommitResult:
        try:
            document = await self.reads.read(intent.path, deadline)
        except NexusError:
            document = None
        if document and document.history.find(intent.record.key):
            return Committed(document, Proof.IN_HISTORY)
        return Aborted(Proof.REFUSED)


class _Trusting(TrustingCommit):
    """Believes every answer; what is asked about afterwards has not happened."""

    async def abort(self, intent: Intent, deadline: Deadline, trail: Trail) -> CommitResult:
        return Aborted(Proof.REFUSED)


class _NaiveFacade:
    """The naive operations under the names that actors use."""

    def __init__(self, naive: NaiveOperations, *, pays_first: bool) -> None:
        self._naive = naive
        self._pays_first = pays_first

    async def create(self, bounty: Bounty, *, idempotency_key: str) -> None:
        await self._naive.create(bounty)

    async def claim(self, bounty_id: str, who: AgentIdentity, *, idempotency_key: str) -> None:
        await self._naive.claim(bounty_id, who)

    async def settle(self, bounty_id: str, cid: str, *, idempotency_key: str) -> None:
        settle = self._naive.pay_then_settle if self._pays_first else self._naive.settle_then_pay
        await settle(bounty_id, cid)

    async def cancel(self, bounty_id: str, *, idempotency_key: str) -> None:
        await self._naive.cancel(bounty_id)


class _NaiveProcess(Process):
    """A process that works with the naive operations."""

    def __init__(self, around: Surroundings, name: str, number: int, *, pays_first: bool) -> None:
        super().__init__(around, name, number)
        client = NexusClient(transport=Line(around.network), settings=self.client.settings)
        ledger: Any = LedgerLine(around.ledger, around.network)
        naive = NaiveOperations(
            NaiveStore(client),
            ledger,
            NexusClaimStore(client, commit="conditional", clock=wall_clock),
        )
        operations: Any = _NaiveFacade(naive, pays_first=pays_first)
        self.operations = operations


class _NaiveSimulation(Simulation):
    """Only what happens, and what it was called: there is nothing to resolve or to repeat with."""

    pays_first = False

    def _process(self, name: str, *, skew: int = 0, impatient: bool = False) -> Process:
        self._made += 1
        return _NaiveProcess(self._around, name, self._made, pays_first=self.pays_first)

    async def _whole(self) -> None:
        await self._act()
        self._heal()
        await self.mock.settle()
        self.watch()
        self.violations += self.watch.wrong
        reached = [status for status, _ in oracles.Truth.of(self.mock).statuses]
        for done in self.done:
            self.violations += _wrongly_told(done, reached)


class _PayingFirst(_NaiveSimulation):
    pays_first = True


def _wrongly_told(done: Done, reached: list[str]) -> Iterator[str]:
    """An exception of a naive operation says "it failed"; a return says that it is done."""
    status = DONE_BY_STATUS[done.operation]
    if done.verdict == "committed" and status not in reached:
        yield f"wrong verdict: {done.operation} returned, and it never landed"
    failed = done.verdict.startswith("escaped") or done.verdict in ("pre_commit", "unknown")
    if failed and status in reached:
        yield f"wrong verdict: {done.operation} failed, and it landed"


def _naively(kind: type[_NaiveSimulation]) -> Callable[[Schedule], Result]:
    def run(schedule: Schedule) -> Result:
        return kind(schedule.scenario, Decisions(schedule.choices)).run()

    return run


def _with(strategy: Strategy) -> Callable[[Schedule], Result]:
    return lambda schedule: replay(schedule, strategy)


@dataclass(frozen=True)
class Candidate:
    """Something that claims to keep bounties safe."""

    name: str
    run: Callable[[Schedule], Result]


CANDIDATES: Final = (
    Candidate("nexus-bounty", replay),
    Candidate("nexus-bounty, doubt resolved by a read alone", _with(_ByAReading)),
    Candidate("nexus-bounty, every answer believed", _with(_Trusting)),
    Candidate("naive operations, settled and then paid", _naively(_NaiveSimulation)),
    Candidate("naive operations, paid and then settled", _naively(_PayingFirst)),
)


@dataclass
class Score:
    """How one candidate fared."""

    name: str
    schedules: int = 0
    violating: int = 0
    wrong_verdicts: int = 0
    broken_money: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """Count one run."""
        self.schedules += 1
        self.violating += bool(result.violations)
        told = [each for each in result.violations if _is_about_verdicts(each)]
        self.wrong_verdicts += bool(told)
        self.broken_money += len(told) < len(result.violations)
        self.kinds.update(set(result.violations))


def _is_about_verdicts(violation: str) -> bool:
    return violation.startswith(("wrong verdict", "unresolved", "not linearizable")) or (
        " escaped as " in violation
    )


def cases() -> list[Case]:
    """The cases that every candidate can be put through: the naive ones know no expiry."""
    known = DONE_BY_STATUS.keys()
    return [case for case in CASES if {case.operation, case.rival_does} <= known]


def score(candidate: Candidate, at_most: int | None = None) -> Score:
    """Run every schedule with one fault over a candidate, or the first `at_most` of each case."""
    total = Score(candidate.name)
    for case in cases():
        trials = Part(case, "content", 1).trials(candidate.run)
        for _, result in islice(trials, at_most):
            total.add(result)
    return total


def _score_one(number: int) -> Score:
    prepare()
    return score(CANDIDATES[number])


def keep_score(console: Console, *, workers: int | None = None, as_json: bool = False) -> int:
    """Print how everybody fares; returns 1 if ours does not come out clean."""
    with (
        console.status("every schedule with one fault, over each of them: some minutes …"),
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor,
    ):
        scores = list(executor.map(_score_one, range(len(CANDIDATES))))
    console.print(_table(scores))
    with console.status("clients of other stores …"):
        trials = conformance.run_all()
    console.print(conformance.table(trials))
    if as_json:
        print(json.dumps(_as_json(scores, trials)))  # noqa: T201 - the answer
    return bool(scores[0].violating)


def _table(scores: list[Score]) -> Table:
    table = Table(title="every schedule with one fault beside a rival")
    for name in ("", "schedules", "violating", "wrong verdicts", "broken money", "most often"):
        table.add_column(name, justify="left" if name in ("", "most often") else "right")
    for each in scores:
        figures = (each.schedules, each.violating, each.wrong_verdicts, each.broken_money)
        often = each.kinds.most_common(1)
        table.add_row(
            each.name, *(f"{figure:,}" for figure in figures), often[0][0] if often else ""
        )
    return table


def _as_json(scores: list[Score], trials: list[conformance.Trial]) -> dict[str, Any]:
    return {
        "scores": {
            each.name: {"schedules": each.schedules, "violating": each.violating} for each in scores
        },
        "conformance": [each.as_json() for each in trials],
    }
