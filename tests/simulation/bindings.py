"""Mutants that each take away what one piece of evidence is bound to, and the test that shows it.

The exploration cannot show most of them: it takes two bindings to be taken away before money moves
wrongly. So each is hunted by the tests of its own binding, in a process in which it is planted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from tests.simulation.mutants import Mutant
from tests.simulation.mutation import Hunted, MutantError, check_runs

ROOT: Final = Path(__file__).parents[2]
TEST_FAILED: Final = 1
"""How pytest ends when it has run the tests, and one has failed."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A mutant without one binding, and the tests that fail with it."""

    mutant: Mutant
    shown_by: str


def _binding(name: str, module: str, old: str, new: str, shown_by: str) -> Binding:
    return Binding(Mutant(name, f"nexus_bounty.{module}", old, new), f"tests/{shown_by}")


_BOUND: Final = "operations/test_bound_evidence.py"
_SIGNED: Final = "operations/test_signed_zone.py"
_SIGNING: Final = "nexus/documents/test_signing.py"
_IN_ITS_PLACE: Final = "operations/test_in_its_place.py"
_RESCUED: Final = "reconcile/test_rescued.py"
BINDINGS: Final = (
    # reservations and ledgers
    _binding(
        "the ledger does not compare what a reservation is held for",
        "ledger.rules",
        "    if held_for is not None and found.terms != held_for:",
        "    if False:",
        "memory",
    ),
    _binding(
        "a capture does not say what the credits are held for",
        "operations.escrow",
        "            work=bounty.fulfilled_by_cid,\n            held_for=terms,",
        "            work=bounty.fulfilled_by_cid,\n            held_for=None,",
        _BOUND,
    ),
    _binding(
        "credits are given back whosever they are",
        "operations.escrow",
        "    if held is None or not is_of(services, held, bounty):",
        "    if held is None:",
        _BOUND,
    ),
    _binding(
        "any ledger will do",
        "operations.escrow",
        "    if bounty.ledger_id is not None and here is not None and bounty.ledger_id != here:",
        "    if False:",
        _BOUND,
    ),
    _binding(
        "a key that another ledger knows is used without a look",
        "operations.create",
        "looking_first(services.store) if may_be_elsewhere else services.store",
        "services.store",
        _BOUND,
    ),
    _binding(
        "credits are set aside as a draft says, not as was asked",
        "operations.create",
        "    if terms != terms_of(services, offer):",
        "    if False:",
        "operations/test_create.py",
    ),
    # settlements
    _binding(
        "nobody is on record before the pivot",
        "operations.settle",
        "        await record_payee(services, bounty, cid, pivot_key)\n"
        "    if _is_decided_elsewhere",
        "        pass\n    if _is_decided_elsewhere",
        _BOUND,
    ),
    _binding(
        "the ledger pays whoever is named",
        "ledger.rules",
        "    if assigned is not None and (assigned.payee != to_account or work not in",
        "    if False and (assigned.payee != to_account or work not in",
        _BOUND,
    ),
    _binding(
        "a settlement does not name the claim that was looked at",
        "operations.settle",
        "bounty.bounty_id, cid, claim_id=bounty.claim_id, idempotency_key=pivot_key",
        "bounty.bounty_id, cid, claim_id=None, idempotency_key=pivot_key",
        _BOUND,
    ),
    _binding(
        "a settlement of another claim is not refused",
        "nexus.bounties.transitions",
        "self.examined_claim not in (None, bounty.claim_id):",
        "False:",
        _BOUND,
    ),
    _binding(
        "anybody's work will do",
        "operations.settle",
        "    if claimer and author and composed(author.agent_id) != composed(claimer.agent_id):",
        "    if False:",
        _BOUND,
    ),
    _binding(
        "any contribution will do",
        "operations.settle",
        "    if contribution.cid != cid:",
        "    if False:",
        _BOUND,
    ),
    # who may, and which bounty
    _binding(
        "whoever remembers a draft as theirs settles what is in its place",
        "operations.settle",
        '        check_actor(actor, "settle", bounty.creator.agent_id, bounty_id)',
        '        check_actor(actor, "settle", (remembered or bounty).creator.agent_id, bounty_id)',
        _IN_ITS_PLACE,
    ),
    _binding(
        "whatever is there is cancelled, and not what was looked at",
        "operations.cancel",
        "        reservation_id=bounty.reservation_id,\n",
        "",
        _IN_ITS_PLACE,
    ),
    _binding(
        "a reservation is the same in every zone",
        "operations.drafts",
        "        if self.zone_id != USUAL_ZONE:",
        "        if False:",
        _IN_ITS_PLACE,
    ),
    # rewards and rescues
    _binding(
        "a reward is recorded although the ledger paid somebody else",
        "operations.paying",
        "    to_claimer = found.captured_to == bounty.claimed_by.agent_id",
        "    to_claimer = True",
        _RESCUED,
    ),
    _binding(
        "a rescue of another bounty's credits decides about this one",
        "operations.paying",
        " if is_of(services, found, bounty) else None",
        "",
        _RESCUED,
    ),
    # answers
    _binding(
        "the answer to another request is believed",
        "nexus.client.rpc",
        "return None if reply.error or reply.id != number else reply",
        "return None if reply.error else reply",
        "nexus/client",
    ),
    _binding(
        "a document about something else is believed",
        "nexus.documents.document",
        "    if found is not None and found != paths.document_id(path):",
        "    if False:",
        "nexus/documents/test_subjects.py",
    ),
    _binding(
        "a slot may hold another write's document",
        "nexus.commit.log",
        "        if document.history.seq != seq:",
        "        if False:",
        "nexus/commit/test_poisoned_slots.py",
    ),
    # signatures
    _binding(
        "a signature is not looked at",
        "nexus.documents.signing",
        '        return self.has_made(stored.get("mac"), "record", path, content)',
        "        return True",
        _SIGNING,
    ),
    _binding(
        "a signature is bound to no path",
        "nexus.documents.signing",
        "        text = _canonical(content)\n",
        "        text = _canonical([content[0], content[-1]])\n",
        _SIGNING,
    ),
    _binding(
        "a record may stand in any place",
        "nexus.documents.signing",
        "            if record.seq != seq or not self._has_signed(path, stored):",
        "            if not self._has_signed(path, stored):",
        _SIGNING,
    ),
    _binding(
        "the fields that decide about money are not compared",
        "nexus.documents.signing",
        "        if last.state != _state(path, value, history.tombstone):",
        "        if False:",
        _SIGNING,
    ),
    _binding(
        "an untrusted document is written over, which signs it",
        "nexus.documents.writer",
        "        if document is None or document.untrusted is None or operation.vouches:",
        "        if True:",
        _SIGNED,
    ),
    _binding(
        "what an untrusted document does not say never happened",
        "nexus.commit.evidence",
        "    if document.untrusted is not None:",
        "    if False:",
        _SIGNED,
    ),
    _binding(
        "an untrusted document says what a slot holds",
        "nexus.commit.slot_write",
        "        if self.in_doubt and newest.untrusted is not None:",
        "        if False:",
        _SIGNED,
    ),
    _binding(
        "money moves on the word of an untrusted bounty",
        "operations.escrow",
        "    if bounty.untrusted is not None:",
        "    if False:",
        _SIGNED,
    ),
    _binding(
        "the reconciler repairs by the word of an untrusted bounty",
        "reconcile.reconciler",
        "        if problem.about is not None and problem.about.untrusted is not None:",
        "        if False:",
        _SIGNED,
    ),
    _binding(
        "an untrusted tombstone buries a bounty",
        "nexus.documents.document",
        "return document.history.tombstone and document.untrusted is None",
        "return document.history.tombstone",
        _SIGNED,
    ),
    _binding(
        "an untrusted reward counts",
        "nexus.documents.records",
        "    if document.untrusted is not None:\n        raise",
        "    if False:\n        raise",
        _SIGNED,
    ),
    _binding(
        "what has changed since it was looked at is signed",
        "nexus.bounties.store",
        "                if as_seen not in (None, standing):",
        "                if False:",
        _SIGNED,
    ),
    _binding(
        "an unsigned verdict is believed",
        "nexus.selection.strategy_selection",
        "    if not signer.has_made(pinned.mac, *_signed_part(file.path, stored)):",
        "    if False:",
        "nexus/selection/test_signed_pins.py",
    ),
    # leases, which the document's word that one was given back keeps safe besides
    _binding(
        "the lease of another call is given back",
        "operations.lease_taking",
        "    if held.claim_id != lease_id(key):\n        return  # another",
        "    if held.claim_id != lease_id(key):\n        pass  # another",
        "operations/test_claim.py",
    ),
)


