"""Credits whose journal is the list of transfers of a NexusPay server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Final, Self, TypeVar

import httpx
import msgspec
from pydantic import SecretStr

from nexus_bounty.bounded_set import BoundedSet
from nexus_bounty.deadlines import Deadline
from nexus_bounty.idempotency import new_key
from nexus_bounty.ledger import Audit, Book, LedgerCredits
from nexus_bounty.models import utc_now
from nexus_bounty.nexus.client import classification
from nexus_bounty.nexus.client.classification import Disposition
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.outcomes import (
    CommitUnknownError,
    Evidence,
    IdempotencyMismatchError,
    InsufficientCreditsError,
    InvalidInputError,
    Observation,
    PaymentError,
    PreCommitError,
    Proof,
)
from nexus_bounty.transactions import Clock
from nexus_bounty.validation import check_id
from nexus_bounty_nexuspay.api import PayApi, UnsupportedNexusPayError
from nexus_bounty_nexuspay.entries import Draft, Entry, Names
from nexus_bounty_nexuspay.transfer_log import Sending, TransferLog

T = TypeVar("T")

_PROOFS: Final = {
    Disposition.NEVER_SENT: Proof.NEVER_SENT,
    Disposition.REFUSED: Proof.REFUSED,
}


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a mutation; `repeated` if this process has tried it before."""

    operation: str
    key: str | None
    deadline: Deadline
    repeated: bool

    @property
    def identity(self) -> tuple[str, str | None]:
        """What a repeat has in common with it."""
        return self.operation, self.key


