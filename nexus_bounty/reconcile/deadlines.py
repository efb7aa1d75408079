"""Bounties past their deadline: expired, and their credits given back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nexus_bounty.models import Bounty
from nexus_bounty.operations.expire import expire
from nexus_bounty.operations.services import Services, ends_at
from nexus_bounty.reconcile.sweep import Problem, Scope


class PastDeadlines:
    """Open and claimed bounties that nobody can fulfil any more."""

    name = "past deadlines"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every open or claimed bounty whose deadline has passed."""
        store = scope.services.store
        for bounty in await store.find_expired_bounties(scope.now, partition=scope.partition):
            if ends_at(scope.services, bounty) > scope.now:
                continue  # its claimer's work may still be accepted
            if not await scope.is_elsewhere(bounty):
                yield _problem(scope.services, bounty)


def _problem(services: Services, bounty: Bounty) -> Problem:
    async def end() -> str:
        await expire(services, bounty.bounty_id, None)
        return f"expired, and its credits given back to {bounty.creator.agent_id}"

    what = f"is {bounty.status.value} past its deadline {bounty.deadline.isoformat()}"
    return Problem(bounty.bounty_id, what, end, touched=bounty.updated_at, about=bounty)
