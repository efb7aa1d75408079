"""Faults planted in our own logic, one at a time, each of which the exploration must find.

A mutant is a piece of text in one module and what stands there instead. A text that is not found,
or not only once, is an error: the table has to keep up with the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted fault."""

    name: str
    module: str
    old: str
    new: str


_CONDITIONAL: Final = "nexus_bounty.nexus.commit.conditional"
_PROVEN: Final = "nexus_bounty.nexus.commit.proven_write"
_WRITER: Final = "nexus_bounty.nexus.documents.writer"
_OPERATION: Final = "nexus_bounty.nexus.documents.operation"
_INTENTS: Final = "nexus_bounty.nexus.bounties.intents"
_TAKING: Final = "nexus_bounty.nexus.claims.taking"
_CLASSES: Final = "nexus_bounty.nexus.client.classification"
_SERVICES: Final = "nexus_bounty.operations.services"
_CREATE: Final = "nexus_bounty.operations.create"
_CLAIM: Final = "nexus_bounty.operations.claim"
_LEASE_ENDS: Final = "nexus_bounty.operations.lease_ends"
_SETTLE: Final = "nexus_bounty.operations.settle"
_PAYING: Final = "nexus_bounty.operations.paying"
_CANCEL: Final = "nexus_bounty.operations.cancel"
_EXPIRE: Final = "nexus_bounty.operations.expire"

