"""What is refused: the error is about the whole operation, and all stays as it was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyExistsError,
    BountyNotFoundError,
    BountyStateError,
    BountyStatus,
    Contribution,
    PreCommitError,
)
from nexus_bounty.operations import BountyOperations
from nexus_bounty.outcomes import CriteriaNotMetError, InvalidInputError, Outcome, Proof
from tests.operations.lives import (
    DOCUMENT,
    KEY,
    SHORT,
    Act,
    claimed,
    nothing,
    posted,
    refusal,
    settled,
)
from tests.support.virtual import virtual
from tests.support.world import ALICE, BOB, BOUNTY_ID, CAROL, CID, a_bounty, a_world


@dataclass(frozen=True)
class Refused:
    """An operation that is refused: what came before, what is asked, and the error for it."""

    name: str
    before: Act | None
    ask: Act
    error: type[PreCommitError]
    operation: str


async def _past_deadline(operations: BountyOperations) -> None:
    await posted(operations, SHORT)
    await asyncio.sleep(120)


def _ask(name: str, *args: Any) -> Act:
    return lambda o: getattr(o, name)(*args, idempotency_key=KEY)


REFUSED = (
    Refused("claim nothing", None, _ask("claim", "b-1", BOB), BountyNotFoundError, "claim"),
    Refused("release nothing", None, _ask("release", "b-1", BOB), BountyNotFoundError, "release"),
    Refused("settle nothing", None, _ask("settle", "b-1", CID), BountyNotFoundError, "settle"),
    Refused("cancel nothing", None, _ask("cancel", "b-1"), BountyNotFoundError, "cancel"),
    Refused("expire nothing", None, _ask("expire", "b-1"), BountyNotFoundError, "expire"),
    Refused("create twice", posted, _ask("create", a_bounty()), BountyExistsError, "create"),
    Refused("claim one's own", posted, _ask("claim", "b-1", ALICE), BountyStateError, "claim"),
    Refused("claim twice", claimed, _ask("claim", "b-1", CAROL), BountyStateError, "claim"),
    Refused("claim late", _past_deadline, _ask("claim", "b-1", BOB), BountyStateError, "claim"),
    Refused("claim settled", settled, _ask("claim", "b-1", CAROL), BountyStateError, "claim"),
    Refused("release open", posted, _ask("release", "b-1", BOB), BountyStateError, "release"),
    Refused(
        "release another's", claimed, _ask("release", "b-1", CAROL), BountyStateError, "release"
    ),
    Refused("release settled", settled, _ask("release", "b-1", BOB), BountyStateError, "release"),
    Refused("settle open", posted, _ask("settle", "b-1", CID), BountyStateError, "settle"),
    Refused("settle settled", settled, _ask("settle", "b-1", CID), BountyStateError, "settle"),
    Refused("settle unmet", claimed, _ask("settle", "b-1", "slow"), CriteriaNotMetError, "settle"),
    Refused(
        "settle unheard", claimed, _ask("settle", "b-1", "none"), CriteriaNotMetError, "settle"
    ),
    Refused("cancel settled", settled, _ask("cancel", "b-1"), BountyStateError, "cancel"),
    Refused("expire early", claimed, _ask("expire", "b-1"), BountyStateError, "expire"),
)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
@virtual
async def test_a_refusal_speaks_of_the_whole_operation_and_leaves_all_as_it_was(
    case: Refused,
) -> None:
    """Its name, key and bounty, with evidence; the document, the leases and the money untouched."""
    world = await a_world()
    world.contributions.add(Contribution(cid="slow", tags=["sorted"], scores={"speed": 0.5}))
    async with world.process() as process:
        await (case.before or nothing)(process.operations)
    before = {path: world.mock.read_file(path) for path in world.mock.files if "/claims/" in path}
    before[DOCUMENT] = world.mock.read_file(DOCUMENT)
    money = [await world.ledger.balance(name) for name in ("alice", "bob", "carol")]
    async with world.process(seed=2) as process:
        error = await refusal(case.ask(process.operations))
    assert type(error) is case.error
    assert error.outcome is Outcome.PRE_COMMIT
    assert (error.operation, error.idempotency_key) == (case.operation, KEY)
    assert error.bounty_id == BOUNTY_ID
    assert error.evidence.proof is not Proof.NONE
    assert {path: world.mock.read_file(path) for path in before} == before
    assert [await world.ledger.balance(name) for name in ("alice", "bob", "carol")] == money


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda o: o.create(a_bounty(), idempotency_key="k" * 201), "idempotency_key"),
        (lambda o: o.create(a_bounty(), idempotency_key=""), "idempotency_key"),
        (lambda o: o.create(msgspec.structs.replace(a_bounty(), amount=0)), "amount"),
        (
            lambda o: o.create(msgspec.structs.replace(a_bounty(), status=BountyStatus.CLAIMED)),
            "status",
        ),
        (lambda o: o.claim("", BOB), "bounty_id"),
        (lambda o: o.claim("b-1", BOB, lease=timedelta(0)), "lease"),
        (lambda o: o.settle("b-1", ""), "contribution_cid"),
        (lambda o: o.release("b-1", AgentIdentity(agent_id="")), "agent"),
        (lambda o: o.cancel("a/b"), "bounty_id"),
    ],
)
@virtual
async def test_wrong_input_is_refused_before_anything_is_sent(ask: Act, field: str) -> None:
    """Naming the field."""
    world = await a_world()
    async with world.process() as process:
        error = await refusal(ask(process.operations))
    assert isinstance(error, InvalidInputError)
    assert error.field.startswith(field)
    assert world.mock.oracle.received_total == 0
