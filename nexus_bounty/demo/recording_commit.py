"""Watches every commit: what was observed of it, and what proved its outcome."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_bounty.deadlines import Deadline
from nexus_bounty.demo.report import Write
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.documents.commits import (
    Aborted,
    CommitResult,
    CommitStrategy,
    Committed,
    Intent,
    Superseded,
    Trail,
)
from nexus_bounty.nexus.selection.auto_commit import AutoCommit
from nexus_bounty.outcomes import Observation, Outcome, Proof


class RecordingCommit(AutoCommit):
    """Commits as the stores do by default, and notes in `writes` what became of each commit.

    Args:
        client: The server.
        process: Whose commits these are.
        writes: Where to note them; the processes of one demo share it.
    """

    def __init__(self, client: NexusClient, process: str, writes: list[Write]) -> None:
        super().__init__(client)
        self._process = process
        self._writes = writes

    async def for_writing(self, deadline: Deadline) -> CommitStrategy:
        """The strategy to commit with, watched."""
        return _Watched(await super().for_writing(deadline), self._process, self._writes)


class _Watched:
    """A strategy whose commits are noted."""

    def __init__(self, strategy: CommitStrategy, process: str, writes: list[Write]) -> None:
        self._strategy = strategy
        self._process = process
        self._writes = writes
        self.reads = strategy.reads
        self.locks = strategy.locks
        self.leftovers = strategy.leftovers
        self.ready = strategy.ready
        self.prepare = strategy.prepare
        self.abort = strategy.abort

    async def commit(
        self, intent: Intent, deadline: Deadline, trail: Trail, *, in_doubt: bool
    ) -> CommitResult:
        """Commit `intent`, and note what became of it even if this process stops."""
        before = len(trail.observations)
        result: CommitResult | None = None
        try:
            result = await self._strategy.commit(intent, deadline, trail, in_doubt=in_doubt)
            return result
        finally:
            self._note(intent, result, trail.observations[before:])

    def _note(
        self, intent: Intent, result: CommitResult | None, observed: Sequence[Observation]
    ) -> None:
        outcome, proof = _meaning(result)
        self._writes.append(
            Write(
                process=self._process,
                kind=intent.record.kind,
                path=intent.path,
                key=intent.record.key,
                outcome=outcome,
                proof=proof,
                answered=any("acknowledged" in each.answer for each in observed),
                observed=[f"{each.action}: {each.answer}" for each in observed],
            )
        )


def _meaning(result: CommitResult | None) -> tuple[Outcome, Proof]:
    match result:
        case Committed(proof=proof):
            return Outcome.COMMITTED, proof
        case Aborted(proof=proof):
            return Outcome.PRE_COMMIT, proof
        case Superseded():
            return Outcome.PRE_COMMIT, Proof.SUPERSEDED
    return Outcome.UNKNOWN, Proof.NONE
