"""What a process remembers of a bounty is older than what another one did with its key.

Every operation x the moment of the last look x what came after the operation. No journal tells of
the key: each refusal of the repeat has to find out by itself that it goes by an old look.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import pytest

from nexus_bounty import AgentIdentity
from nexus_bounty.models import utc_now
from nexus_bounty.operations import BountyOperations
from tests.operations.lives import outcome
from tests.operations.operation_trials import KEY
from tests.support.virtual import virtual
from tests.support.world import BOB, BOUNTY_ID, CID, a_bounty, a_world

Act = Callable[[BountyOperations], Awaitable[object]]

CAROL: Final = AgentIdentity(agent_id="carol")

ACTS: Final[dict[str, Act]] = {
    "claim": lambda o: o.claim(BOUNTY_ID, BOB, idempotency_key=KEY),
    "release": lambda o: o.release(BOUNTY_ID, BOB, idempotency_key=KEY),
    "settle": lambda o: o.settle(BOUNTY_ID, CID, idempotency_key=KEY),
    "cancel": lambda o: o.cancel(BOUNTY_ID, idempotency_key=KEY),
}
POSTED: Final[list[Act]] = [lambda o: o.create(a_bounty())]
PASSED_ON: Final[list[Act]] = [
    *POSTED,
    lambda o: o.claim(BOUNTY_ID, CAROL),
    lambda o: o.release(BOUNTY_ID, CAROL),
]
CLAIMED: Final[list[Act]] = [*PASSED_ON, lambda o: o.claim(BOUNTY_ID, BOB)]
BEFORE: Final = {"claim": PASSED_ON, "release": CLAIMED, "settle": CLAIMED, "cancel": PASSED_ON}
LOOKS: Final = [(name, look) for name, past in BEFORE.items() for look in range(1, len(past) + 1)]
"""After how many steps of its past the bounty was seen last."""
AFTER: Final[dict[str, Act]] = {
    "nothing": lambda o: o.services.store.get_bounty(BOUNTY_ID),
    "claimed by another": lambda o: o.claim(BOUNTY_ID, CAROL),
    "released": lambda o: o.release(BOUNTY_ID, BOB),
    "cancelled": lambda o: o.cancel(BOUNTY_ID),
}


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize(("name", "look"), LOOKS)
@virtual
async def test_what_happened_since_the_last_look_is_never_said_not_to_have(
    name: str, look: int, after: str
) -> None:
    """It is told, or that nobody knows."""
    world = await a_world()
    async with world.process(seed=2) as other, world.process(impatient=True) as process:
        for step in BEFORE[name][:look]:
            await step(other.operations)
        await process.operations.services.store.get_bounty(BOUNTY_ID)
        for step in BEFORE[name][look:]:
            await step(other.operations)
        assert await outcome(ACTS[name](other.operations)) == "committed"
        await outcome(AFTER[after](other.operations))  # which may be refused
        await world.ledger.forget_operations("default", utc_now() + timedelta(days=40000))
        assert await outcome(ACTS[name](process.operations)) != "pre_commit"
