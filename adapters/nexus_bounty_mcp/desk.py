"""Where calls arrive: each is made into an operation, and its outcome into an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from nexus_bounty.cli.service.stopping import Steps
from nexus_bounty.idempotency import derived_id
from nexus_bounty.lifecycle import holder_of
from nexus_bounty.models import AgentIdentity, Bounty, BountyCriteria, utc_now
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.contribution_store import NexusContributionStore
from nexus_bounty.nexus.documents import UnreadableDocumentError
from nexus_bounty.operations import BountyOperations, OperationResult
from nexus_bounty.outcomes import (
    CommitUnknownError,
    InvalidInputError,
    NotAllowedError,
    Outcome,
    OutcomeError,
)
from nexus_bounty.works import Work
from nexus_bounty_mcp import answers
from nexus_bounty_mcp.answers import OutcomeReport
from nexus_bounty_mcp.callers import Callers
from nexus_bounty_mcp.keys import Keys, intent, owned

MOST_OF_A_PAGE: Final = 200

Act = Callable[[str], Awaitable[OperationResult]]
IsUndone = Callable[[Bounty], bool]


@dataclass
class Call:
    """One call of a tool that is to change something.

    Attributes:
        agent: Who calls.
        operation: What for.
        name: What the call is, see `intent`.
        given: The key that the caller has chosen, if any.
    """

    agent: AgentIdentity
    operation: str
    name: str
    given: str | None = None

    def owned(self, key: str) -> str:
        """The key as the caller's own."""
        return owned(self.agent.agent_id, key)