class NexusPayCredits(LedgerCredits):
    """A `CreditsService` on a NexusPay server; the package's docstring says how it is safe.

    Any number of processes may work on one ledger, with keys of one zone. A call whose task is
    cancelled may have happened; the same id tells. Credits that `top_up` brings in are taken from
    the account that the API key belongs to (`admin` up to Nexus 0.10.0), one hundredth of a credit
    for each unit. Reading writes, too, when a ledger is new or something has expired.

    Args:
        url: The server's base URL; `settings.url` if not given.
        ledger: The ledger's name; a server has as many as are asked for.
        api_key: Sent as bearer token; `settings.api_key` if not given.
        settings: Timeouts and retries; read from `NEXUS_*` variables if not given.
        clock: Says what has expired; aware.
        transport: Any httpx transport, such as one to a server in this process.
        random: The source of jitter.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        ledger: str = "default",
        api_key: str | None = None,
        settings: NexusSettings | None = None,
        clock: Clock = utc_now,
        transport: httpx.AsyncBaseTransport | None = None,
        random: Random | None = None,
    ) -> None:
        super().__init__(clock=clock)
        check_id("ledger", ledger)
        if ":" in ledger:
            raise InvalidInputError("ledger", ledger, "must not contain ':'")
        given = {"url": url, "api_key": None if api_key is None else SecretStr(api_key)}
        known = {name: value for name, value in given.items() if value is not None}
        self._settings = NexusSettings(**{**dict(settings or NexusSettings()), **known})
        self._api = PayApi(self._settings, transport, random or SystemRandom())
        self._log = TransferLog(self._api, Names(ledger))
        self._tried = BoundedSet()
        self._turn = asyncio.Lock()
        self.ledger = ledger

    def __repr__(self) -> str:
        """The URL and the ledger; neither holds credentials."""
        return f"NexusPayCredits({self._settings.url!r}, ledger={self.ledger!r})"

    @property
    def requests_sent(self) -> int:
        """How many requests were sent, repeats included."""
        return self._api.requests_sent

    def why_not_here(self) -> str | None:
        """Why it cannot be used in this event loop; `None` if it can, and belongs to it now."""
        return self._api.why_not_here()

    async def __aenter__(self) -> Self:
        """Open the ledger now, so that a server it cannot be kept on is noticed here.

        Raises:
            UnsupportedNexusPayError: Credits would not be safe on this server (pre-commit).
            PaymentError: The server does not answer (pre-commit).
        """
        await self._refresh(self._call("open", None, self._deadline()))
        return self

    async def close(self) -> None:
        """Close every connection; calls after this are never sent."""
        await self._api.close()

    async def identity(self) -> str:
        """Which ledger this is, by its first entry; read once.

        Raises:
            CommitUnknownError: The ledger cannot be read.
        """
        if self._identity is None:
            origin = await self._read("identity", lambda _: self._log.journal.origin)
            self._identity = f"nexuspay-{self.ledger}-{origin}"
        return self._identity

    async def unassigned(self) -> int:
        """Units that were deposited and are in no account; the next top-up uses them first.

        They are what a late or repeated request has brought, and what others have transferred to
        the name `nexus-bounty:{ledger}`.

        Raises:
            CommitUnknownError: The ledger cannot be read.
        """
        return await self._read("unassigned", lambda _: self._log.journal.unassigned)

    async def verify(self) -> Audit:
        """Recount the whole journal, and compare what was issued with what was deposited.

        Raises:
            CommitUnknownError: The ledger could not be read.
        """
        audit = await super().verify()
        problems = [*audit.problems, *self._log.journal.passed_over]
        missing = -self._log.journal.unassigned
        if missing > 0:
            problems.append(f"{missing} more were issued than NexusPay has received")
        return msgspec.structs.replace(audit, problems=tuple(problems))

    async def _commit(self, operation: str, key: str | None, work: Callable[[Book], T]) -> T:
        """Append what `work` does, on condition that nothing else has been appended meanwhile."""
        async with self._my_turn(operation, key) as call:
            await self._refresh(call)
            while True:
                await self._rule_out_earlier_tries(call)
                draft = Draft(self._log.journal.book)
                result = work(draft)
                if not draft.changed or await self._append(call, draft):
                    break
            if isinstance(result, PreCommitError | IdempotencyMismatchError):
                self._forget(call)
            else:
                self._tried.add(call.identity)
            return result

    async def _read(self, operation: str, work: Callable[[Book], T]) -> T:
        """Run `work` on the ledger as it is now."""
        deadline = self._deadline()
        try:
            await self._log.refresh(deadline)
        except (NexusError, UnsupportedNexusPayError) as error:
            said = error.answer if isinstance(error, NexusError) else error.message
            raise CommitUnknownError(
                f"the ledger cannot be read: {said}",
                operation=operation,
                evidence=_evidence(Proof.NONE, "list", said),
            ) from error
        return work(self._log.journal.book)

    @asynccontextmanager
    async def _my_turn(self, operation: str, key: str | None) -> AsyncIterator[_Call]:
        """One mutation of this service after the other: they would only displace each other."""
        deadline = self._deadline()
        try:
            self._api.check_home()
        except NexusError as error:
            raise self._stopped(self._call(operation, key, deadline), error) from error
        try:
            async with asyncio.timeout_at(deadline.at):
                await self._turn.acquire()
        except TimeoutError as error:
            late = NexusError(classification.OUT_OF_TIME, method="POST", path="transfer")
            raise self._stopped(self._call(operation, key, deadline), late) from error
        try:
            yield self._call(operation, key, deadline)
        finally:
            self._turn.release()

    def _call(self, operation: str, key: str | None, deadline: Deadline) -> _Call:
        return _Call(operation, key, deadline, repeated=(operation, key) in self._tried)

    async def _refresh(self, call: _Call) -> None:
        try:
            await self._log.refresh(call.deadline)
        except NexusError as error:
            raise self._stopped(call, error) from error
        except UnsupportedNexusPayError as error:
            error.about(call.operation, None, call.key)
            raise

    async def _rule_out_earlier_tries(self, call: _Call) -> None:
        """Put something in the place for which an earlier try of this call may be under way."""
        head = self._log.journal.head
        if (call.identity, head) not in self._tried:
            return
        fence = Entry(entry_id=new_key(), after=head, operation="fence", key=call.key)
        try:
            await self._send(call, self._log.prepare(fence, 0))
        except NexusError as error:
            raise self._stopped(call, error) from error

    async def _append(self, call: _Call, draft: Draft) -> bool:
        """Whether what was done in `draft` was appended, rather than something else.

        Raises:
            PreCommitError: It was not, and can no longer be.
            CommitUnknownError: It may have been, or may yet.
        """
        entry = draft.entry(new_key(), self._log.journal.head, call.operation, call.key)
        sending = self._log.prepare(entry, await self._units_for(call, entry))
        here = (call.identity, entry.after)
        self._tried.add(call.identity)
        self._tried.add(here)
        try:
            appended = await self._send(call, sending)
        except NexusError as error:
            self._forget(call)
            self._tried.discard(here)
            raise self._stopped(call, error) from error
        if not appended and sending.in_doubt:
            self._forget(call)
            raise _fenced_off(sending).about(call.operation, None, call.key)
        return appended

    async def _send(self, call: _Call, sending: Sending) -> bool:
        """Whether the entry was appended, rather than something else.

        Raises:
            NexusError: It never left, or was refused at once.
            CommitUnknownError: It may have been appended, or may yet.
        """
        try:
            return await self._log.append(sending, call.deadline)
        except NexusError as error:
            if not sending.sent:
                raise
            message = f"it was sent, and nothing shows what became of it: {error.answer}"
            unknown = CommitUnknownError(message, evidence=sending.proves(Proof.NONE))
            raise unknown.about(call.operation, None, call.key) from error

    async def _units_for(self, call: _Call, entry: Entry) -> int:
        """The units that have to be deposited with `entry`, which the server's account has.

        Raises:
            InsufficientCreditsError: It has not (pre-commit).
            PaymentError: It does not say (pre-commit).
        """
        units = min(entry.issued, max(entry.issued - self._log.journal.unassigned, 0))
        if not units:
            return 0
        try:
            available = await self._api.treasury(call.deadline)
        except NexusError as error:
            raise self._stopped(call, error) from error
        if available < units:
            raise InsufficientCreditsError(
                f"the account that top-ups are taken from has {available} available on NexusPay, "
                f"{units} required",
                available=available,
                required=units,
                evidence=_evidence(Proof.DOCUMENT, "balance", f"{available} available"),
                operation=call.operation,
                idempotency_key=call.key,
            )
        return units

    def _forget(self, call: _Call) -> None:
        """It was not done, unless an earlier try has done it."""
        if not call.repeated:
            self._tried.discard(call.identity)

    def _stopped(self, call: _Call, error: NexusError) -> PaymentError | CommitUnknownError:
        """The error for a failure before anything of this call was sent."""
        evidence = _evidence(_PROOFS.get(error.disposition, Proof.NEVER_SENT), "ask", error.answer)
        if call.repeated:
            unknown = CommitUnknownError(
                f"the server did not say ({error.answer}), and it was tried before",
                evidence=msgspec.structs.replace(evidence, proof=Proof.NONE),
            )
            return unknown.about(call.operation, None, call.key)
        message = f"nothing was changed: {error.answer}"
        return PaymentError(message, evidence=evidence).about(call.operation, None, call.key)

    def _deadline(self) -> Deadline:
        return Deadline.after(self._settings.operation_timeout)


def _fenced_off(sending: Sending) -> PreCommitError:
    """The error for credits that may still be under way, and can no longer count."""
    return PreCommitError(
        "the request got no answer and was fenced off: no account was credited by it, or will be. "
        "Should it arrive all the same, the next top-up uses what it brings",
        evidence=sending.proves(Proof.FENCED),
    )


def _evidence(proof: Proof, action: str, answer: str) -> Evidence:
    seen = Observation(action=action, target="NexusPay", answer=answer)
    return Evidence(proof=proof, observations=(seen,))
