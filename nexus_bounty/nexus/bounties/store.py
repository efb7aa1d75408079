"""NexusBountyStore: bounties as documents on Nexus, every mutation with a provable outcome."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Self

import msgspec

from nexus_bounty.events import Observer
from nexus_bounty.events.stream import given
from nexus_bounty.idempotency import History, OperationRecord, derived_id
from nexus_bounty.models import (
    FROM_IDEMPOTENCY_KEY,
    AgentIdentity,
    Bounty,
    BountyQuery,
    BountyStatus,
    IndexFault,
    IndexPage,
    IndexStatus,
    MarkedPage,
    RewardQuery,
    RewardRecord,
    utc_now,
)
from nexus_bounty.nexus.bounties import transitions
from nexus_bounty.nexus.bounties.counting import LIVING, count_by_names
from nexus_bounty.nexus.bounties.creating import BountyCreation
from nexus_bounty.nexus.bounties.creation_order import CreationOrder
from nexus_bounty.nexus.bounties.index_audit import IndexAudit
from nexus_bounty.nexus.bounties.intents import BountyIntents
from nexus_bounty.nexus.bounties.listing import BountyListing
from nexus_bounty.nexus.bounties.marker_places import MarkerPlaces
from nexus_bounty.nexus.bounties.marker_removal import MarkerRemoval
from nexus_bounty.nexus.bounties.marker_watch import MarkerWatch
from nexus_bounty.nexus.bounties.resolving import resolved
from nexus_bounty.nexus.bounties.rewards import RewardBook
from nexus_bounty.nexus.bounties.status_index import StatusIndex
from nexus_bounty.nexus.bounties.transitions import Transition
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.documents import Document, is_tombstone
from nexus_bounty.nexus.documents.cache import DocumentMemory
from nexus_bounty.nexus.documents.commits import Intent
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.records import listed, to_bounty, to_value
from nexus_bounty.nexus.documents.vouching import vouched_for
from nexus_bounty.nexus.documents.writer import DocumentWriter
from nexus_bounty.nexus.selection.auto_commit import CommitOption, strategy_choice
from nexus_bounty.outcomes import (
    BountyNotFoundError,
    BountyStateError,
    PreCommitError,
    Proof,
    Resolution,
)
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.validation import (
    MOST_NAME_BYTES,
    check_agent,
    check_bounty,
    check_id,
    check_key,
    check_member,
    check_name,
    check_time,
    is_name,
)


class NexusBountyStore:
    """A `BountyStore` on one zone of a Nexus server.

    Args:
        client: The server; the caller closes it.
        zone_id: The zone; the client's setting if not given.
        commit: How documents are committed: "auto" for what a probe finds to be safe before the
            first write, "conditional" for `ConditionalCommit` unseen, or a strategy.
        clock: The current time, aware.
        observers: Told of every mutation and of all that happens inside, see
            `nexus_bounty.events`; those of the client are, too.

    Every mutation returns a committed snapshot or raises one of:

    - `PreCommitError`: it did not happen and can no longer happen;
    - `PostCommitError`: it happened, and removing a stale marker is still owed;
    - `CommitUnknownError`: neither could be proven. Repeat the call with the error's
      `idempotency_key`, or ask `resolve_operation`.

    A mutation that is cancelled may still land: repeat it with its key to find out.

    Of a key that another process may have used before, a `PreCommitError` whose proof is
    `never_sent`, `refused` or `local_check` rules out the calls through this object alone: ask
    `resolve_operation`. `BountyOperations` looks for such calls by itself.
    """

    def __init__(
        self,
        client: NexusClient,
        zone_id: str | None = None,
        *,
        commit: CommitOption = "auto",
        clock: Callable[[], datetime] = utc_now,
        observers: Sequence[Observer] = (),
    ) -> None:
        zone_id = zone_id if zone_id is not None else client.settings.zone_id
        check_id("zone_id", zone_id)
        self._client = client
        self._clock = clock
        self._zone = ZonePaths(zone_id)
        choice = strategy_choice(commit, client, zone_id, clock)
        self._writer = DocumentWriter(client, zone_id, choice, clock, given(observers))
        self._order = CreationOrder(client, self._zone, choice, clock)
        self._places = MarkerPlaces(client, self._zone, choice)
        self._index = StatusIndex(client, self._places, self._order)
        self._listing = BountyListing(client, self._zone, self._index, self._order, choice, clock)
        self._watch = MarkerWatch(client, self._index, choice)
        self._audit = IndexAudit(client, self._zone, self._index, self._order, choice)
        self._rewards = RewardBook(client, self._zone, self._writer, choice)
        self._removal = MarkerRemoval(client, self._zone, self._places, self._order)
        self._intents = BountyIntents(self._writer, self._zone, self._index, clock)
        self._choice = choice
        self._memory = DocumentMemory(client.settings.remembered_documents)
        self._creation = BountyCreation(
            self._writer,
            self._zone,
            self._memory,
            self._index,
            self._intents,
            self._removal,
            self._watch,
        )
        self._names_since: float | None = None

    def cleaning_up(self, *, later: bool) -> Self:
        """The same store, removing stale markers `later`, or before its transitions return.

        Later they are left to `client.cleanup`, off the critical path: nothing is owed then, so
        that no `PostCommitError` is raised. A new store does it before it returns.
        """
        writer = self._writer.leaving_files(later=later)
        removal = replace(self._removal, later=later)
        other = self._with_intents(replace(self._intents, writer=writer))
        other._writer, other._removal = writer, removal  # noqa: SLF001 - it is this very class
        other._creation = replace(other._creation, writer=writer, removal=removal)  # noqa: SLF001
        other._rewards = RewardBook(self._client, self._zone, writer, self._choice)  # noqa: SLF001
        return other

    def expecting(self, next_key: str) -> Self:
        """The same store, for one mutation that the expected next one follows, with that key.

        `fund_bounty` follows the creation of a draft, `settle_bounty` the pivot. Where commits are
        staged, that one is staged with the one before.
        """
        return self._with_intents(replace(self._intents, next_key=next_key))

    def _with_intents(self, intents: BountyIntents) -> Self:
        other = copy(self)
        other._intents = intents  # noqa: SLF001 - it is this very class
        other._creation = replace(self._creation, intents=intents)  # noqa: SLF001
        return other

    def looking_first(self) -> Self:
        """The same store, which writes nothing, not even a marker, where a bounty has the id.

        It looks before it creates: a round trip more, and a request where commits go by
        preconditions.
        """
        other = copy(self)
        creation = replace(self._creation, looks_first=True)
        other._creation = creation  # noqa: SLF001 - it is this very class
        return other

    def sharing_names(self, since: float) -> Self:
        """The same store, which shares the names that it lists with others that do.

        A walk of it may go by names that were listed at `since`, a time of the event loop's clock,
        or later, where the server lists all names of a directory however few are wanted.
        """
        other = copy(self)
        other._names_since = since  # noqa: SLF001 - it is this very class
        return other

    @property
    def zone_id(self) -> str:
        """The zone that this store works on."""
        return self._zone.zone_id

    @property
    def server(self) -> str:
        """The address of the server that the zone is on; it holds no credentials."""
        return self._client.server

    def why_not_here(self) -> str | None:
        """Why it cannot be used in this event loop; `None` if it can, and belongs to it now."""
        return self._client.why_not_here()

    @property
    def store_identity(self) -> str:
        """Which zone of which kind of store this is."""
        return f"nexus:{self._zone.zone_id}:bounties"

    async def close(self) -> None:
        """Forget what was remembered; the client stays open, whoever opened it closes it."""
        self._memory.clear()
        self._listing.forget()

    # Reading

    async def get_bounty(self, bounty_id: str, *, fresh: bool = True) -> Bounty | None:
        """The bounty as it stands, or `None`; if not `fresh`, as it was last seen.

        Raises:
            NexusError: It could not be read.
            UnreadableDocumentError: What is stored is not a bounty.
        """
        check_id("bounty_id", bounty_id)
        path = self._zone.bounty(bounty_id)
        remembered = None if fresh else self._memory.recall(path)
        document = remembered or await self._read(path)
        if document is None or is_tombstone(document):
            return None
        self._memory.remember(document)
        return to_bounty(document)

    async def get_bounties(self, bounty_ids: Sequence[str]) -> dict[str, Bounty]:
        """Those of the bounties that exist and can be read, by their ids; read in bulk.

        Raises:
            NexusError: They could not be read.
        """
        asked = {self._zone.bounty(each): each for each in bounty_ids if is_name(each)}
        deadline = self._client.deadline()
        strategy = await self._choice.for_reading(deadline)
        documents = await strategy.reads.read_many(list(asked), deadline)
        found = ((each.path, listed(each, to_bounty)) for each in documents)
        return {asked[path]: bounty for path, bounty in found if bounty is not None}

    async def get_history(
        self,
        bounty_id: str,
        *,
        fresh: bool = True,
        untrusted: list[OperationRecord] | None = None,
    ) -> Sequence[OperationRecord]:
        """The operations that the bounty remembers, oldest first, fences included.

        If not `fresh`, as it was last seen. In a zone that is signed, those that prove something;
        `untrusted` gets the others.

        Raises:
            NexusError: It could not be read.
            UnreadableDocumentError: What is stored is not a document.
        """
        check_id("bounty_id", bounty_id)
        path = self._zone.bounty(bounty_id)
        document = (None if fresh else self._memory.recall(path)) or await self._read(path)
        if document is None:
            return ()
        if untrusted is not None:
            stored = History.of(document.value).ops
            untrusted += stored[: len(stored) - len(document.history.ops)]
        return document.history.ops

    async def _read(self, path: str) -> Document | None:
        deadline = self._client.deadline()
        strategy = await self._choice.for_reading(deadline)
        return await strategy.reads.read(path, deadline)

    async def list_bounties(
        self, query: BountyQuery | None = None, *, unreadable: dict[str, str] | None = None
    ) -> list[Bounty]:
        """The bounties that match, newest first; none that was committed before is missed.

        `unreadable` gets what is wrong with documents that cannot be understood, by their ids:
        they are left out, and may be some of those asked for.

        Raises:
            InvalidInputError: The query cannot be; nothing was sent.
            NexusError: They could not be read.
        """
        return await self._listing.select(BountyQuery() if query is None else query, unreadable)

    def walk_bounties(
        self,
        query: BountyQuery | None = None,
        *,
        partition: Partition = EVERYTHING,
        unreadable: dict[str, str] | None = None,
    ) -> AsyncIterator[Bounty]:
        """Every bounty of the range that matches, in no order, a page of documents at a time.

        `unreadable` gets what is left out, as in `list_bounties`.

        Raises:
            InvalidInputError: The query cannot be; nothing was sent.
            NexusError: They could not be read any further.
        """
        query = BountyQuery() if query is None else query
        return self._listing.walk(query, unreadable, partition, self._names_since)

    async def walk_ids(
        self, status: BountyStatus, *, partition: Partition = EVERYTHING
    ) -> AsyncIterator[str]:
        """The ids of the range that may be in `status`, by the markers alone, a page at a time.

        Raises:
            NexusError: They could not be read any further.
        """
        async for page in self.walk_marked(status, partition=partition):
            for bounty_id in page.ids:
                yield bounty_id

    def walk_marked(
        self,
        status: BountyStatus,
        after: str = "",
        *,
        size: int = 500,
        since: date | None = None,
        partition: Partition = EVERYTHING,
    ) -> AsyncIterator[MarkedPage]:
        """The same in pages of at most `size`, after the place that a page ended with.

        Of bounties that have ended only those that did on the day `since` or later, where they are
        laid out by days: there a page says on which day they did.

        Raises:
            NexusError: They could not be read any further.
        """
        return self._index.pages(status, partition, after, size, since, self._names_since)

    def first_open_day(self, now: datetime) -> date | None:
        """The day before which no bounty ends any more, by requests that are still under way.

        That is by `now` or by the server's clock, whichever is earlier: by one that is ahead alone
        no day is over. `None` where markers are not laid out by days, as far as that is known by
        now.
        """
        if not self._places.are_by_date:
            return None
        earlier = self._client.server_clock.earlier(now)
        return (earlier - self._client.settings.tombstone_retention).astimezone(UTC).date()

    async def leave_note(self, name: str, note: str) -> None:
        """Keep `note` under `name` in the zone, in place of the one before.

        Raises:
            NexusError: It may not be kept.
        """
        await self._client.write(self._zone.note(name), note.encode(), idempotent=True)

    async def find_note(self, name: str) -> str | None:
        """What was noted last under `name`; `None` if nothing was.

        Raises:
            NexusError: It could not be read.
        """
        found = await self._client.read(self._zone.note(name))
        return None if found is None else found.content.decode(errors="replace")

    async def count_bounties(self, query: BountyQuery | None = None) -> int:
        """How many bounties match, `limit` and `offset` aside.

        Raises:
            InvalidInputError: The query cannot be; nothing was sent.
            NexusError: They could not be read.
        """
        return await self._listing.count(BountyQuery() if query is None else query)

    async def count_by_names(
        self, statuses: Sequence[BountyStatus] = ()
    ) -> dict[BountyStatus, int]:
        """How many bounties are in each of `statuses`, those that live if none is named.

        By the names of markers alone, a page of them a request, where `count_bounties` reads what
        it does not know. None that was committed is left out; one may be counted whose marker is
        stale for a moment, or until the reconciler has seen to a process that died.

        Raises:
            InvalidInputError: There is no such status; nothing was sent.
            NexusError: They could not be listed.
        """
        for each in statuses:
            check_member("status", each, BountyStatus)
        size, wanted = self._client.settings.bulk_size, statuses or LIVING
        return await count_by_names(self._index, wanted, self.get_bounties, size)

    async def find_expired_bounties(
        self, now: datetime | None = None, *, partition: Partition = EVERYTHING
    ) -> list[Bounty]:
        """The open and claimed bounties of the range whose deadline has passed, newest first.

        Deadlines once seen are believed for half an hour at least: no transition changes them.

        Raises:
            InvalidInputError: `now` is no aware time; nothing was sent.
            NexusError: They could not be read.
        """
        if now is not None:
            check_time("now", now)
        return await self._listing.expired(now or self._clock(), partition, self._names_since)

    # Creating

    async def create_bounty(
        self,
        bounty: Bounty,
        *,
        relative_deadline: bool = False,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """Store a new bounty in the status it carries.

        Without a `bounty_id` of its own it gets one that derives from the key, so that a repeat
        with the same key meets its own document. With `relative_deadline` the deadline was
        reckoned from the moment of the call: a repeat may have another one.

        Raises:
            InvalidInputError: The bounty cannot be stored; nothing was sent (pre-commit).
            BountyExistsError: The id is taken (pre-commit).
            BountyStateError: This key created a draft, which was taken back (pre-commit).
            IdempotencyMismatchError: The key was used with other parameters; this call did nothing.
            PreCommitError: It was not stored and can no longer be.
            CommitUnknownError: Neither could be proven.
        """
        check_bounty(bounty)
        key = self._writer.key(idempotency_key)
        if bounty.bounty_id == FROM_IDEMPOTENCY_KEY:
            bounty = msgspec.structs.replace(bounty, bounty_id=derived_id("bounty", key))
        bounty = msgspec.structs.replace(bounty, updated_at=self._clock())
        parameters = to_value(bounty)
        for moving in ("createdAt", "updatedAt", *(["deadline"] if relative_deadline else ())):
            del parameters[moving]
        parameters.pop("ledgerId", None)  # a repeat of an earlier release names none
        async with self._writer.operation(
            "create_bounty", "create", bounty.bounty_id, parameters, key
        ) as operation:
            return await self._creation.create(operation, bounty)

    async def discard_draft(
        self, bounty_id: str, reservation_id: str, *, idempotency_key: str | None = None
    ) -> None:
        """Take back a draft, which gives its reservation back for good.

        Its id can be used again; no listing shows it, and no bounty of this id can be opened with
        this reservation any more. Doing so again, with whatever key, is a no-op.

        Raises:
            InvalidInputError: An argument is wrong; nothing was sent (pre-commit).
            BountyNotFoundError: There is no such bounty, and there was no such draft (pre-commit).
            BountyStateError: It is no draft, or names another reservation (pre-commit).
            IdempotencyMismatchError: The key was used with other parameters; this call did nothing.
            PreCommitError: It did not happen and can no longer happen.
            CommitUnknownError: Neither could be proven.
        """
        check_id("bounty_id", bounty_id)
        check_name("reservation_id", reservation_id, MOST_NAME_BYTES)
        parameters = {"reservationId": reservation_id}
        async with self._writer.operation(
            "discard_draft", "discard", bounty_id, parameters, idempotency_key
        ) as operation:
            await self._creation.take_back(operation, reservation_id)

    # Transitions

    async def fund_bounty(
        self, bounty_id: str, reservation_id: str, *, idempotency_key: str | None = None
    ) -> Bounty:
        """`draft → open`, naming the reservation that holds its credits.

        Raises: as every transition, see `claim_bounty`.
        """
        check_name("reservation_id", reservation_id, MOST_NAME_BYTES)
        transition = transitions.fund(reservation_id)
        return await self._transition("fund_bounty", bounty_id, transition, idempotency_key)

    async def claim_bounty(
        self,
        bounty_id: str,
        claimed_by: AgentIdentity,
        claim_id: str,
        *,
        once: bool = False,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """`open → claimed`; `claimed → claimed` renews for the same agent.

        With `once`, `claim_id` stands for one lease: if it was given back, however shortly before
        the commit, an open bounty cannot be claimed with it any more.

        Raises:
            InvalidInputError: An argument is wrong; nothing was sent (pre-commit).
            BountyNotFoundError: There is no such bounty (pre-commit).
            BountyStateError: Its state does not allow it (pre-commit).
            IdempotencyMismatchError: The key was used with other parameters; this call did nothing.
            PreCommitError: It did not happen and can no longer happen.
            PostCommitError: It happened; removing the old marker is still owed.
            CommitUnknownError: Neither could be proven.
        """
        check_agent("claimed_by", claimed_by)
        check_name("claim_id", claim_id, MOST_NAME_BYTES)
        transition = transitions.claim(claimed_by, claim_id, once=once)
        return await self._transition("claim_bounty", bounty_id, transition, idempotency_key)

    async def prepare_claim(
        self,
        bounty_id: str,
        claimed_by: AgentIdentity,
        claim_id: str,
        *,
        once: bool = False,
        idempotency_key: str,
    ) -> None:
        """Begin `claim_bounty` with the same arguments, while the lease is being taken.

        Its marker is written, and what is to be renamed is staged; nothing is committed. Only for
        a bounty that was seen a moment ago; what is in the way, `claim_bounty` will say.

        Raises:
            InvalidInputError: An argument is wrong; nothing was sent.
        """
        check_id("bounty_id", bounty_id)
        check_key(idempotency_key)
        transition = transitions.claim(claimed_by, claim_id, once=once)
        with suppress(PreCommitError):
            if step := self._ahead("claim_bounty", bounty_id, transition, idempotency_key):
                await self._writer.work_ahead(*step)

    def _ahead(
        self, name: str, bounty_id: str, transition: Transition, key: str
    ) -> tuple[Operation, Intent] | None:
        """What may be done ahead of a transition; `None` if the bounty was not seen before.

        Raises:
            BountyStateError: Its state does not allow it (pre-commit).
        """
        document = self._memory.recall(self._zone.bounty(bounty_id))
        if document is None:
            return None
        step = self._writer.planned(name, transition.kind, bounty_id, transition.parameters, key)
        step.base_is_fresh = self._memory.age(document.path) <= self._client.round_trips.moment
        return step, self._intents.step(step, transition, document)

    async def release_bounty(
        self,
        bounty_id: str,
        claimed_by: AgentIdentity,
        *,
        claim_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """`claimed → open`, by the agent that claimed it.

        With a `claim_id`, only while the bounty is claimed by that very claim: whoever has looked
        at one that has ended does not take away what its agent has claimed since.

        Raises: as every transition, see `claim_bounty`.
        """
        check_agent("claimed_by", claimed_by)
        if claim_id is not None:
            check_name("claim_id", claim_id, MOST_NAME_BYTES)
        transition = transitions.release(claimed_by, claim_id)
        return await self._transition("release_bounty", bounty_id, transition, idempotency_key)

    async def begin_settlement(
        self,
        bounty_id: str,
        fulfilled_by_cid: str,
        *,
        claim_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """`claimed → pending_settlement`, the pivot: from here only forward.

        With a `claim_id`, only while the bounty is claimed by that very claim: whoever has looked
        at somebody's work does not settle what another has claimed meanwhile.

        Raises: as every transition, see `claim_bounty`.
        """
        check_id("fulfilled_by_cid", fulfilled_by_cid)
        if claim_id is not None:
            check_name("claim_id", claim_id, MOST_NAME_BYTES)
        transition = transitions.begin_settlement(fulfilled_by_cid, claim_id)
        return await self._transition("begin_settlement", bounty_id, transition, idempotency_key)

    async def prepare_settlement(
        self,
        bounty_id: str,
        fulfilled_by_cid: str,
        *,
        claim_id: str | None = None,
        idempotency_key: str,
    ) -> None:
        """Begin `begin_settlement` with the same arguments, while the work is being looked at.

        As with `prepare_claim` nothing is committed.

        Raises:
            InvalidInputError: An argument is wrong; nothing was sent.
        """
        check_id("bounty_id", bounty_id)
        check_id("fulfilled_by_cid", fulfilled_by_cid)
        check_key(idempotency_key)
        transition = transitions.begin_settlement(fulfilled_by_cid, claim_id)
        with suppress(PreCommitError):
            if step := self._ahead("begin_settlement", bounty_id, transition, idempotency_key):
                await self._writer.work_ahead(*step)

    async def complete_bounty(
        self, bounty_id: str, fulfilled_by_cid: str, *, idempotency_key: str | None = None
    ) -> Bounty:
        """`claimed` or `pending_settlement` `→ completed`.

        Raises: as every transition, see `claim_bounty`.
        """
        check_id("fulfilled_by_cid", fulfilled_by_cid)
        transition = transitions.complete(fulfilled_by_cid)
        return await self._transition("complete_bounty", bounty_id, transition, idempotency_key)

    async def settle_bounty(self, bounty_id: str, *, idempotency_key: str | None = None) -> Bounty:
        """`pending_settlement` or `completed` `→ settled`.

        Raises: as every transition, see `claim_bounty`.
        """
        transition = transitions.settle()
        return await self._transition("settle_bounty", bounty_id, transition, idempotency_key)

    async def expire_bounty(
        self,
        bounty_id: str,
        *,
        reservation_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """`open` or `claimed` `→ expired`.

        With a `reservation_id`, only while the bounty names it: whoever has looked at a draft does
        not end what another has created in its place.

        Raises: as every transition, see `claim_bounty`.
        """
        transition = transitions.expire(reservation_id)
        return await self._transition("expire_bounty", bounty_id, transition, idempotency_key)

    async def cancel_bounty(
        self,
        bounty_id: str,
        *,
        reservation_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Bounty:
        """`draft`, `open` or `claimed` `→ cancelled`.

        With a `reservation_id`, only while the bounty names it: whoever has looked at a draft does
        not end what another has created in its place.

        Raises: as every transition, see `claim_bounty`.
        """
        transition = transitions.cancel(reservation_id)
        return await self._transition("cancel_bounty", bounty_id, transition, idempotency_key)

    async def _transition(
        self, name: str, bounty_id: str, transition: Transition, key: str | None
    ) -> Bounty:
        check_id("bounty_id", bounty_id)
        async with self._writer.operation(
            name, transition.kind, bounty_id, transition.parameters, key
        ) as operation:
            path = self._zone.bounty(bounty_id)
            prepare = partial(self._intents.step, operation, transition)
            change = await self._writer.change(
                operation, path, self._memory, BountyNotFoundError, prepare
            )
            if change.before is None:
                self._watch.look_again(change.after)  # whose commit nobody may have heard of
                return self._writer.view(operation, change.after, to_bounty)
            before, after = to_bounty(change.before), to_bounty(change.after)
            self._index.announced(after, change.markers)
            if after.status is not before.status:
                self._watch.look_again(change.after)
            history = change.before.history
            return await self._removal.after_step(operation, before, history, after)

    async def resolve_operation(
        self, bounty_id: str, idempotency_key: str, *, giving_back: str | None = None
    ) -> Resolution:
        """Make it definite what became of the operation with this key on this bounty.

        One that is not found is fenced off, so that it can never land: three requests at most
        when the network is well. A key that was never used is used up by asking. The fence also
        gives back the claim `giving_back`, so that no claim with `once` can be made with it.

        Raises:
            InvalidInputError: The id or the key cannot be; nothing was sent.
            CommitUnknownError: Still neither could be proven; never another `PreCommitError`, which
                a caller would take for one about the operation.
        """
        check_id("bounty_id", bounty_id)
        async with self._writer.operation(
            "resolve_operation", "resolve", bounty_id, {}, idempotency_key
        ) as operation:
            operation.giving_back = giving_back
            operation.in_doubt = True  # what cannot be looked at may have happened all the same
            try:
                look_again = self._watch.look_again
                return await resolved(self._writer, operation, self._zone, self._clock, look_again)
            except PreCommitError as refusal:  # it speaks of the fence, not of the operation
                raise operation.unknown(f"it cannot be ruled out: {refusal.message}") from refusal
            finally:
                self._memory.forget(self._zone.bounty(bounty_id))

    # Signing

    async def sign_bounty(
        self, bounty_id: str, *, as_seen: Bounty | None = None, idempotency_key: str | None = None
    ) -> Bounty:
        """Sign what the bounty's document says, if no key of the zone has signed it.

        Somebody vouches for it by that: from then on money moves by it. With `as_seen` only while
        it is what they have looked at.

        Raises: as every transition, see `claim_bounty`.
        """
        check_id("bounty_id", bounty_id)
        path = self._zone.bounty(bounty_id)
        async with self._writer.operation(
            "sign_bounty", "sign", bounty_id, {}, idempotency_key
        ) as operation:

            def check(document: Document) -> None:
                standing = self._writer.view(operation, document, to_bounty)
                if as_seen not in (None, standing):
                    raise operation.error(
                        BountyStateError,
                        Proof.DOCUMENT,
                        f"bounty {bounty_id!r} has changed since it was looked at",
                        current_status=standing.status.value,
                    )

            signed = await vouched_for(self._writer, operation, path, BountyNotFoundError, check)
            self._memory.forget(path)
            return self._writer.view(operation, signed, to_bounty)

    async def sign_reward(
        self, reward: RewardRecord, *, idempotency_key: str | None = None
    ) -> None:
        """Sign the record of a reward, if no key of the zone has signed it.

        Raises:
            IdempotencyMismatchError: The record is one of another reward; nothing was signed.
            PreCommitError: There is none, or it was not signed and can no longer be.
            CommitUnknownError: Neither could be proven.
        """
        await self._rewards.sign(reward, idempotency_key)

    # Rewards and the index

    async def record_reward(
        self, reward: RewardRecord, *, idempotency_key: str | None = None
    ) -> RewardRecord:
        """Keep a reward; the same `reward_id` with the same content again is a no-op.

        Raises:
            InvalidInputError: The reward cannot be stored; nothing was sent (pre-commit).
            IdempotencyMismatchError: The id stands for another reward; this call did nothing.
            PreCommitError: It was not recorded and can no longer be.
            CommitUnknownError: Neither could be proven.
        """
        return await self._rewards.record(reward, idempotency_key)

    async def prepare_reward(self, reward: RewardRecord) -> None:
        """Begin `record_reward` of the same, called without a key a moment later.

        What is to be renamed is staged, and it is seen whether there is a record; nothing is
        committed. What is in the way, `record_reward` will say.

        Raises:
            InvalidInputError: The reward cannot be stored; nothing was sent.
        """
        await self._rewards.prepare(reward)

    async def has_reward(self, reward_id: str) -> bool:
        """Whether the reward is recorded.

        Raises:
            InvalidInputError: The id cannot be; nothing was sent.
            NexusError: It could not be read.
        """
        return await self._rewards.has(reward_id)

    async def recorded_rewards(self, reward_ids: Sequence[str]) -> set[str]:
        """Those of the rewards that are recorded; read in bulk.

        Raises:
            NexusError: They could not be read.
        """
        return await self._rewards.recorded(reward_ids)

    async def list_rewards(self, query: RewardQuery | None = None) -> list[RewardRecord]:
        """The rewards that match, newest first.

        Raises:
            InvalidInputError: The query cannot be; nothing was sent.
            NexusError: They could not be read.
        """
        return await self._rewards.select(RewardQuery() if query is None else query)

    async def list_index_statuses(self) -> list[IndexStatus]:
        """How each status index compares with the documents; changes nothing.

        Raises:
            NexusError: They could not be read.
        """
        _, statuses = await self._audit.compare()
        return statuses

    def audit_index(
        self,
        after: str = "",
        *,
        since: date | None = None,
        documents: bool = True,
        partition: Partition = EVERYTHING,
    ) -> AsyncIterator[IndexPage]:
        """What is wrong with the index of a range, a page of files at a time; changes nothing.

        Pass what the last page said as `after` to resume an earlier audit. The markers of bounties
        that ended before the day `since` are left out, where they are laid out by days; without
        `documents` only markers are looked at, of which none can be seen to be missing.

        Raises:
            NexusError: The files could not be read any further.
        """
        return self._audit.pages(
            after, partition, since, documents=documents, names_since=self._names_since
        )

    async def repair_markers(self, faults: Sequence[IndexFault]) -> list[IndexFault]:
        """Write markers that an audit found missing and remove stale ones; returns what is left.

        Raises:
            NexusError: Markers could not be written or removed; another repair does the rest.
        """
        return await self._audit.repair(faults)

    async def collect_leftovers(self) -> list[str]:
        """Remove what commits left behind and no request can need any more; returns the paths.

        Tombstones stay: no delete on Nexus can be conditional, and one that arrives late would
        take whatever was created in the tombstone's place.

        Raises:
            NexusError: Not everything could be read or removed; another call does the rest.
        """
        await self._order.note()
        before = self._clock() - self._client.settings.tombstone_retention
        strategy = await self._choice.for_reading(self._client.deadline())
        return [
            *await strategy.leftovers.collect(self._zone.bounties, before),
            *await strategy.leftovers.collect(self._zone.rewards, before),
        ]

    async def repair_index(self, bounty_id: str | None = None) -> list[IndexStatus]:
        """Write missing markers and remove stale ones, of one bounty or of all.

        Returns what was found, and so was repaired. A marker that may announce a commit still to
        come is left alone until no request can be under way any more.

        Raises:
            NexusError: Not everything could be read or repaired; another call does the rest.
        """
        if bounty_id is not None:
            check_id("bounty_id", bounty_id)
        faults, statuses = await self._audit.compare(bounty_id)
        await self._audit.repair(faults)
        return statuses
