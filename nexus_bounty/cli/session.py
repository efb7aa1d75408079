"""What one command works with: opened when first used, closed when it ends.

It is also imported when first used: a command that shows a bounty needs no operations.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nexus_bounty.cli.options import (
    CLAIMS_ON_NEXUS,
    CommitChoice,
    LedgerOptions,
    LogFormat,
    Options,
    OutputOptions,
    ServiceOptions,
    default_ledger,
)
from nexus_bounty.cli.output import Reply, is_watched, safe, stderr
from nexus_bounty.idempotency import new_key
from nexus_bounty.outcomes import BountyNotFoundError, Evidence, Proof
from nexus_bounty.validation import check_key

if TYPE_CHECKING:
    from nexus_bounty.models import Bounty
    from nexus_bounty.nexus.bounties.store import NexusBountyStore
    from nexus_bounty.nexus.client import NexusClient
    from nexus_bounty.nexus.client.pace import Turns
    from nexus_bounty.nexus.client.settings import NexusSettings
    from nexus_bounty.nexus.documents.commits import StrategyChoice
    from nexus_bounty.operations import BountyOperations
    from nexus_bounty.ports import ClaimStore, ContributionStore, CreditsService


@dataclass(frozen=True)
class Attempt:
    """A mutation under way: what to ask about if it is interrupted.

    `repeat` are the options that make a repeat of the command the same operation. A key that
    `is_new` was made for this command, so that it is no such repeat.
    """

    operation: str
    key: str
    bounty_id: str | None
    repeat: str
    is_new: bool = False


class Session:
    """The systems that a command names by its options, and the mutation it is about.

    Attributes:
        attempt: The mutation that is under way, or has ended.
        reply: The answer of the command, once it has one.
        changes: Whether it may have changed something, with or without an `attempt`.
        sends_many: Whether it is worth to prepare for many requests.
        remembers: How many documents to remember at least, of a command that keeps looking.
        pace: Says when requests may leave, if not the settings do.
    """

    def __init__(self, options: OutputOptions) -> None:
        self._options = options
        self._stack = AsyncExitStack()
        self.attempt: Attempt | None = None
        self.reply: Reply | None = None
        self.changes = False
        self.sends_many = False
        self.remembers = 0
        self.pace: Turns | None = None

    @property
    def only_reads(self) -> bool:
        """Whether the command cannot have changed anything."""
        return self.attempt is None and not self.changes

    @property
    def as_json(self) -> bool:
        """Whether a program reads the answer."""
        return self._options.as_json

    @property
    def config(self) -> Path | None:
        """The file with settings, if there is one."""
        return self._options.config

    @property
    def logs_json(self) -> bool:
        """Whether programs read what it says on stderr."""
        options = self._options
        return isinstance(options, ServiceOptions) and options.log_format is LogFormat.JSON

    @property
    def stop_within(self) -> timedelta:
        """How long a service that is stopped may finish the step under way.

        Raises:
            UsageProblem: It is no length of time.
        """
        from nexus_bounty.cli.inputs import duration

        return duration("--stop-within", self._of_service.stop_within)

    @property
    def health_at(self) -> tuple[str, int] | None:
        """Where a service says how it is, if it does.

        Raises:
            UsageProblem: It is no host and port.
        """
        from nexus_bounty.cli.inputs import address

        given = self._of_service.health
        return None if given is None else address("--health", given)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @cached_property
    def settings(self) -> NexusSettings:
        """What is said of the server."""
        settings = self._everything.settings()
        if settings.transport == "auto" and not self.sends_many:
            # to import the faster one takes longer than a few requests do
            settings = settings.model_copy(update={"transport": "httpx"})
        if settings.remembered_documents < self.remembers:
            settings = settings.model_copy(update={"remembered_documents": self.remembers})
        return settings

    @cached_property
    def client(self) -> NexusClient:
        """The server."""
        from nexus_bounty.nexus.client import NexusClient

        client = NexusClient(settings=self.settings, pace=self.pace)
        self._stack.push_async_callback(client.close)
        return client

    def paced_by(self, pace: Turns, close: Callable[[], Awaitable[None]]) -> None:
        """Let `pace` say when requests leave; `close` it when none leaves any more."""
        self.pace = pace
        self._stack.push_async_callback(close)

    @cached_property
    def store(self) -> NexusBountyStore:
        """Where bounties are."""
        from nexus_bounty.nexus.bounties.store import NexusBountyStore

        return NexusBountyStore(self.client, commit=self._commit)

    async def standing(self, bounty_id: str) -> Bounty:
        """The bounty as it stands in the store.

        Raises:
            BountyNotFoundError: There is none (pre-commit).
            NexusError: It could not be read.
        """
        found = await self.store.get_bounty(bounty_id)
        if found is None:
            raise BountyNotFoundError(
                f"there is no bounty {bounty_id!r} in zone {self.client.settings.zone_id!r}",
                bounty_id=bounty_id,
                evidence=Evidence(proof=Proof.DOCUMENT),
            )
        return found

    @cached_property
    def claims(self) -> ClaimStore:
        """Where leases are."""
        if self._everything.claims_url == CLAIMS_ON_NEXUS:
            from nexus_bounty.nexus.claims.store import NexusClaimStore

            return NexusClaimStore(self.client, commit=self._commit)
        return self.opened_claims(self._everything.claims_url)

    @property
    def names_ledger(self) -> bool:
        """Whether a ledger was named, rather than the default's."""
        return bool(self.credits_url)

    @property
    def credits_url(self) -> str | None:
        """Where the money is said to be, if that was said."""
        return self._options.credits_url if isinstance(self._options, LedgerOptions) else None

    @cached_property
    def credits(self) -> CreditsService:
        """Where the money is."""
        if not isinstance(self._options, LedgerOptions):
            raise TypeError(f"{type(self._options).__name__} names no ledger")
        return self.opened(self._options.credits_url or default_ledger())

    def opened_claims(self, url: str) -> ClaimStore:
        """The claims at `url`, which are closed when the command ends."""
        from nexus_bounty.registry import open_claims

        claims = open_claims(url)
        self._stack.push_async_callback(claims.close)
        return claims

    def opened(self, url: str) -> CreditsService:
        """The ledger at `url`, which is closed when the command ends."""
        from nexus_bounty.registry import open_credits

        credit = open_credits(url)
        self._stack.push_async_callback(credit.close)
        return credit

    def in_zone(self, zone_id: str) -> BountyOperations:
        """The operations in another zone of the same server, on the same ledger."""
        self.changes = True
        from nexus_bounty.nexus.bounties.store import NexusBountyStore
        from nexus_bounty.nexus.claims.store import NexusClaimStore
        from nexus_bounty.nexus.contribution_store import NexusContributionStore
        from nexus_bounty.operations import BountyOperations

        commit = self._commit_in(zone_id)
        on_nexus = self._everything.claims_url == CLAIMS_ON_NEXUS
        return BountyOperations(
            NexusBountyStore(self.client, zone_id, commit=commit),
            credits=self.credits,
            claims=NexusClaimStore(self.client, zone_id, commit=commit)
            if on_nexus
            else self.claims,
            contributions=NexusContributionStore(self.client, zone_id),
        )

    def operations(
        self,
        *,
        contributions: ContributionStore | None = None,
        allow_self_claims: bool = False,
    ) -> BountyOperations:
        """The operations on all of them."""
        self.changes = True
        from nexus_bounty.nexus.contribution_store import NexusContributionStore
        from nexus_bounty.operations import BountyOperations

        operations = BountyOperations(
            self.store,
            credits=self.credits,
            claims=self.claims,
            contributions=contributions or NexusContributionStore(self.client),
            allow_self_claims=allow_self_claims,
        )
        if self.attempt is not None and self.attempt.is_new:
            operations.services.new_keys.add(self.attempt.key)
        return operations

    def begin(
        self,
        operation: str,
        given: str | None,
        bounty_id: str | None = None,
        *,
        repeat: str = "",
        key: str | None = None,
    ) -> str:
        """Announce a mutation, so that whoever interrupts it can find out; returns its key.

        That is the one `given` by the user, else `key`, else a new one.

        Raises:
            InvalidInputError: The one that was given cannot be a key.
        """
        if given is not None:
            check_key(given)
        key = given or key or new_key()
        again = f"--key {key} {repeat}".strip()
        self.attempt = Attempt(operation, key, bounty_id, again, is_new=given is None)
        if is_watched():
            stderr().print(safe(f"key {key}", "dim"))
        return key

    @cached_property
    def _commit(self) -> StrategyChoice:
        return self._commit_in(self.client.settings.zone_id)

    def _commit_in(self, zone_id: str) -> StrategyChoice:
        from nexus_bounty.nexus.commit.conditional import ConditionalCommit
        from nexus_bounty.nexus.probe.report import Verdict
        from nexus_bounty.nexus.selection.auto_commit import AutoCommit, FixedAsPinned

        choice = self._everything.commit
        if choice is CommitChoice.CONDITIONAL:
            return FixedAsPinned(ConditionalCommit(self.client), self.client, zone_id)
        wanted = None if choice is CommitChoice.AUTO else Verdict(choice.name.lower())
        commit = AutoCommit(self.client, zone_id, wanted=wanted)
        self._stack.push_async_callback(commit.close)
        return commit

    @property
    def _of_service(self) -> ServiceOptions:
        if not isinstance(self._options, ServiceOptions):
            raise TypeError(f"{type(self._options).__name__} are no service's")
        return self._options

    @property
    def _everything(self) -> Options:
        if not isinstance(self._options, Options):
            raise TypeError(f"{type(self._options).__name__} names no server")
        return self._options
