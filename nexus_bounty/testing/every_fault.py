"""One test for every step of an operation x every way in which it can fail."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import pytest

from nexus_bounty import BountyOperations
from nexus_bounty.mock import FaultKind
from nexus_bounty.testing.builders import make_agent, make_bounty
from nexus_bounty.testing.room import a_room, arguments
from nexus_bounty.testing.steps import LedgerFault, StepFaults, step_fault

Work = Callable[..., Awaitable[object]]


async def _create(operations: BountyOperations) -> None:
    await operations.create(make_bounty())


async def _claim(operations: BountyOperations) -> None:
    await operations.claim("b-1", make_agent())


async def _renew(operations: BountyOperations) -> None:
    await operations.renew("b-1", make_agent())


async def _release(operations: BountyOperations) -> None:
    await operations.release("b-1", make_agent())


async def _settle(operations: BountyOperations) -> None:
    await operations.settle("b-1", "cid-1")


async def _cancel(operations: BountyOperations) -> None:
    await operations.cancel("b-1")


_KNOWN: Final[dict[str, tuple[Work, ...]]] = {
    "create": (_create,),
    "claim": (_create, _claim),
    "renew": (_create, _claim, _renew),
    "release": (_create, _claim, _release),
    "settle": (_create, _claim, _settle),
    "cancel": (_create, _cancel),
}
"""The operations on the bounty of `make_bounty()`, each after those that lead up to it."""


def steps_of(operation: str | Work, *, after: Iterable[Work] = ()) -> list[str]:
    """The names of the steps that an operation has when nothing fails, in order.

    Args:
        operation: "create", "claim", "renew", "release", "settle" or "cancel", or a coroutine
            function that takes fixtures of this plugin by name, and runs here once.
        after: What leads up to it, likewise.

    Raises:
        ValueError: No operation has that name.
        TypeError: It is no coroutine function, or takes what no fixture gives.
    """
    if isinstance(operation, str):
        if operation not in _KNOWN:
            raise ValueError(
                f"there is no operation {operation!r}: take one of {', '.join(_KNOWN)}"
            )
        *before, work = _KNOWN[operation]
    else:
        before, work = [], operation
        if not inspect.iscoroutinefunction(work):
            raise TypeError(f"{work} is no coroutine function: name the operation instead")
    return asyncio.run(_steps([*before, *after], work))


async def _steps(before: Iterable[Work], work: Work) -> list[str]:
    faults = StepFaults()
    with faults.listening():
        async with a_room(faults) as room:
            for each in before:
                await each(**arguments(each, room))
            faults.forget()
            await work(**arguments(work, room))
            return list(faults.seen)


def parametrize_faults(
    operation: str | Work,
    *,
    kinds: Iterable[str | FaultKind] = (*FaultKind, *LedgerFault),
    after: Iterable[Work] = (),
) -> pytest.MarkDecorator:
    """Run a test once for every step of an operation x every kind of fault that it can have.

        @parametrize_faults("claim")
        async def test_my_agent_claims_once_whatever_fails(operations, open_bounty): ...

    Args:
        operation: As of `steps_of`: one of the library's, or your own.
        kinds: The kinds to try, by words or as `FaultKind`; a step has those that it can have.
        after: What leads up to the operation, as of `steps_of`.

    A case's id is such as `commit-of-claim-answer-lost`.

    Raises:
        ValueError: There is no such operation, or no such kind.
    """
    tried = dict.fromkeys(str(getattr(each, "words", each)) for each in kinds)
    for kind in tried:
        if not (_can_have("commit", kind) or _can_have("capture", kind)):
            raise ValueError(f"there is no fault {kind!r}")
    steps = steps_of(operation, after=after)
    had = [(step, kind) for step in steps for kind in tried if _can_have(step, kind)]
    cases = [pytest.param(each, id=_id(*each)) for each in had]
    return pytest.mark.parametrize("nexus_faults", cases, indirect=True)


def _can_have(step: str, kind: str) -> bool:
    try:
        step_fault(step, kind)
    except ValueError:
        return False
    return True


def _id(step: str, kind: str) -> str:
    """A name that `-k` can choose."""
    return f"{step}-{kind}".translate({ord(" "): "-", ord(","): None, ord("#"): None})