MUTANTS: Final = (
    # how a commit is proven
    Mutant(
        "the fence is removed: what was not seen to land is said never to land",
        _PROVEN,
        "                self._become_fence()\n                last",
        "                return Aborted(Proof.FENCED)\n                last",
    ),
    Mutant(
        "resolving fences nothing off",
        _WRITER,
        "result = await strategy.abort(intent, operation.deadline, operation.trail)",
        "result = Aborted(Proof.FENCED)",
    ),
    Mutant(
        "the etag is not compared: documents are overwritten",
        _CONDITIONAL,
        "if_match=base.file.etag if base else None,",
        "if_match=None,",
    ),
    Mutant(
        "a create overwrites what is there",
        _CONDITIONAL,
        "if_none_match=base is None,",
        "if_none_match=False,",
    ),
    Mutant(
        "a refusal of the second attempt is believed of the first",
        _PROVEN,
        "return Aborted(proof) if proof and not self.in_doubt else None",
        "return Aborted(proof) if proof else None",
    ),
    Mutant(
        "an ambiguous answer leaves no doubt behind",
        _PROVEN,
        "            lost_answer()\n        self.in_doubt = True",
        "            lost_answer()",
    ),
    Mutant(
        "an aborted record passes for a commit",
        _PROVEN,
        "        if record.aborted:",
        "        if False:",
    ),
    Mutant(
        "an acknowledged fence passes for the commit that it keeps out",
        _CONDITIONAL,
        "        if self.as_fence:",
        "        if False:",
    ),
    Mutant(
        "a failed read passes for absence",
        _CONDITIONAL,
        'self._saw("read", error.answer)\n            return None',
        'self._saw("read", error.answer)\n            return Aborted(Proof.REFUSED)',
    ),
    Mutant(
        "a read that does not show the write passes for absence",
        _CONDITIONAL,
        'self._saw("read", "as before: the write has not landed yet")\n            return None',
        'self._saw("read", "as before")\n            return Aborted(Proof.REFUSED)',
    ),
    # what a process remembers, and what a document tells
    Mutant(
        "a fence is written without saying that it is one",
        _WRITER,
        "aborted = operation.record(seq, now, aborted=True)",
        "aborted = operation.record(seq, now)",
    ),
    Mutant(
        "a key that was fenced off is taken for done",
        _WRITER,
        "if record.aborted:",
        "if False:",
    ),
    Mutant(
        "the history is not looked at: a repeat is refused",
        _WRITER,
        "record = history.find(operation.key)",
        "record = None",
    ),
    Mutant(
        "it is forgotten that an attempt may be under way",
        _WRITER,
        "in_doubt=(record_id, key) in self._attempts,",
        "in_doubt=False,",
    ),
    Mutant(
        "a failed read speaks for an earlier attempt, too",
        _OPERATION,
        "        if self.in_doubt:\n            return self.unknown(",
        "        if False:\n            return self.unknown(",
    ),
    Mutant(
        "unknown is called failed",
        _WRITER,
        "        if isinstance(result, Unknown):\n"
        "            raise operation.unknown(result.why)\n"
        "        operation.in_doubt = False",
        "        if isinstance(result, Unknown):\n"
        "            raise operation.error(PreCommitError, Proof.REFUSED, result.why)\n"
        "        operation.in_doubt = False",
    ),
    Mutant(
        "a remembered document is enough to refuse",
        _WRITER,
        "                if document is not remembered:\n",
        "                if True:\n",
    ),
    Mutant(
        "resolving gives up when another write is in the fence's place",
        _WRITER,
        "            if not isinstance(result, Superseded):\n                break",
        "            break",
    ),
    Mutant(
        "only the newest operation is remembered",
        "nexus_bounty.idempotency",
        "ops = [*ops, msgspec.to_builtins(record)]",
        "ops = [msgspec.to_builtins(record)]",
    ),
    Mutant(
        "all steps of an operation share one key",
        "nexus_bounty.idempotency",
        'return f"{key}:{step}"',
        "return key",
    ),
    # what an answer proves
    Mutant(
        "a timeout means that nothing was sent",
        _CLASSES,
        "httpx.ReadTimeout: _ambiguous(Reason.TIMEOUT),",
        "httpx.ReadTimeout: _never_sent(Reason.TIMEOUT),",
    ),
    Mutant(
        "a lost connection means that nothing was sent",
        _CLASSES,
        "httpx.RemoteProtocolError: _ambiguous(Reason.CONNECTION_LOST),",
        "httpx.RemoteProtocolError: _never_sent(Reason.CONNECTION_LOST),",
    ),
    Mutant(
        "503 means that nothing was done",
        _CLASSES,
        "503: _ambiguous(Reason.SERVER_ERROR),",
        "503: _refused(Reason.SERVER_ERROR),",
    ),
    Mutant(
        "an internal error means that nothing was done",
        _CLASSES,
        "-32603: _ambiguous(Reason.SERVER_ERROR),",
        "-32603: _refused(Reason.SERVER_ERROR),",
    ),
    Mutant(
        "a conflict means that somebody else was faster",
        _CLASSES,
        "-32006: _ambiguous(Reason.CONFLICT),",
        "-32006: _refused(Reason.CONFLICT),",
    ),
    # markers
    Mutant(
        "the new status is not marked before its commit",
        _INTENTS,
        "announcing = partial(self._announcing, bounty, transition.target, seq)",
        "announcing = None",
    ),
    Mutant(
        "a new bounty is not marked before its commit",
        _INTENTS,
        "announcing=partial(self._announcing, bounty, bounty.status, generation),",
        "announcing=None,",
    ),
    Mutant(
        "the marker of the new status is removed instead of the old one's",
        "nexus_bounty.nexus.bounties.status_index",
        "behind = [marker(before)]",
        "behind = [marker(target)]",
    ),
    # the life of a bounty
    Mutant(
        "what is being paid can be cancelled",
        "nexus_bounty.statuses",
        "then=frozenset({_S.COMPLETED, _S.SETTLED}),",
        "then=frozenset({_S.COMPLETED, _S.SETTLED, _S.CANCELLED}),",
    ),
    Mutant(
        "anybody can release anybody's claim",
        "nexus_bounty.nexus.bounties.transitions",
        '        {"agentId": claimed_by.agent_id},\n        only_by=claimed_by.agent_id,',
        '        {"agentId": claimed_by.agent_id},\n        only_by=None,',
    ),
    # money
    Mutant(
        "create: opened without its credits",
        _CREATE,
        "        if bounty.status is BountyStatus.DRAFT:\n            reservation",
        "        if False:\n            reservation",
    ),
    Mutant(
        "create: credits given back when nothing is known",
        _CREATE,
        "    except PreCommitError as refusal:\n        if bounty.status in",
        "    except CommitUnknownError:\n"
        '        await services.credits.void(draft.reservation_id or "")\n'
        "        raise\n"
        "    except PreCommitError as refusal:\n        if bounty.status in",
    ),
    Mutant(
        "create: credits given back while the draft can still be opened",
        _CREATE,
        "        await discard(services, draft, attempt)",
        "        pass",
    ),
    Mutant(
        "create: each try reserves anew",
        _CREATE,
        '            draft.reservation_id or "",\n            account=',
        "            services.key(None),\n            account=",
    ),
    Mutant(
        "ledger: the same reservation again is another one",
        "nexus_bounty.ledger.rules",
        "    existing = book.reservation(wanted.reservation_id)\n    if existing is not None:",
        "    existing = book.reservation(wanted.reservation_id)\n    if False:",
    ),
    Mutant(
        "settle: paid before the pivot",
        _SETTLE,
        "    if _is_decided_elsewhere(bounty):\n        return bounty\n    pivot",
        "    if bounty.status is BountyStatus.CLAIMED:\n"
        "        await services.credits.capture(\n"
        '            bounty.reservation_id or "", to_account=bounty.claimed_by.agent_id\n'
        "        )\n"
        "    if _is_decided_elsewhere(bounty):\n        return bounty\n    pivot",
    ),
    Mutant(
        "settle: settled before it is paid",
        _PAYING,
        "    try:\n        reservation = await _paid(services, bounty)\n",
        "    bounty = await _settled(services, bounty, key, owed)\n"
        "    try:\n        reservation = await _paid(services, bounty)\n",
    ),
    Mutant(
        "settle: never paid",
        _PAYING,
        "        reservation = await _paid(services, bounty)",
        "        reservation = None",
    ),
    Mutant(
        "settle: the reward is forgotten",
        _PAYING,
        "        _tried(REWARD, record_payout(services, bounty, paid=rewarded), failed),",
        '        _tried(REWARD, services.claims.get(bounty.claim_id or ""), failed),',
    ),
    Mutant(
        "settle: the criteria are not looked at",
        _SETTLE,
        "    if lacking := _lacking(bounty, cid, contribution):",
        "    if lacking := []:",
    ),
    Mutant(
        "settle: the criteria are not looked at while nobody has claimed the bounty",
        _SETTLE,
        "    if claimer is Claimer.NONE:",
        "    if False:",
    ),
    Mutant(
        "settle: a failure after the pivot is called a failure",
        _PAYING,
        "raise still_owed(bounty, [*OWED_PAST_THE_PIVOT, *owed], error)",
        'raise PaymentError("could not pay")',
    ),
    Mutant(
        "settle: what cannot be said once it is paid is called a failure",
        _PAYING,
        "        raise still_owed(settled or bounty, pending, error) from error",
        "        raise error",
    ),
    Mutant(
        "cancel: credits given back first",
        _CANCEL,
        "    step = services.store.cancel_bounty(",
        "    if bounty.reservation_id is not None:\n"
        "        await services.credits.void(bounty.reservation_id)\n"
        "    step = services.store.cancel_bounty(",
    ),
    Mutant(
        "cancel: credits not given back",
        _CANCEL,
        "        reservation = await give_back(services, bounty)",
        "        reservation = None",
    ),
    Mutant(
        "cancel: a failure after its commit is called a failure",
        _CANCEL,
        "        raise still_owed(bounty, [VOID, RELEASE_LEASE, *owed], error) from error",
        "        raise",
    ),
    Mutant(
        "expire: before the deadline",
        _EXPIRE,
        "        if ends_at(services, bounty) > (now or services.clock()):\n            raise",
        "        if False:\n            raise",
    ),
    Mutant(
        "operations: calls with one key do not wait for each other",
        _SERVICES,
        "async with services.locks.of(attempt):",
        "async with KeyedLocks().of(attempt):",
    ),
    Mutant(
        "operations: an earlier call with the key is not thought of",
        _SERVICES,
        "            if tried_before:",
        "            if False:",
    ),
    # claims
    Mutant(
        "claim: the lease is given back on any error",
        _CLAIM,
        "    except PreCommitError as refusal:\n        await give_lease_back(",
        "    except Exception as refusal:\n"
        "        await end_lease(services, bounty.bounty_id, held.claim_id)\n"
        "        await give_lease_back(",
    ),
    Mutant(
        "claim: the lease is given back whatever the document says",
        _LEASE_ENDS,
        "    if bounty is not None and is_held_by(bounty, held.agent):\n        return False",
        "    if False:\n        return False",
    ),
    Mutant(
        "claim: the lease is given back while a claim made with it is under way",
        _LEASE_ENDS,
        "    if bounty is not None and _may_be_claimed(bounty, held.agent):",
        "    if False:",
    ),
    Mutant(
        "claim: the lease is given back while another's claim, which has lapsed, is being freed",
        _LEASE_ENDS,
        "    return claimer in (Claimer.NONE, Claimer.AT_WORK) and",
        "    return claimer is Claimer.NONE and",
    ),
    Mutant(
        "claim: past the deadline",
        _CLAIM,
        "    if bounty.deadline <= services.clock():",
        "    if False:",
    ),
    Mutant(
        "claim: by its creator",
        _CLAIM,
        "    if is_own and not services.allow_self_claims:",
        "    if False:",
    ),
    Mutant(
        "leases: whoever is refused the lock takes the lease",
        _TAKING,
        "            if free and await lock.move(operation, named, request.claim_id):",
        "            if free and (await lock.move(operation, named, request.claim_id) or True):",
    ),
    Mutant(
        "leases: the lock is overwritten",
        "nexus_bounty.nexus.commit.files",
        "                if_none_match=now is None,",
        "                if_none_match=False,",
    ),
    Mutant(
        "leases: nobody can find them by their target",
        _TAKING,
        "operation, path, None, value, tombstone=tombstone, markers=(marker,)",
        "operation, path, None, value, tombstone=tombstone, markers=()",
    ),
    Mutant(
        "leases: a claim that won the lock and is unwritten is never fenced off",
        _TAKING,
        "await self.writer.abort(fence, self.writer.fence(fence, path, None, tombstone))",
        "self.writer.fence(fence, path, None, tombstone)",
    ),
    Mutant(
        "release: the lease goes on",
        "nexus_bounty.operations.release",
        "                await _end_lease_of(services, before, agent, step_key)",
        "                pass",
    ),
    Mutant(
        "release: a repeat ends whatever lease the agent has",
        "nexus_bounty.operations.release",
        "        history = await services.store.get_history(before.bounty_id)\n"
        "        given_back = next((each.gave_back for each in history if each.key ==",
        '        history = await services.claims.active_claims(f"bounty:{before.bounty_id}")\n'
        "        step_key = agent.agent_id\n"
        "        given_back = next((each.claim_id for each in history if each.agent.agent_id ==",
    ),
    Mutant(
        "renew: the lease is not extended",
        _CLAIM,
        "        return await services.claims.heartbeat(claim_id, lease=lease, target_ref=on)",
        "        return await services.claims.get(claim_id)",
    ),
    Mutant(
        "settle: the lease goes on",
        _PAYING,
        "        await services.claims.complete(bounty.claim_id, target_ref=on)",
        "        await services.claims.get(bounty.claim_id)",
    ),
    Mutant(
        "claim: a lease that was given back will do",
        "nexus_bounty.nexus.bounties.transitions",
        "        if spent and claimer is Claimer.NONE:",
        "        if False:",
    ),
    # the reconciler
    Mutant(
        "reconciler: drafts are opened without credits",
        "nexus_bounty.reconcile.drafts",
        "    if not held or draft.deadline <= scope.now:",
        "    if draft.deadline <= scope.now:",
    ),
    Mutant(
        "reconciler: drafts are opened under a key of its own",
        "nexus_bounty.reconcile.drafts",
        "    attempt = await _made_by(services, draft)\n    step",
        "    attempt = None\n    step",
    ),
    Mutant(
        "reconciler: claimed bounties are opened whose lease goes on",
        "nexus_bounty.reconcile.claims",
        "                if claim.holds(scope.now):\n"
        "                    continue\n"
        "                lapsed_just_now = claim.holds(scope.now - scope.grace)",
        "                lapsed_just_now = False",
    ),
)
