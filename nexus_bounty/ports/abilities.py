"""What some stores can do beyond their port, and how it is asked of those that can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self, TypeVar, runtime_checkable

from nexus_bounty.models import AgentIdentity, RewardRecord

StoreT = TypeVar("StoreT")


@runtime_checkable
class InZone(Protocol):
    """A claim store that keeps claims in a zone, where every program looks for them."""

    @property
    def zone_id(self) -> str:
        """The zone."""
        ...


@runtime_checkable
class NamesServer(Protocol):
    """A bounty store that says on which server its zone is: others may have one of that name."""

    @property
    def server(self) -> str:
        """The address of the server, without credentials."""
        ...


@runtime_checkable
class InOneLoop(Protocol):
    """A store or service that keeps connections or locks, and so belongs to one event loop."""

    def why_not_here(self) -> str | None:
        """Why it cannot be used in this event loop; `None` if it can, and belongs to it now."""
        ...


@runtime_checkable
class CleansUp(Protocol):
    """A store that can remove what its commits leave behind in batches, off the critical path."""

    def cleaning_up(self, *, later: bool) -> Self:
        """The same store, which does that `later`, or before its mutations return."""
        ...


@runtime_checkable
class LeavesFiles(Protocol):
    """A claim store whose commits leave files behind, which nothing needs any more in time."""

    async def collect_leftovers(self) -> list[str]:
        """Remove what nothing can need any more; returns the ids it removed.

        Raises:
            NexusError: Not all could be removed (another store raises an error of its own).
        """
        ...


@runtime_checkable
class KeepsNotes(Protocol):
    """A bounty store that keeps notes beside its bounties, and loses them where it loses these.

    By a note that is still there a program sees that what it remembers is of this very history,
    and not of one that a backup was put in place of. Nothing else may go by it: it is not signed.
    """

    async def leave_note(self, name: str, note: str) -> None:
        """Keep `note` under `name`, in place of the one before.

        Raises:
            NexusError: It may not be kept (another store raises an error of its own).
        """
        ...

    async def find_note(self, name: str) -> str | None:
        """What was noted last under `name`; `None` if nothing was.

        Raises:
            NexusError: It could not be read (another store raises an error of its own).
        """
        ...


@runtime_checkable
class WorksAhead(Protocol):
    """A bounty store that can do ahead what a later step begins with.

    None of it commits anything, and it does no harm if the step never comes.
    """

    def expecting(self, next_key: str) -> Self:
        """The same store, for one mutation that the expected next one follows, with that key."""
        ...

    async def prepare_claim(
        self,
        bounty_id: str,
        claimed_by: AgentIdentity,
        claim_id: str,
        *,
        once: bool = False,
        idempotency_key: str,
    ) -> None:
        """Begin `claim_bounty` with the same arguments, while others wait for something else.

        Raises:
            InvalidInputError: An argument is wrong; nothing was sent.
        """
        ...


@runtime_checkable
class SettlesAhead(Protocol):
    """A bounty store that can do ahead what the pivot begins with."""

    async def prepare_settlement(
        self,
        bounty_id: str,
        fulfilled_by_cid: str,
        *,
        claim_id: str | None = None,
        idempotency_key: str,
    ) -> None:
        """Begin `begin_settlement` with the same arguments; nothing is committed.

        Raises:
            InvalidInputError: An argument is wrong; nothing was sent.
        """
        ...


@runtime_checkable
class RecordsAhead(Protocol):
    """A bounty store that can do ahead what recording a reward begins with."""

    async def prepare_reward(self, reward: RewardRecord) -> None:
        """Begin `record_reward` of the same, called without a key; nothing is committed."""
        ...


@runtime_checkable
class CompletesAhead(Protocol):
    """A claim store that can do ahead what completing a claim begins with."""

    async def prepare_completion(self, claim_id: str, *, target_ref: str | None = None) -> None:
        """Begin `complete` of the same, called without a key; nothing is committed."""
        ...


@runtime_checkable
class LooksFirst(Protocol):
    """A bounty store that can be told to write nothing where the id of a new bounty is taken."""

    def looking_first(self) -> Self:
        """The same store, which sees whether the id is taken before it writes anything at all."""
        ...


@runtime_checkable
class SharesNames(Protocol):
    """A store that lists all names of a directory, however few are wanted, once for many walks."""

    def sharing_names(self, since: float) -> Self:
        """The same store, whose walks may go by names that others have listed since then.

        That is a time of the event loop's clock. What was written later they may miss.
        """
        ...


def expecting(store: StoreT, next_key: str) -> StoreT:
    """`store`, for a mutation that one with `next_key` follows, if it can make use of that."""
    return store.expecting(next_key) if isinstance(store, WorksAhead) else store


def server_of(store: object) -> str:
    """The address of the server that a store's zone is on; empty if it does not say."""
    found = getattr(store, "server", "")  # of `NamesServer`; asked for each operation
    return found if isinstance(found, str) else ""


def why_not_here(part: object) -> str | None:
    """Why `part` cannot be used in this event loop, if it says that it cannot."""
    ask = getattr(type(part), "why_not_here", None)  # a stand-in has an answer to everything
    why: str | None = None if ask is None else ask(part)
    return why


def looking_first(store: StoreT) -> StoreT:
    """`store`, looking before it creates, if it can be told to.

    Others may leave something without meaning behind when they refuse, such as a marker.
    """
    view: Callable[..., StoreT] | None = getattr(store, "looking_first", None)
    return store if view is None else view()


def sharing_names(store: StoreT, since: float) -> StoreT:
    """`store`, going by names that others have listed since then, if it lets them be shared."""
    view: Callable[..., StoreT] | None = getattr(store, "sharing_names", None)
    return store if view is None else view(since)


def cleaning_up(store: StoreT, *, later: bool) -> StoreT:
    """`store`, cleaning up `later` or at once if it lets that be chosen.

    `isinstance` with a protocol says the same, and takes as long as half a store takes to be made.
    """
    view: Callable[..., StoreT] | None = getattr(store, "cleaning_up", None)
    return store if view is None else view(later=later)
