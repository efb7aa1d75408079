"""What the console works on, what it holds of it, and what it can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from nexus_bounty import events
from nexus_bounty.events.log import logger_of
from nexus_bounty.nexus.bounties.store import NexusBountyStore
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.probe import ProbeReport, probe
from nexus_bounty.operations import BountyOperations
from nexus_bounty.operations.explaining import clues_to, explained, made_definite
from nexus_bounty.operations.steps import OperationKind
from nexus_bounty.operations.verdicts import Explanation
from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.ports import JournaledOperation, OperationJournal
from nexus_bounty.reconcile import Reconciler, ReconcileReport
from nexus_bounty.reconcile.audit import MoneyAudit, audit_money
from nexus_bounty.reconcile.reconciler import SWEEPS
from nexus_bounty.reconcile.sweep import Problem, Scope, Sweep
from nexus_bounty_console.board import Board, read_board, read_living
from nexus_bounty_console.changes import BOUNTIES, WORK, Changes, about
from nexus_bounty_console.jobs import ANYBODY, Job, JobKind, JobRunner, Tell
from nexus_bounty_console.lives import BountyLife, read_life
from nexus_bounty_console.requests_seen import RequestsSeen
from nexus_bounty_console.snapshots import SharedReading
from nexus_bounty_console.stranded import Stranded, read_stranded
from nexus_bounty_console.treasury import Escrow, read_escrow

logger = logger_of("nexus_bounty.console")

LASTS: Final = timedelta(seconds=5)
"""For how long what was read is shown without another look."""
WHOLE_EVERY: Final = timedelta(minutes=5)
"""How often bounties that have ended are looked at again, which only other programs change."""
AT_MOST: Final = 0.1
"""Which part of the time looking again may take, where it takes long."""
LONGEST: Final = timedelta(minutes=1)
"""How long not to look at most, however long it takes."""


@dataclass(frozen=True)
class OpenDoubts:
    """The operations in doubt, the oldest first.

    Attributes:
        operations: As the journal has them.
        persistent: Whether those of other processes are among them.
    """

    operations: Sequence[JournaledOperation]
    persistent: bool


class OneSubject:
    """A sweep that looks at one thing alone: what an operator has chosen to repair."""

    def __init__(self, sweep: Sweep, subject: str) -> None:
        self.name = sweep.name
        self._sweep = sweep
        self._subject = subject

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """The problems of that one."""
        async for problem in self._sweep.find(scope):
            if problem.subject == self._subject:
                yield problem


@dataclass
class ConsoleDesk:
    """The systems, and what is held of them for whoever looks.

    Attributes:
        operations: On whichever systems.
        nexus: The server, for the doctor.
        store: The bounties.
        grace: What was touched less than this ago may still be under way, and is left alone.
        lasts: For how long what was read is shown without another look.
        stop_within: How long the repair under way may take when the console is stopped.
    """

    operations: BountyOperations
    nexus: NexusClient
    store: NexusBountyStore
    grace: timedelta = timedelta(minutes=5)
    lasts: timedelta = LASTS
    stop_within: timedelta = timedelta(seconds=20)
    changes: Changes = field(default_factory=Changes)
    requests: RequestsSeen = field(default_factory=RequestsSeen)
    board: SharedReading[Board] = field(init=False)
    escrow: SharedReading[Escrow] = field(init=False)
    doubts: SharedReading[OpenDoubts] = field(init=False)
    jobs: JobRunner = field(init=False)
    _in_trouble: bool = False
    _whole_at: datetime | None = None

    def __post_init__(self) -> None:
        """Make what holds things."""
        clock = self.operations.services.clock
        self.board = SharedReading(self._read_board, lasts=self.lasts, clock=clock)
        self.escrow = SharedReading(self._read_escrow, lasts=self.lasts, clock=clock)
        self.doubts = SharedReading(self._read_doubts, lasts=self.lasts, clock=clock)
        self.jobs = JobRunner(partial(self.changes.tell, [WORK]), clock)

    @property
    def now(self) -> datetime:
        """The current time, aware."""
        return self.operations.services.clock()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Look again from time to time while somebody has a page open; close everything after."""
        with events.register(self.requests):
            looking = asyncio.ensure_future(self._keep_looking())
            try:
                yield
            finally:
                looking.cancel()
                with suppress(asyncio.CancelledError):
                    await looking
                await self.jobs.close(self.stop_within)
                for each in (self.board, self.escrow, self.doubts):
                    await each.close()

    async def life(self, bounty_id: str) -> BountyLife:
        """Everything that is known of one bounty.

        Raises:
            As `read_life`.
        """
        services = self.operations.services
        return await read_life(services, self.store, bounty_id, self.requests.of(bounty_id))

    async def explanation(self, key: str) -> Explanation:
        """What became of the operation with `key`.

        Raises:
            As `explained`.
        """
        return await explained(self.operations.services, key, None)

    async def find_out(
        self, who: str, key: str, bounty_id: str, operation: OperationKind
    ) -> Explanation:
        """Make it definite what became of an operation: it happened, or never will.

        Raises:
            As `made_definite`.
        """
        services = self.operations.services
        asked = operation, bounty_id, key, who or ANYBODY
        logger.warning("%s of %s [key %s] is to be found out for good, for %s", *asked)
        clues = await clues_to(services, key)
        explanation = await made_definite(
            services, clues, key, bounty_id, operation, by="the console"
        )
        await self.look_again()
        return explanation

    async def stranded(self, reservation_id: str) -> Stranded | None:
        """One reservation, and whether an operator may free it; `None` if there is none.

        Raises:
            As `read_stranded`.
        """
        return await read_stranded(self.operations.services, reservation_id, self.grace)

    async def rescue(
        self, who: str, reservation_id: str, to_account: str | None, because: str
    ) -> None:
        """Free credits that no rule can, for the reason that somebody gives.

        Raises:
            InvalidInputError: There are none, or a rule can, or no reason is given.
            PaymentError: They have gone elsewhere meanwhile.
            CommitUnknownError: The ledger did not say.
            NexusError: Their bounty could not be read.
        """
        found = await self.stranded(reservation_id)
        if found is None or not found.may_be_rescued:
            standing = found.standing if found else "there is none of that name"
            raise InvalidInputError(
                "reservation", reservation_id, f"is not to be freed: {standing}"
            )
        whom = who or ANYBODY
        to = to_account or found.reservation.account
        logger.warning("%s is freed and goes to %s, for %s: %s", reservation_id, to, whom, because)
        credit = self.operations.services.credits
        because = f"{because} ({whom})" if because.strip() else because
        await credit.rescue(reservation_id, to_account=to_account, because=because)
        await self.look_again()
        self.changes.tell([BOUNTIES, about(found.bounty_id)])

    def dry_run(self, who: str) -> Job:
        """Let the reconciler look, and change nothing.

        Raises:
            BusyError: Something else is running.
        """
        reconciler = Reconciler(self.operations, grace=self.grace, dry_run=True)
        work = partial(self._reconcile, reconciler)
        return self.jobs.start(JobKind.DRY_RUN, "Dry run", who, work)

    def repair(self, who: str, sweep: str | None = None, subject: str | None = None) -> Job:
        """Let the reconciler repair what one of its sweeps finds of one thing, or all it finds.

        Raises:
            InvalidInputError: There is no such sweep.
            BusyError: Something else is running.
        """
        sweeps: Sequence[Sweep] = SWEEPS
        if sweep is not None and subject is not None:
            chosen = [each for each in SWEEPS if each.name == sweep]
            if not chosen:
                raise InvalidInputError("sweep", sweep, "must be the name of a sweep")
            sweeps = [OneSubject(chosen[0], subject)]
        what = f"Repair of {subject}" if subject else "Repair of all that is found"
        reconciler = Reconciler(self.operations, grace=self.grace, sweeps=sweeps)
        work = partial(self._reconcile, reconciler)
        return self.jobs.start(JobKind.REPAIR, what, who, work, reconciler.at_rest)

    def audit(self, who: str) -> Job:
        """Let every reservation be compared with every bounty, and the ledger be recounted.

        Raises:
            BusyError: Something else is running.
        """
        return self.jobs.start(JobKind.AUDIT, "Audit", who, self._audit)

    def doctor(self, who: str) -> Job:
        """Find out by trying how commits are safe on the server; writes to a zone of its own.

        Raises:
            BusyError: Something else is running.
        """
        return self.jobs.start(JobKind.DOCTOR, "Doctor", who, self._doctor)

    async def look_again(self) -> None:
        """Read everything that is held, now: something has changed it."""
        found = await asyncio.gather(
            self.board.refresh(),
            self.escrow.refresh(),
            self.doubts.refresh(),
            return_exceptions=True,
        )
        errors = [each for each in found if isinstance(each, Exception)]
        for error in errors:
            logger.warning("could not look again: %s", error)
        if bool(errors) != self._in_trouble:
            self._in_trouble = bool(errors)
            self.changes.tell([BOUNTIES])

    async def _reconcile(self, reconciler: Reconciler, tell: Tell) -> ReconcileReport:
        found = 0

        def count(_finding: object) -> None:
            nonlocal found
            found += 1

        def step(sweep: str, _at: str) -> None:
            tell(f"{sweep}, {found} found so far")

        report = await reconciler.run_once(count, on_step=step)
        if not report.dry_run:
            await self.look_again()
            subjects = {each.subject for each in report.findings}
            self.changes.tell([BOUNTIES, *map(about, subjects)])
        return report

    async def _audit(self, tell: Tell) -> MoneyAudit:
        tell("comparing reservations and bounties")
        return await audit_money(self.operations, self.grace)

    async def _doctor(self, tell: Tell) -> ProbeReport:
        return await probe(self.nexus, tell)

    async def _read_board(self, before: Board | None) -> Board:
        whole_at = self._whole_at
        if before is None or whole_at is None or self.now - whole_at >= WHOLE_EVERY:
            board = await read_board(self.store)
            self._whole_at = self.now
        else:
            board = await read_living(self.store, before)
        if changed := board.changed_since(before) if before else set():
            self.changes.tell([BOUNTIES, *map(about, changed)])
        return board

    async def _read_escrow(self, before: Escrow | None) -> Escrow:
        escrow = await read_escrow(self.operations.services.credits)
        if before is not None and escrow != before:
            self.changes.tell([BOUNTIES])
        return escrow

    async def _read_doubts(self, before: OpenDoubts | None) -> OpenDoubts:
        services = self.operations.services
        zone = services.store.zone_id
        found = [each async for each in services.journal.open_operations(zone)]
        doubts = OpenDoubts(found, isinstance(services.credits, OperationJournal))
        if before is not None and doubts != before:
            told = {each.bounty_id for each in [*found, *before.operations]}
            self.changes.tell([BOUNTIES, *map(about, told)])
        return doubts

    async def _keep_looking(self) -> None:
        """Look again every `lasts`, less often where that takes long, while anybody watches."""
        clock = asyncio.get_running_loop().time
        pause = every = self.lasts.total_seconds()
        while True:
            await asyncio.sleep(pause)
            if self.changes.are_awaited:
                began = clock()
                await self.look_again()
                pause = max(every, min((clock() - began) / AT_MOST, LONGEST.total_seconds()))
