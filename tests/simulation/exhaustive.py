"""Every schedule with one fault of each operation beside a rival, and with two of the main ones.

The main ones are run on every server, and so both where documents are written and by name.

The rival goes before each turn of the operation, and after them all; the faults hit each turn, in
each way of which a specimen is in `hazards.ONE_OF_EACH`. What a fault changes (retries, fences)
is found out by running it: the second fault hits every turn that there is after the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.simulation import hazards
from tests.simulation.scenario import ETAGS, SERVERS, Actor, Scenario, Schedule
from tests.simulation.simulation import Result

Run = Callable[[Schedule], Result]
Ran = tuple[Schedule, Result]


@dataclass(frozen=True)
class Case:
    """An operation, where it starts, and who gets in its way."""

    operation: str
    start: str
    actor: str
    rival: str
    rival_does: str
    rival_keys: str = ""
    """Whose keys the rival uses, if not its own."""

    def scenario(self, server: str, etag: str, *, impatient: bool = False) -> Scenario:
        """The two of them."""
        return Scenario(
            start=self.start,
            actors=(
                Actor(name=self.actor, does=(self.operation,), impatient=impatient),
                Actor(name=self.rival, does=(self.rival_does,), keys=self.rival_keys),
            ),
            server=server,
            etag=etag,
        )

    @property
    def name(self) -> str:
        """As people call it."""
        key = " with the same key" if self.rival_keys else ""
        against = f"{self.rival_does} by {self.rival}{key}"
        return f"{self.operation} of what is {self.start} by {self.actor} against {against}"


CASES: Final = (
    Case("create", "nothing", "alice", "ann", "create"),
    Case("claim", "open", "bob", "carol", "claim"),
    Case("settle", "claimed", "bob", "alice", "cancel"),
    Case("cancel", "open", "alice", "bob", "claim"),
    Case("expire", "overdue", "janitor", "alice", "cancel"),
    Case("create", "nothing", "alice", "bob", "claim"),
    Case("claim", "open", "bob", "alice", "cancel"),
    Case("settle", "claimed", "bob", "carol", "settle cid-2"),
    Case("cancel", "claimed", "alice", "bob", "settle"),
    Case("expire", "overdue claimed", "janitor", "bob", "settle"),
    Case("claim", "claimed", "bob", "alice", "cancel"),
    Case("release", "claimed", "bob", "carol", "claim"),
    Case("renew", "claimed", "bob", "alice", "cancel"),
    Case("claim", "open", "bob", "bob2", "claim"),
    Case("create", "nothing", "alice", "alice2", "create", rival_keys="alice"),
    Case("claim", "open", "bob", "bob2", "claim", rival_keys="bob"),
    Case("settle", "claimed", "bob", "bob2", "settle", rival_keys="bob"),
)
MAIN_CASES: Final = CASES[:5]
"""One for each operation."""

TWO_AT_A_TIME: Final = (
    "status_before-403",
    "drop_before",
    "drop_after",
    "late-timeout-1000",
    "duplicate_echo",
    "crash-after",
)
LEDGER: Final = ("ledger-refused", "ledger-lost-before", "ledger-lost-after", "crash-after")
LEDGER_LOOK: Final = ("ledger-lost-before", "crash-after")


@dataclass(frozen=True)
class Part:
    """A part of the whole that one worker does: a case on one kind of server."""

    case: Case
    etag: str
    faults: int
    impatient: bool = False
    server: str = SERVERS[0]

    @property
    def name(self) -> str:
        """As people call it."""
        hurry = ", impatient" if self.impatient else ""
        where = f"a server like {self.server} with {self.etag} etags"
        return f"{self.faults} faults, {self.case.name}, on {where}{hurry}"

    def interleavings(self, run: Run) -> int:
        """In how many ways the rival can get in between."""
        return len(self._interleavings(run))

    def trials(self, run: Run, interleaving: int | None = None) -> Iterator[Ran]:
        """Run every schedule of this part, or of one interleaving."""
        for number, choices in enumerate(self._interleavings(run)):
            if interleaving in (None, number):
                calm = Schedule(scenario=self._scenario, choices=choices)
                yield from self._with_faults(run, calm, self.faults, after=0)

    @property
    def _scenario(self) -> Scenario:
        return self.case.scenario(self.server, self.etag, impatient=self.impatient)

    def _interleavings(self, run: Run) -> list[dict[str, str]]:
        """The rival after the operation, and before each turn of it."""
        calm = run(Schedule(scenario=self._scenario))
        before = [
            {f"{actor}.{number}.after": self.case.rival}
            for actor, number, _ in calm.turns
            if actor == self.case.actor
        ]
        return [{}, *before]

    def _with_faults(self, run: Run, schedule: Schedule, left: int, after: int) -> Iterator[Ran]:
        """Run `schedule`, then with up to `left` faults more, each after turn `after`."""
        if not left:
            yield schedule, run(schedule)  # not held here: it is garbage once it is looked at
            return
        result = run(schedule)
        yield schedule, result
        for actor, number, where in result.turns:
            if not self._may_be_hit(actor, number, after):
                continue
            for hazard in self._hazards(where):
                name = f"{actor}.{number}.fault"
                more = Schedule(
                    scenario=schedule.scenario, choices={**schedule.choices, name: hazard}
                )
                yield from self._with_faults(run, more, left - 1, number)

    def _may_be_hit(self, actor: str, number: int, after: int) -> bool:
        if self.faults == 1:
            return True
        return actor == self.case.actor and number > after

    def _hazards(self, where: str) -> tuple[str, ...]:
        if where == "ledger look":
            return LEDGER_LOOK
        if where.startswith("ledger"):
            return LEDGER
        return hazards.ONE_OF_EACH if self.faults == 1 else TWO_AT_A_TIME


def parts(faults: int) -> list[Part]:
    """What there is to do, in parts for the workers."""
    by_rename = [
        Part(case, "content", faults, server=server)
        for case in MAIN_CASES
        for server in SERVERS[1:]
    ]
    if faults > 1:
        return [Part(case, etag, faults) for case in MAIN_CASES for etag in ETAGS] + by_rename
    by_preconditions = [
        Part(case, etag, 1, impatient)
        for case in CASES
        for etag in ETAGS
        for impatient in (False, True)
    ]
    return by_preconditions + by_rename
