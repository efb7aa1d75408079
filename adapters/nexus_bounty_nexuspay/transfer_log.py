"""The server's list of transfers as a log: read to its end, and appended to one entry at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events.log import logger_of
from nexus_bounty.idempotency import new_key
from nexus_bounty.nexus.client import classification
from nexus_bounty.nexus.client.classification import Disposition
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.outcomes import Evidence, Observation, Proof
from nexus_bounty_nexuspay.api import PayApi, PayRelease, UnsupportedNexusPayError, without_records
from nexus_bounty_nexuspay.entries import START, Entry, Names
from nexus_bounty_nexuspay.journal import Journal, Transaction

logger = logger_of("nexus_bounty.nexuspay")

FIRST_PAGE: Final = 8
"""How many transfers a look asks for where most are known; each page after it holds more."""
PAGE: Final = 1000
"""How many it asks for at once at most."""
MOST_PAID: Final = 16
"""How often credits are sent at most where every answer says yes and the list never shows them."""
OFTEN: Final = 8
"""As many answers in a row to transfers that are not in the list are no reason to wait."""
MOST_FORGOTTEN: Final = 64
"""A server that acknowledges this many transfers in a row and lists none cannot keep them."""


@dataclass(slots=True)
class Sending:
    """An entry on its way.

    Attributes:
        entry: What is to be appended.
        amount: How NexusPay is told the credits that go with it.
        nothing: How it is told that none do.
        fence: What takes its place while its credits may be under way; `None` for an entry that
            carries none, and is its own fence.
        sent: Whether it may have arrived, or may yet.
        times_paid: How often its credits were sent.
        in_doubt: Whether they may be under way: a request with them got no answer.
        observations: What was done and what came of it.
    """

    entry: Entry
    amount: str
    nothing: str
    fence: Entry | None
    sent: bool = False
    times_paid: int = 0
    in_doubt: bool = False
    observations: list[Observation] = field(default_factory=list)

    def next(self) -> tuple[Entry, str]:
        """What is to be sent now, and the amount that goes with it."""
        if self.fence is None:
            return self.entry, self.nothing
        if self.in_doubt or self.times_paid >= MOST_PAID:
            self.in_doubt = True
            return self.fence, self.nothing
        self.times_paid += 1
        return self.entry, self.amount

    def saw(self, action: str, answer: str) -> None:
        """Note one thing that was done and what came of it."""
        self.observations.append(Observation(action=action, target="NexusPay", answer=answer))

    def acknowledged(self) -> None:
        """Note that a request was answered, which does not mean that it was stored."""
        self.saw("transfer", "acknowledged")
        self.sent = True

    def failed(self, error: NexusError) -> None:
        """Note what a failed request leaves open."""
        self.saw("transfer", error.answer)
        if error.disposition is Disposition.AMBIGUOUS:
            self.sent = True
            self.in_doubt = self.fence is not None

    def proves(self, proof: Proof) -> Evidence:
        """All that was seen, under the proof it amounts to."""
        return Evidence(proof=proof, observations=tuple(self.observations))


class TransferLog:
    """One ledger on one server.

    Args:
        api: The server.
        names: How the ledger's transfers are addressed.
    """

    def __init__(self, api: PayApi, names: Names) -> None:
        self.journal = Journal(names)
        self._api = api
        self._names = names
        self._release: PayRelease | None = None
        self._opening = asyncio.Lock()

    async def refresh(self, deadline: Deadline) -> None:
        """Take in everything that the server had stored when this was called.

        Raises:
            UnsupportedNexusPayError: The ledger cannot be kept on this server.
            NexusError: The list could not be read.
        """
        self._api.check_home()
        if self._release is None:
            await self._open(deadline)
        else:
            await self._read(deadline)

    def prepare(self, entry: Entry, units: int) -> Sending:
        """An entry to be sent, with the credits that go with it.

        Raises:
            PaymentError: NexusPay cannot be told this many exactly (pre-commit).
        """
        if self._release is None:
            raise RuntimeError("the ledger is not open")
        fence = Entry(entry_id=new_key(), after=entry.after, operation="fence", key=entry.key)
        amount, nothing = self._release.amount(units), self._release.nothing
        return Sending(entry, amount, nothing, fence if units else None)

    async def append(self, sending: Sending, deadline: Deadline) -> bool:
        """Send until something follows the entry that this one is to follow; whether it is this.

        An entry without credits may be repeated whatever became of it: it counts once at most.
        One that carries some is repeated only when it was answered, and is not in the list; a
        request without answer is fenced off first.

        Raises:
            NexusError: Nothing was sent, or it was refused at once; or, if it was `sent`, the
                time is over and it may count yet.
        """
        for number in count(1):
            error = await self._send(sending, deadline)
            if sending.sent:
                follower = await self._follower(sending, deadline)
                if follower is not None:
                    return self._ended(sending, follower)
            elif error is not None and not self._is_worth_a_repeat(error, number):
                raise error
            await self._pause(number, error, deadline)
        raise AssertionError("counting never ends")  # pragma: no cover

    async def _send(self, sending: Sending, deadline: Deadline) -> NexusError | None:
        entry, amount = sending.next()
        try:
            await self._transfer(entry, amount, deadline)
        except NexusError as error:
            sending.failed(error)
            return error
        sending.acknowledged()
        return None

    async def _transfer(self, entry: Entry, amount: str, deadline: Deadline) -> None:
        body = {
            "to": self._names.of(entry),
            "amount": amount,
            "memo": f"{entry.operation} {entry.key or ''}".rstrip(),
            "idempotency_key": entry.entry_id,
        }
        await self._api.transfer(body, deadline)

    async def _follower(self, sending: Sending, deadline: Deadline) -> str | None:
        """What follows the entry that `sending` is to follow, by a list read after it was sent.

        Raises:
            NexusError: The time is over, and the list could not be read.
        """
        for number in count(1):
            try:
                await self._read(deadline)
            except NexusError as error:
                sending.saw("list", error.answer)
                await self._pause(number, error, deadline)
            else:
                break
        follower = self.journal.follower(sending.entry.after)
        ours = follower == sending.entry.entry_id
        sending.saw(
            "list", "nothing yet" if follower is None else "it counts" if ours else "another counts"
        )
        return follower

    def _ended(self, sending: Sending, follower: str) -> bool:
        entry = sending.entry
        appended = follower == entry.entry_id
        logger.debug("%s %s: appended: %s", entry.operation, entry.key, appended)
        if sending.times_paid and not appended:
            logger.warning(
                "%s %s was displaced: what it paid, or may yet, is used by the next top-up",
                entry.operation,
                entry.key,
            )
        return appended

    def _is_worth_a_repeat(self, error: NexusError, number: int) -> bool:
        return error.is_passing and number < self._api.retries.attempts

    async def _pause(self, number: int, error: NexusError | None, deadline: Deadline) -> None:
        """Wait before the next request, unless it is usual that the last one came to nothing.

        Raises:
            NexusError: The time is over.
        """
        failures = number - OFTEN if error is None else number
        asked, why = (error.retry_after, error.proven) if error else (None, "not in the list yet")
        if not deadline.remaining or (
            failures > 0 and not await self._api.retries.rest(failures, deadline, asked, why)
        ):
            raise error or NexusError(classification.LATE, method="POST", path="transfer")

    async def _open(self, deadline: Deadline) -> None:
        async with self._opening:
            if self._release is None:
                release = await self._observed(deadline)
                await self._begin(release, deadline)
                self._release = release
                logger.info("the ledger is on NexusPay %s", release.name)

    async def _observed(self, deadline: Deadline) -> PayRelease:
        """Which NexusPay it is, after a look at its list."""
        try:
            release = await self._api.observed_release(deadline)
            await self._read(deadline)
        except NexusError as error:
            if (refusal := without_records(error)) is not None:
                raise refusal from error
            raise
        return release

    async def _begin(self, release: PayRelease, deadline: Deadline) -> None:
        """See to it that the list shows an entry, which also shows that it keeps what it is sent.

        From then on an empty list is known to be none: the server answers so to hide an error.
        """
        entry = Entry(entry_id=new_key(), after=START, operation="begin")
        for number in range(1, MOST_FORGOTTEN + 1):
            if self.journal.head != START:
                return
            try:
                await self._transfer(entry, release.nothing, deadline)
            except NexusError as error:
                if not self._is_worth_a_repeat(error, number):
                    raise
                await self._pause(number, error, deadline)
            await self._read(deadline)
        if self.journal.head == START:
            raise UnsupportedNexusPayError(
                f"this server acknowledged {MOST_FORGOTTEN} transfers of next to nothing and "
                "lists none of them: its records cannot hold what they were told, such as names "
                "of more than 64 characters on PostgreSQL"
            )

    async def _read(self, deadline: Deadline) -> None:
        """Read the list until it is all there.

        Raises:
            NexusError: It cannot be read, or shows less than there is.
        """
        try:
            await self._api.retries.persist(lambda: self._read_once(deadline), _is_short, deadline)
        except _ShortListError as error:
            raise _unreadable(str(error)) from error

    async def _read_once(self, deadline: Deadline) -> None:
        """Read the list, from the newest transfer back to those that are known.

        Raises:
            _ShortListError: It shows less than there is.
            NexusError: It cannot be read.
        """
        known = self.journal.size
        limit = FIRST_PAGE if known else PAGE
        page = await self._api.page(limit, None, deadline)
        total = page.total
        found: dict[str, Transaction] = {}
        while True:
            found |= {each.id: each for each in page.transactions}
            unseen = [each for each in found.values() if not self.journal.knows(each.id)]
            if self.journal.size + len(unseen) >= total:
                break
            if page.next_cursor is None:
                raise _ShortListError(self.journal.size)
            # What is stored meanwhile moves the rest back, never forth: nothing is passed over.
            limit = min(limit * 8, PAGE)
            page = await self._api.page(limit, page.next_cursor, deadline)
        try:
            self.journal.add(unseen)
        except (ArithmeticError, ValueError) as error:
            raise _unreadable(str(error)) from error
        if total < known:
            raise _ShortListError(known)


class _ShortListError(Exception):
    """The list shows less than there is."""

    def __init__(self, known: int) -> None:
        super().__init__(f"the list shows less than the {known} transfers known")


def _is_short(error: Exception) -> bool:
    return isinstance(error, _ShortListError)


def _unreadable(detail: str) -> NexusError:
    return NexusError(classification.UNREADABLE, method="GET", path="transactions", detail=detail)
