"""A conformance kit for clients of conditional-write stores: do they know their own success?

A client is put through one conditional write, a create or an update, that the server applies while
the answer is lost in one of four ways. Who then says *conflict* reports its own success as somebody
else's; who raises anything else leaves its caller in doubt and says so.

To put a client of your own through it, write a `ConditionalClient` for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from random import Random
from typing import Any, Final, Literal, Protocol

from rich.table import Table

from nexus_bounty import Bounty, NexusBountyStore, NexusClient, NexusSettings, OutcomeError
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.testing.virtual_time import run, wall_clock
from tests.simulation.object_stores import PATIENCE, FakeObjectStore, Misbehaviour
from tests.support.world import BOUNTY_ID, a_bounty

Write = Literal["create", "update"]
WRITES: Final[tuple[Write, ...]] = ("create", "update")

NAME: Final = "object"
OURS: Final = b"ours"
BEFORE: Final = b"before"


class Told(StrEnum):
    """What a client told its caller."""

    DONE = "done"
    CONFLICT = "conflict"
    ERROR = "error"


class ConditionalClient(Protocol):
    """A client of a conditional-write store, as the kit uses it."""

    name: str

    def create(self, name: str, content: bytes) -> None:
        """Write an object that must not exist; any exception is what the caller is told."""
        ...

    def update(self, name: str, content: bytes) -> None:
        """Write over the object as it stands, on the condition that nobody else has meanwhile."""
        ...

    def is_conflict(self, error: Exception) -> bool:
        """Whether an exception says that somebody else was faster."""
        ...


@dataclass(frozen=True)
class Trial:
    """One write under one misbehaviour."""

    client: str
    write: Write
    misbehaviour: Misbehaviour
    told: Told
    landed: bool
    said: str = ""

    @property
    def judgement(self) -> str:
        """What that makes of the client."""
        if self.told is Told.CONFLICT and self.landed:
            return "its own success called a conflict"
        if self.told is Told.DONE and not self.landed:
            return "done, and it is not"
        return "in doubt, and says so" if self.told is Told.ERROR else "right"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "client": self.client,
            "write": self.write,
            "misbehaviour": self.misbehaviour.value,
            "told": self.told.value,
            "landed": self.landed,
            "judgement": self.judgement,
        }


class GoogleCloudStorage:
    """google-cloud-storage, with `if_generation_match` and its own retries, a little faster."""

    name = "google-cloud-storage"

    def __init__(self, url: str) -> None:
        storage = import_module("google.cloud.storage")
        self._conflict = import_module("google.api_core.exceptions").PreconditionFailed
        self._retry = storage.retry.DEFAULT_RETRY.with_delay(initial=0.3, maximum=0.5)
        nobody = import_module("google.auth.credentials").AnonymousCredentials()
        client = storage.Client("project", nobody, client_options={"api_endpoint": url})
        self._bucket = client.bucket("bucket")

    def create(self, name: str, content: bytes) -> None:
        """With `if_generation_match=0`."""
        self._write(name, content, 0)

    def update(self, name: str, content: bytes) -> None:
        """With the generation as it stands."""
        blob = self._bucket.blob(name)
        blob.reload()
        self._write(name, content, blob.generation)

    def is_conflict(self, error: Exception) -> bool:
        """412."""
        return isinstance(error, self._conflict)

    def _write(self, name: str, content: bytes, generation: int) -> None:
        self._bucket.blob(name).upload_from_string(
            content,
            if_generation_match=generation,
            timeout=PATIENCE,
            retry=self._retry,
            checksum=None,
        )


class Obstore:
    """obstore (object_store) on S3, with its own retries."""

    name = "obstore"

    def __init__(self, url: str) -> None:
        self._obstore = import_module("obstore")
        errors = import_module("obstore.exceptions")
        self._conflicts = (errors.AlreadyExistsError, errors.PreconditionError)
        self._store = import_module("obstore.store").S3Store(
            "bucket",
            endpoint=url,
            access_key_id="id",
            secret_access_key="key",
            region="us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": timedelta(seconds=PATIENCE)},
            retry_config={
                "max_retries": 5,
                "retry_timeout": timedelta(seconds=10),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.3),
                    "max_backoff": timedelta(seconds=0.5),
                    "base": 2,
                },
            },
        )

    def create(self, name: str, content: bytes) -> None:
        """With `mode="create"`."""
        self._obstore.put(self._store, name, content, mode="create", use_multipart=False)

    def update(self, name: str, content: bytes) -> None:
        """With the etag as it stands."""
        found = self._obstore.head(self._store, name)
        self._obstore.put(
            self._store, name, content, mode={"e_tag": found["e_tag"]}, use_multipart=False
        )

    def is_conflict(self, error: Exception) -> bool:
        """That the object exists, or is another one by now."""
        return isinstance(error, self._conflicts)


OTHERS: Final[tuple[tuple[str, Callable[[str], ConditionalClient]], ...]] = (
    ("google.cloud.storage", GoogleCloudStorage),
    ("obstore", Obstore),
)
"""Clients from the package index, by the module that has to be there."""


def trials(make: Callable[[str], ConditionalClient]) -> Iterator[Trial]:
    """Put a client through everything, each time on a server of its own."""
    for write in WRITES:
        for misbehaviour in Misbehaviour:
            with FakeObjectStore() as server:
                yield _trial(make(server.url), server, write, misbehaviour)


def _trial(
    client: ConditionalClient, server: FakeObjectStore, write: Write, misbehaviour: Misbehaviour
) -> Trial:
    if write == "update":
        client.create(NAME, BEFORE)
    server.objects.misbehaviour = misbehaviour
    told, said = Told.DONE, ""
    try:
        (client.create if write == "create" else client.update)(NAME, OURS)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the caller is told
        told = Told.CONFLICT if client.is_conflict(error) else Told.ERROR
        said = type(error).__name__
    server.settle()
    stored = server.objects.stored.get(f"/{NAME}")
    landed = stored is not None and stored.content == OURS
    return Trial(client.name, write, misbehaviour, told, landed, said)


# Ours, on the mock of its own server

_AS_FAULTS: Final = {
    Misbehaviour.NONE: None,
    Misbehaviour.APPLY_THEN_DROP: Fault(FaultKind.DROP_AFTER),
    Misbehaviour.APPLY_THEN_500: Fault(FaultKind.STATUS_AFTER, status=500),
    Misbehaviour.APPLY_THEN_503: Fault(FaultKind.STATUS_AFTER, status=503),
    Misbehaviour.LATE: Fault(FaultKind.LATE, seconds=10.01),
}


def our_trials() -> Iterator[Trial]:
    """The same for `NexusBountyStore`."""
    for write in WRITES:
        for misbehaviour in Misbehaviour:
            yield run(_our_trial(write, misbehaviour))


async def _our_trial(write: Write, misbehaviour: Misbehaviour) -> Trial:
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    client = NexusClient(settings=NexusSettings(), transport=mock.transport(), random=Random(1))
    told, said = Told.DONE, ""
    async with client:
        store = NexusBountyStore(client, commit="conditional", clock=wall_clock)
        if write == "update":
            await store.create_bounty(a_bounty(), idempotency_key="before")
        fault = _AS_FAULTS[misbehaviour]
        if fault is not None:
            mock.inject(fault.on(RequestMatch(method="write", path="*/bounties/*.json")))
        try:
            await _our_write(store, write)
        except OutcomeError as error:
            pre = error.outcome.value == "pre_commit"
            told, said = (Told.CONFLICT if pre else Told.ERROR), type(error).__name__
        bounty = await store.get_bounty(BOUNTY_ID)
    landed = bounty is not None and (write == "create" or bounty.status.value == "cancelled")
    return Trial("nexus-bounty", write, misbehaviour, told, landed, said)


async def _our_write(store: NexusBountyStore, write: Write) -> Bounty:
    if write == "create":
        return await store.create_bounty(a_bounty(), idempotency_key="ours")
    return await store.cancel_bounty(BOUNTY_ID, idempotency_key="ours")


def run_all() -> list[Trial]:
    """Every client that is installed, ours first."""
    found = list(our_trials())
    for module, make in OTHERS:
        if is_installed(module):
            found += trials(make)
    return found


def is_installed(module: str) -> bool:
    """Whether a client can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def table(found: list[Trial]) -> Table:
    """The trials for people."""
    shown = Table(title="one conditional write whose answer is lost after it was applied")
    for name in ("client", "write", "the server", "told", "landed", ""):
        shown.add_column(name)
    for each in found:
        told = f"{each.told.value} ({each.said})" if each.said else each.told.value
        landed = "yes" if each.landed else "no"
        row = (each.client, each.write, each.misbehaviour.value, told, landed, each.judgement)
        shown.add_row(*row)
    return shown
