"""What happens in the demo: post, claim, settle, with a lost answer, a crash and its repair."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

import msgspec

from nexus_bounty.demo.accidents import ProcessStopped, crash, lost_answer
from nexus_bounty.demo.report import DemoReport
from nexus_bounty.demo.world import World, a_world
from nexus_bounty.idempotency import derived_id, derived_key, new_key
from nexus_bounty.models import (
    AgentIdentity,
    Bounty,
    BountyCriteria,
    BountyStatus,
    Contribution,
    utc_now,
)
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.outcomes import Outcome, PlainError, Resolution
from nexus_bounty.ports import Balance
from nexus_bounty.reconcile import Reconciler

FUNDS: Final = 1_000
PRICE: Final = 100
ALICE: Final = AgentIdentity(agent_id="alice", role="creator")
BOB: Final = AgentIdentity(agent_id="bob", role="worker")
WORK: Final = Contribution(
    cid="cid-faster-parser", agent=BOB, tags=["parser"], scores={"mbps": 240}
)

Tell = Callable[[str], None]


class DemoError(PlainError):
    """The demo did not go as it always does."""


async def run_demo(
    url: str | None = None,
    *,
    settings: NexusSettings | None = None,
    tell: Tell = lambda _: None,
) -> DemoReport:
    """Run the whole life of a bounty, with two accidents, and say how it ended.

    Args:
        url: A Nexus server, on which a new zone is used and cleared again; a mock in this
            process if not given.
        settings: Credentials and timeouts for that server.
        tell: Gets the story, sentence by sentence.

    Raises:
        DemoError: An accident did not happen, or the end is not what it must be.
        OutcomeError, NexusError: The server does not work as the demo needs it.
    """
    started = time.monotonic()
    async with a_world(url, WORK, settings) as world:
        story = Story(world, tell)
        await story.post()
        await story.claim_with_a_lost_answer()
        await story.settle_and_crash()
        await story.repair()
        return await story.end(started)


class Story:
    """The acts, in order; each is a process of its own."""

    def __init__(self, world: World, tell: Tell) -> None:
        self._world = world
        self._tell = tell
        self._keys = {act: new_key() for act in ("post", "claim", "settle")}
        self._bounty_id = derived_id("bounty", self._keys["post"])
        self._repaired: list[str] = []
        self._lost_answer = False
        self._crashed = False

    async def post(self) -> None:
        """Alice gets credits and offers some of them."""
        self._tell(f"Server: {self._world.server}. Zone: {self._world.zone.zone_id}.")
        async with self._world.process("alice") as operations:
            await operations.services.credits.top_up("demo", account="alice", amount=FUNDS)
            operations.services.new_keys.add(self._keys["post"])  # nobody has tried it before
            posted = await operations.create(_offer(), idempotency_key=self._keys["post"])
        self._tell(
            f"Alice has {FUNDS} credits and posts {posted.bounty.bounty_id} for {PRICE} of them; "
            "they are in escrow now."
        )

    async def claim_with_a_lost_answer(self) -> None:
        """Bob claims; the server commits it, and its answer never arrives."""
        accident = lost_answer(self._document)
        async with self._world.process("bob", accident) as operations:
            claimed = await operations.claim(
                self._bounty_id, BOB, idempotency_key=self._keys["claim"]
            )
        self._lost_answer = accident.happened
        _must(self._lost_answer, "the answer to Bob's claim was not lost")
        _must(claimed.bounty.claimed_by == BOB, "Bob has not claimed the bounty")
        self._tell(
            "Bob claims it. The server commits the claim, and the connection breaks before the "
            "answer is there. He does not guess: he reads the document, finds his operation in "
            "its history, and goes on. One claim, not two."
        )

    async def settle_and_crash(self) -> None:
        """Alice accepts the work; her process stops as soon as the pivot is written."""
        accident = crash(self._document)
        with suppress(ProcessStopped):
            async with self._world.process("alice", accident) as operations:
                await operations.settle(
                    self._bounty_id, WORK.cid, idempotency_key=self._keys["settle"]
                )
        self._crashed = accident.happened
        _must(self._crashed, "Alice's process did not stop")
        self._tell(
            "Bob delivers. Alice settles, and her process dies right after the commit of "
            "'pending_settlement': nobody is paid yet, and nobody is left who remembers."
        )

    async def repair(self) -> None:
        """Another process finds the document and finishes what it says."""
        async with self._world.process("reconciler") as operations:
            # nobody else works in this zone: there is no running operation to wait for
            report = await Reconciler(operations, grace=timedelta()).run_once()
            found = await operations.services.store.resolve_operation(
                self._bounty_id, derived_key(self._keys["settle"], "begin")
            )
        self._repaired = [f"{each.subject}: {each.repaired}" for each in report.findings]
        _must(not (report.left or report.errors), f"not everything was repaired: {report}")
        _must(found.outcome is Outcome.COMMITTED, "the settlement was not found")
        self._note_found_out(found)
        self._tell(
            "The reconciler reads the zone. Past the pivot there is only forward, so it pays Bob "
            "out of escrow, settles the bounty and records the reward. Run twice, it would find "
            "nothing to do."
        )

    async def end(self, started: float) -> DemoReport:
        """Add everything up."""
        async with self._world.process("auditor") as operations:
            bounty = await operations.services.store.get_bounty(self._bounty_id)
            ledger = operations.services.credits
            balances = [await ledger.balance(name) for name in ("alice", "bob")]
        report = DemoReport(
            server=self._world.server,
            zone=self._world.zone.zone_id,
            bounty_id=self._bounty_id,
            final_status=bounty.status.value if bounty else "missing",
            credits_conserved=_conserved(balances),
            balances={each.account: each.available for each in balances},
            escrow=sum(each.reserved for each in balances),
            issued=FUNDS,
            requests=self._world.requests,
            seconds=round(time.monotonic() - started, 3),
            lost_answer=self._lost_answer,
            crashed=self._crashed,
            repaired=self._repaired,
            writes=self._world.writes,
        )
        _must(report.final_status == BountyStatus.SETTLED, f"the end is {report}")
        _must(report.balances == {"alice": FUNDS - PRICE, "bob": PRICE}, f"the end is {report}")
        return report

    @property
    def _document(self) -> str:
        return self._world.zone.bounty(self._bounty_id)

    def _note_found_out(self, found: Resolution) -> None:
        writes = self._world.writes
        at = [write.key for write in writes].index(found.idempotency_key)
        writes[at] = msgspec.structs.replace(
            writes[at],
            outcome=found.outcome,
            proof=found.evidence.proof,
            found_by="the reconciler's read",
        )


def _offer() -> Bounty:
    return Bounty(
        title="Make the parser faster",
        creator=ALICE,
        amount=PRICE,
        criteria=BountyCriteria(
            description="at least 200 MB/s on the large corpus",
            metric_name="mbps",
            metric_threshold=200,
            metric_direction="maximize",
            required_tags=["parser"],
        ),
        deadline=utc_now() + timedelta(days=7),
    )


def _conserved(balances: Sequence[Balance]) -> bool:
    return sum(each.available + each.reserved for each in balances) == FUNDS


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoError(otherwise)