@dataclass
class Desk:
    """The systems that the tools work on, who calls, and the keys of their calls.

    Attributes:
        operations: On whichever systems.
        callers: Who calls.
        keys: The keys of their calls.
        clock: The current time, aware.
        steps: The calls under way that change something.
    """

    operations: BountyOperations
    callers: Callers
    keys: Keys = field(default_factory=Keys)
    clock: Callable[[], datetime] = utc_now
    steps: Steps = field(default_factory=Steps)

    def call(
        self,
        context: Context[Any, Any],
        operation: str,
        arguments: Mapping[str, Any],
        given: str | None,
    ) -> Call:
        """Take a call down."""
        agent = self.agent(context)
        name = intent(agent.agent_id, operation, arguments)
        return Call(agent, operation, name, given or None)  # models fill in what is left out

    def agent(self, context: Context[Any, Any]) -> AgentIdentity:
        """Who calls.

        Raises:
            ToolError: Nobody is authenticated.
        """
        try:
            return self.callers.agent(context)
        except PermissionError as error:
            raise ToolError(f"{error}: send a bearer token") from error

    async def create(
        self,
        call: Call,
        *,
        title: str,
        amount: int,
        criteria: BountyCriteria,
        lasts: timedelta,
        description: str = "",
        context: dict[str, Any] | None = None,
    ) -> OutcomeReport:
        """Post a bounty of the caller's."""
        now = self.clock()

        async def act(key: str) -> OperationResult:
            bounty = Bounty(
                title=title,
                description=description,
                creator=call.agent,
                amount=amount,
                criteria=criteria,
                deadline=now + lasts,
                context=context,
                created_at=now,
                updated_at=now,
            )
            return await self.operations.create(
                bounty,
                relative_deadline=True,
                actor=call.agent.agent_id,
                idempotency_key=key,
            )

        return await self._do(call, act)

    async def claim(self, call: Call, bounty_id: str, lease: timedelta | None) -> OutcomeReport:
        """Claim a bounty for the caller."""

        async def act(key: str) -> OperationResult:
            return await self.operations.claim(
                bounty_id,
                call.agent,
                lease=lease,
                actor=call.agent.agent_id,
                idempotency_key=key,
            )

        return await self._do(call, act, lambda bounty: not _holds(bounty, call.agent))

    async def renew(self, call: Call, bounty_id: str, lease: timedelta | None) -> OutcomeReport:
        """Extend the caller's lease; each call does, however often."""

        async def act() -> OutcomeReport:
            result = await self.operations.renew(bounty_id, call.agent, lease=lease)
            # a lease that is extended twice is extended: no key is written down for it
            return answers.committed(result).model_copy(update={"idempotency_key": None})

        async with self.steps.step():
            return await self._reported(call, None, act)

    async def release(self, call: Call, bounty_id: str) -> OutcomeReport:
        """Give a bounty of the caller's back."""

        async def act(key: str) -> OperationResult:
            return await self.operations.release(
                bounty_id, call.agent, actor=call.agent.agent_id, idempotency_key=key
            )

        return await self._do(call, act, lambda bounty: _holds(bounty, call.agent))

    async def settle(self, call: Call, bounty_id: str, cid: str) -> OutcomeReport:
        """Pay the worker of a bounty of the caller's."""

        async def act(key: str) -> OperationResult:
            return await self.operations.settle(
                bounty_id, cid, actor=call.agent.agent_id, idempotency_key=key
            )

        return await self._do(call, act)

    async def cancel(self, call: Call, bounty_id: str) -> OutcomeReport:
        """Take a bounty of the caller's back."""

        async def act(key: str) -> OperationResult:
            return await self.operations.cancel(
                bounty_id, actor=call.agent.agent_id, idempotency_key=key
            )

        return await self._do(call, act)

    async def read(self, reading: Awaitable[Any]) -> Any:
        """What a read finds.

        Raises:
            ToolError: It failed.
        """
        try:
            return await reading
        except InvalidInputError as error:
            raise ToolError(f"{error.message}. Correct it, and call again.") from error
        except (NexusError, UnreadableDocumentError, OutcomeError) as error:
            said = str(error).rstrip(". ")
            raise ToolError(f"{said}. Nothing was changed; try again.") from error

    async def _do(self, call: Call, act: Act, is_undone: IsUndone | None = None) -> OutcomeReport:
        """Do it once, however often it is called.

        What a repeat finds undone since, such as a claim that was released, is done again.
        """
        async with self.steps.step():
            try:
                await self._recall(call)
            except OutcomeError as error:
                said = CommitUnknownError(f"the journal could not be read: {error.message}")
                return answers.not_committed(call.operation, None, said)
            report = await self._with(call, act, self._key(call))
            bounty = report.bounty
            undone = bounty is not None and is_undone is not None and is_undone(bounty)
            if report.outcome == answers.Outcomes.COMMITTED and undone and call.given is None:
                report = await self._with(call, act, call.owned(self.keys.renew(call.name).key))
            return report

    async def _recall(self, call: Call) -> None:
        services = self.operations.services
        if call.given is None:
            await self.keys.recall(
                call.name, services.journal, services.store.zone_id, call.agent.agent_id
            )

    async def _with(self, call: Call, act: Act, key: str) -> OutcomeReport:
        async def report() -> OutcomeReport:
            return answers.committed(await act(key))

        return await self._reported(call, key, report)

    async def _reported(
        self, call: Call, key: str | None, act: Callable[[], Awaitable[OutcomeReport]]
    ) -> OutcomeReport:
        """The report of `act`, or of the error that it ends with."""
        try:
            report = await act()
        except NotAllowedError as error:
            self._ended(call, error.outcome)
            whom = " or ".join(error.allowed)
            return answers.refused(call.operation, f"{error.message}.", f"Ask {whom}.")
        except OutcomeError as error:
            self._ended(call, error.outcome)
            return answers.not_committed(call.operation, key, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is known of the commit
            self._ended(call, Outcome.UNKNOWN)
            return answers.lost(call.operation, key, error)
        except BaseException:  # a client that is gone, or has had enough: it may have landed
            self._ended(call, Outcome.UNKNOWN)
            raise
        self._ended(call, Outcome.COMMITTED)
        return report

    def _key(self, call: Call) -> str:
        return call.owned(call.given or self.keys.of(call.name).key)

    def _ended(self, call: Call, outcome: Outcome) -> None:
        if call.given is None:
            self.keys.ended(call.name, outcome)

    async def deliver(self, call: Call, work: Work) -> OutcomeReport:
        """Store a work of the caller's."""
        store = self.operations.services.contributions
        if not isinstance(store, NexusContributionStore):
            raise ToolError("work is not delivered here")

        async def act() -> OutcomeReport:
            await store.put(work)
            return answers.delivered(work.cid)

        async with self.steps.step():
            report = await self._reported(call, None, act)
        return report.model_copy(update={"contribution_cid": work.cid})

    async def lease(
        self, call: Call, target_ref: str, intent_summary: str, lease: timedelta
    ) -> OutcomeReport:
        """Claim something that is no bounty."""
        key = self._key(call)

        async def act() -> OutcomeReport:
            claim = await self.operations.services.claims.claim_or_renew(
                target_ref,
                call.agent,
                claim_id=derived_id("claim", key),
                lease=lease,
                intent_summary=intent_summary,
                idempotency_key=key,
            )
            return answers.leased(claim, key)

        async with self.steps.step():
            return await self._reported(call, key, act)


def _holds(bounty: Bounty, agent: AgentIdentity) -> bool:
    return holder_of(bounty) == agent.agent_id
