"""Any sequence of calls leaves both ledgers as a trivial model has it."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from nexus_bounty.ledger import LedgerCredits
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.outcomes import IdempotencyMismatchError, PreCommitError
from nexus_bounty.testing import ManualClock
from nexus_bounty_postgres import PostgresCredits
from nexus_bounty_sqlite import SqliteCredits
from tests.support.postgres import clean
from tests.support.sampling import thorough_unless

HOUR = timedelta(hours=1)
NAMES = ["alice", "bob", "carol"]
accounts = st.sampled_from(NAMES)
ids = st.sampled_from([f"id-{number}" for number in range(6)])
amounts = st.integers(min_value=1, max_value=60)


@dataclass
class Held:
    """A reservation as the model sees it."""

    account: str
    amount: int
    expires_hour: int | None
    status: str = "held"
    captured_to: str | None = None


@dataclass
class Model:
    """A ledger without a journal: what is free, and the reservations."""

    hour: int = 0
    free: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    held: dict[str, Held] = field(default_factory=dict)
    moves: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def reserve(self, name: str, account: str, amount: int, expires_hour: int | None) -> bool:
        if name in self.held:
            asked = (account, amount, expires_hour)
            known = self.held[name]
            return asked == (known.account, known.amount, known.expires_hour)
        if expires_hour is not None and expires_hour <= self.hour:
            return False
        if self.free[account] < amount:
            return False
        self.free[account] -= amount
        self.held[name] = Held(account, amount, expires_hour)
        return True

    def capture(self, name: str, to_account: str) -> bool:
        known = self.held.get(name)
        if known is None or known.status != "held":
            return known is not None and known.captured_to == to_account
        self.end(known, "captured", to_account)
        known.captured_to = to_account
        return True

    def void(self, name: str) -> bool:
        known = self.held.get(name)
        if known is not None and known.status == "held":
            self.end(known, "voided", known.account)
        return known is not None and known.status != "captured"

    def move(self, name: str, source: str | None, target: str, amount: int) -> bool:
        asked = (source, target, amount)
        if name in self.moves:
            return self.moves[name] == asked
        if source is not None:
            if self.free[source] < amount:
                return False
            self.free[source] -= amount
        self.free[target] += amount
        self.moves[name] = asked
        return True

    def pass_an_hour(self) -> None:
        self.hour += 1
        for known in self.held.values():
            due = known.expires_hour is not None and known.expires_hour <= self.hour
            if known.status == "held" and due:
                self.end(known, "expired", known.account)

    def end(self, known: Held, status: str, payee: str) -> None:
        known.status = status
        self.free[payee] += known.amount


class LedgerMachine(RuleBasedStateMachine):
    """Makes the same calls to a ledger and to the model; both must agree on every answer."""

    kind = "memory"
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.start = self.clock.now
        self.model = Model()
        self.ledger: LedgerCredits = MemoryCredits(clock=self.clock)
        if self.kind == "sqlite":
            self.ledger = SqliteCredits(Path(self.folder.name) / "ledger.db", clock=self.clock)
        if self.kind == "postgres":
            self.ledger = PostgresCredits(clean(self.url), clock=self.clock)

    def teardown(self) -> None:
        self.runner.run(self.ledger.close())
        self.runner.close()
        self.folder.cleanup()

    def agree(self, expected: bool, call: Any) -> None:
        try:
            self.runner.run(call)
        except (PreCommitError, IdempotencyMismatchError):
            assert not expected
        else:
            assert expected

    @initialize()
    def begin_with_credits(self):
        for name in NAMES:
            self.top_up(f"fund-{name}", name, 100)

    @rule(name=ids, account=accounts, amount=amounts)
    def top_up(self, name, account, amount):
        expected = self.model.move(name, None, account, amount)
        self.agree(expected, self.ledger.top_up(name, account=account, amount=amount))

    @rule(name=ids, payer=accounts, payee=accounts, amount=amounts)
    def transfer(self, name, payer, payee, amount):
        expected = payer != payee and self.model.move(name, payer, payee, amount)
        call = self.ledger.transfer(name, from_account=payer, to_account=payee, amount=amount)
        self.agree(expected, call)

    @rule(name=ids, account=accounts, amount=amounts, hours=st.none() | st.integers(0, 2))
    def reserve(self, name, account, amount, hours):
        expires_hour = None if hours is None else self.model.hour + hours
        expected = self.model.reserve(name, account, amount, expires_hour)
        expires_at = None if expires_hour is None else self.start + expires_hour * HOUR
        call = self.ledger.reserve(name, account=account, amount=amount, expires_at=expires_at)
        self.agree(expected, call)

    @rule(name=ids, to_account=accounts)
    def capture(self, name, to_account):
        expected = self.model.capture(name, to_account)
        self.agree(expected, self.ledger.capture(name, to_account=to_account))

    @rule(name=ids)
    def void(self, name):
        self.agree(self.model.void(name), self.ledger.void(name))

    @rule()
    def pass_an_hour(self):
        self.clock.advance(HOUR)
        self.model.pass_an_hour()

    @invariant()
    def balances_and_reservations_are_those_of_the_model(self):
        self.runner.run(self.compare())

    async def compare(self) -> None:
        for name in NAMES:
            known = [held for held in self.model.held.values() if held.account == name]
            reserved = sum(held.amount for held in known if held.status == "held")
            balance = await self.ledger.balance(name)
            assert (balance.available, balance.reserved) == (self.model.free[name], reserved)
        found = {item.reservation_id: item async for item in self.ledger.reservations()}
        statuses = {name: (item.status.value, item.captured_to) for name, item in found.items()}
        assert statuses == {
            name: (held.status, held.captured_to) for name, held in self.model.held.items()
        }
        audit = await self.ledger.verify()
        assert audit.ok, audit.problems
        assert audit.sums.balanced


@pytest.mark.parametrize(
    ("kind", "examples"),
    [
        ("memory", 30),
        ("sqlite", 10),
        ("postgres", 2),
        *(thorough_unless(False, (kind, 60)) for kind in ("memory", "sqlite", "postgres")),
    ],
)
def test_any_sequence_of_calls_leaves_the_ledger_as_the_model_has_it(request, kind, examples):
    """Answers, balances and reservations agree after every step, and the audit finds nothing."""
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else ""
    machine = type(f"{kind}Machine", (LedgerMachine,), {"kind": kind, "url": url})
    bounded = settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=bounded)
