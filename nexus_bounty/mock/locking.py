"""The JSON-RPC methods on advisory locks."""

from __future__ import annotations

from typing import Any

from nexus_bounty.mock.call import Call
from nexus_bounty.mock.problems import Problem, Refusal, bad_params


async def lock_acquire(call: Call) -> Any:
    """Take a lock; says whether it was free."""
    held = _take_lock(call)
    return {"acquired": held is not None, "lock_id": held}


async def sys_lock(call: Call) -> Any:
    """Take a lock; its id, or null when another holds it."""
    return _take_lock(call)


def _take_lock(call: Call) -> str | None:
    ttl = float(call.params.get("ttl", 30.0))
    held = call.core.locks.acquire(call.path(), ttl, call.params.get("lock_id"))
    if held is None and call.personality.locks_refuse_by_error:
        raise Refusal(Problem.INTERNAL, "the lock is held")
    return held


async def sys_unlock(call: Call) -> Any:
    """Release a lock; whether it was held with that id."""
    lock_id, force = call.params.get("lock_id"), call.flag("force")
    if not lock_id and not force:
        raise bad_params("lock_id is required for non-force release")
    released = call.core.locks.release(call.path(), lock_id, force=force)
    released = released or call.personality.locks_refuse_by_error
    return {"released": released} if call.personality.unlock_wrapped else released
