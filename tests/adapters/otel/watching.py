"""A run in which everything happens that is measured: faults, doubts, fences, sweeps that fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from nexus_bounty import OutcomeError
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing import StepFaults, make_agent, make_bounty
from nexus_bounty.testing.room import a_room
from nexus_bounty.testing.steps import step_fault


@asynccontextmanager
async def a_watched_room() -> AsyncIterator[Any]:
    """What the fixtures give, and the faults that are planned."""
    faults = StepFaults()
    with faults.listening():
        async with a_room(faults) as room:
            yield {**room, "faults": faults}


def plan(room: dict[str, Any], *faults: tuple[str, str, int | None]) -> None:
    """Let steps fail from now on, and no others."""
    room["faults"].planned[:] = [step_fault(step, kind, times=n) for step, kind, n in faults]
    room["faults"].forget()


async def everything(room: dict[str, Any]) -> None:
    """Whatever is measured, once at least."""
    operations, mock = room["operations"], room["mock_nexus"]
    await operations.create(make_bounty())
    plan(room, ("commit of claim", "answer lost", 1))
    await operations.claim("b-1", make_agent())
    await in_doubt(room)
    await owing(room)
    await operations.claim("b-1", make_agent())
    await stranded(room)
    await room["bounty_store"].create_bounty(make_bounty(bounty_id="b-2"))
    await room["bounty_store"].resolve_operation("b-2", "never sent")  # by a fence
    await reconcile(room)
    mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("list"), times=None))
    await reconcile(room)
    mock.inject(Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("delete_batch"), times=None))
    await room["nexus_client"].cleanup.flush()


async def in_doubt(room: dict[str, Any]) -> None:
    """A release of which nobody knows, and then its repeat, which finds out."""
    operations, faults = room["operations"], room["faults"]
    plan(room, ("commit of release", "no answer", None), ("read of release #2", "no answer", None))
    with suppress(OutcomeError):
        await operations.release("b-1", make_agent(), idempotency_key="k")
    assert faults.missed == []
    plan(room)
    await operations.release("b-1", make_agent(), idempotency_key="k")


async def owing(room: dict[str, Any]) -> None:
    """A release whose lease cannot be ended: it stands, and owes that."""
    await room["operations"].claim("b-1", make_agent())
    plan(room, ("lease of release", "no answer", None), ("read of release #2", "no answer", None))
    await room["operations"].release("b-1", make_agent())
    plan(room)


async def stranded(room: dict[str, Any]) -> None:
    """A settlement that cannot pay, and a reconciler that cannot either."""
    plan(room, ("capture of settle", "answer lost", None))
    with suppress(OutcomeError):
        await room["operations"].settle("b-1", "cid-1")
    plan(room, ("capture", "request lost", None))
    await reconcile(room)
    plan(room)


async def reconcile(room: dict[str, Any]) -> None:
    """One run, for which nothing is too young."""
    await Reconciler(room["operations"], grace=timedelta(microseconds=1)).run_once()
