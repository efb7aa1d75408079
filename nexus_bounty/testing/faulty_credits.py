"""A ledger in memory whose calls can fail, by the names of steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nexus_bounty.memory import MemoryCredits
from nexus_bounty.models import utc_now
from nexus_bounty.outcomes import CommitUnknownError, PaymentError
from nexus_bounty.testing.steps import LEDGER_CALLS, LedgerFault, StepFaults
from nexus_bounty.transactions import Clock


class FaultyCredits(MemoryCredits):
    """A `CreditsService` in memory that fails as `faults` say.

    Args:
        faults: Asked at every call that changes something.
        clock: The current time, aware.
    """

    def __init__(self, faults: StepFaults, *, clock: Clock = utc_now) -> None:
        super().__init__(clock=clock)
        self._faults = faults

    async def fund(self, account: str, amount: int) -> None:
        """Give `account` new credits, which never fails and is no step."""
        await super().top_up(f"funds of {account}", account=account, amount=amount)

    async def _through(self, call: str, made: Callable[[], Awaitable[Any]]) -> Any:
        fault = self._faults.at_ledger(call)
        if fault is LedgerFault.REFUSED:
            raise PaymentError("the credits service refused, as it was told to")
        if fault is LedgerFault.REQUEST_LOST:
            raise CommitUnknownError("the call was lost, as it was told to be")
        result = await made()
        if fault is LedgerFault.ANSWER_LOST:
            raise CommitUnknownError("the answer was lost, as it was told to be")
        return result


def _failing(name: str) -> Callable[..., Awaitable[Any]]:
    original = getattr(MemoryCredits, name)

    async def call(self: FaultyCredits, *args: Any, **named: Any) -> Any:
        return await self._through(name, lambda: original(self, *args, **named))

    call.__name__, call.__doc__ = name, original.__doc__
    return call


for _name in LEDGER_CALLS:
    setattr(FaultyCredits, _name, _failing(_name))