def hunt(binding: Binding) -> Hunted:
    """Run the tests of a binding without it.

    Raises:
        MutantError: They did not run, or show only that the mutant is written wrongly.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, "-p", "tests.simulation.planted", binding.shown_by],
        env=os.environ | {"PLANTED": binding.mutant.name},
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if ended.returncode not in (0, TEST_FAILED):
        raise MutantError(f"{binding.mutant.name}: {ended.stdout[-500:]}{ended.stderr[-500:]}")
    failed = [each for each in ended.stdout.splitlines() if each.startswith("FAILED ")]
    for each in failed:
        check_runs(binding.mutant, each)
    killed_by = failed[0].removeprefix("FAILED ").partition(" - ")[0] if failed else None
    return Hunted(binding.mutant, killed_by, 1)


def hunt_bindings(workers: int, until: float | None = None) -> Iterator[Hunted]:
    """Hunt them all; those not begun by `until` are left out."""
    executor = ThreadPoolExecutor(workers)
    try:
        for done in as_completed([executor.submit(_hunt, each, until) for each in BINDINGS]):
            if (hunted := done.result()) is not None:
                yield hunted
    finally:
        executor.shutdown(cancel_futures=True)


def _hunt(binding: Binding, until: float | None) -> Hunted | None:
    return None if until is not None and monotonic() > until else hunt(binding)
