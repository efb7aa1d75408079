"""A console on a mock, with whatever has happened there, and a client for it."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
from starlette.types import ASGIApp

from nexus_bounty import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyOperations,
    Contribution,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusSettings,
)
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.mock import MockNexus
from nexus_bounty.models import utc_now
from nexus_bounty.outcomes import OutcomeError
from nexus_bounty.ports import reference_of
from nexus_bounty.testing import StepFaults
from nexus_bounty.testing.faulty_credits import FaultyCredits
from nexus_bounty.testing.room import a_mock
from nexus_bounty.testing.steps import StepFault, is_of_ledger, step_fault
from nexus_bounty_console.access import Access
from nexus_bounty_console.app import make_app
from nexus_bounty_console.desk import ConsoleDesk

ZONE = "default"
QUICK = NexusSettings(
    retry_base=0,
    request_timeout=1,
    operation_timeout=10,
    retry_attempts=2,
    remembered_documents=50_000,
)
ALICE, BOB = AgentIdentity(agent_id="alice"), AgentIdentity(agent_id="bob")
HERE = "http://localhost"


@dataclass
class Clock:
    """The time, which goes on by itself and can be put forward."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead

    def forward(self, **time: float) -> None:
        self.ahead += timedelta(**time)


@dataclass
class Stage:
    """What a console works on."""

    clock: Clock
    faults: StepFaults
    mock: MockNexus
    credits: FaultyCredits
    operations: BountyOperations
    desk: ConsoleDesk
    works: MemoryContributionStore

    async def posted(self, bounty_id: str, title: str = "Sort it", **given: Any) -> Bounty:
        """A bounty of alice's; the contribution `cid-` and its id is bob's work for it."""
        self.works.add(Contribution(cid=f"cid-{bounty_id}", agent=BOB))
        bounty = Bounty(
            bounty_id=bounty_id,
            title=title,
            creator=given.pop("creator", ALICE),
            amount=given.pop("amount", 100),
            criteria=BountyCriteria(description="it is sorted"),
            deadline=self.clock() + timedelta(days=7),
            created_at=self.clock(),
            **given,
        )
        return (await self.operations.create(bounty)).bounty

    async def stranded(self, reservation_id: str = "stray", bounty_id: str = "gone") -> None:
        """Seven credits of alice's, held for an hour for a bounty that nobody finds."""
        reference = reference_of(ZONE, bounty_id)
        await self.credits.reserve(reservation_id, account="alice", amount=7, reference=reference)
        await self.an_hour_passes()

    async def stuck_settlement(self, bounty_id: str, **given: Any) -> None:
        """A settlement that died past the pivot, an hour ago: bob is to be paid, and is not."""
        await self.posted(bounty_id, **given)
        await self.operations.claim(bounty_id, BOB)
        await self.in_doubt(
            "capture of settle", self.operations.settle(bounty_id, f"cid-{bounty_id}")
        )
        await self.an_hour_passes()

    async def an_hour_passes(self) -> None:
        """In which all is removed that this process left behind: a dry run finds none of it."""
        await self.desk.nexus.cleanup.flush()
        self.clock.forward(hours=1)

    async def in_doubt(self, step: str, operation: Coroutine[Any, Any, Any]) -> None:
        """An operation of which a step never arrives, and of which nothing is heard after that."""
        if is_of_ledger(step):
            self.fail(step, "request lost", times=None)
        else:
            self.fail(step, "no answer", times=None)
            self.fail(f"read of {step.rpartition(' of ')[2]}", "no answer", times=None)
        with suppress(OutcomeError):
            await operation
        self.faults.planned.clear()

    async def has(self, account: str) -> tuple[int, int]:
        """What an account has, free and in escrow."""
        balance = await self.credits.balance(account)
        return balance.available, balance.reserved

    def fail(self, step: str, kind: str, times: int | None = 1) -> StepFault:
        """Let a step fail from now on."""
        fault = step_fault(step, kind, times=times)
        self.faults.planned.append(fault)
        self.faults.forget()
        return fault

    def app(self, access: Access | None = None, *names: str) -> ASGIApp:
        """The console."""
        return make_app(self.desk, access, names)

    @asynccontextmanager
    async def browser(
        self, access: Access | None = None, *names: str, base: str = HERE
    ) -> AsyncIterator[Browser]:
        """What looks at it."""
        transport = httpx.ASGITransport(self.app(access, *names), raise_app_exceptions=False)
        async with (
            self.desk.opened(),
            httpx.AsyncClient(transport=transport, base_url=base) as client,
        ):
            yield Browser(client, self.desk)


@dataclass
class Browser:
    """Looks at pages and sends the forms on them."""

    client: httpx.AsyncClient
    desk: ConsoleDesk

    async def see(self, path: str, status: int = 200) -> str:
        """The text of a page, its tags left out."""
        return text_of(await self.source(path, status))

    async def source(self, path: str, status: int = 200) -> str:
        """The page as it is sent."""
        answer = await self.client.get(path, headers={"accept": "text/html"})
        assert answer.status_code == status, answer.text
        return answer.text

    async def send(
        self,
        path: str,
        fields: Mapping[str, str] | None = None,
        *,
        on: str,
        status: int = 303,
    ) -> httpx.Response:
        """Send a form as a browser does, with the token of the page that it is `on`."""
        found = re.search(r'name="csrf" value="(\w*)"', await self.source(on))
        token = found[1] if found else ""
        headers = {"origin": str(self.client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
        answer = await self.client.post(
            path, data={"csrf": token, **(fields or {})}, headers=headers
        )
        assert answer.status_code == status, answer.text
        await self.desk.jobs.wait()
        return answer


def text_of(source: str) -> str:
    """What a person reads of a page."""
    without = re.sub(r"<(script|style|dialog|title|desc).*?</\1>", " ", source, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", without)).split())


@asynccontextmanager
async def a_stage(
    *, lasts: timedelta = timedelta(0), settings: NexusSettings = QUICK
) -> AsyncIterator[Stage]:
    """A server and a ledger on which alice has 10,000 credits, and bob none."""
    clock, faults = Clock(), StepFaults()
    mock = a_mock(faults)
    ledger = FaultyCredits(faults, clock=clock)
    await ledger.fund("alice", 10_000)
    works = MemoryContributionStore()
    with faults.listening():
        async with NexusClient(settings=settings, transport=mock.transport(silence=0)) as nexus:
            store = NexusBountyStore(nexus, ZONE, commit="conditional", clock=clock)
            operations = BountyOperations(
                store,
                credits=ledger,
                claims=NexusClaimStore(nexus, ZONE, commit="conditional", clock=clock),
                contributions=works,
                clock=clock,
            )
            desk = ConsoleDesk(operations, nexus, store, lasts=lasts)
            yield Stage(clock, faults, mock, ledger, operations, desk, works)
