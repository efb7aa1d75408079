"""Documents: stored JSON with the etag of its bytes and the history it carries.

A document is stored as JSON text, or as base64 of it, as Grove's clients do; both are read, and
a document keeps the encoding it was found in, so that whoever wrote it can go on reading it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from nexus_bounty.deadlines import Deadline
from nexus_bounty.idempotency import History, is_split
from nexus_bounty.nexus.client import File, NexusClient, classification, etags
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.nexus.documents import paths
from nexus_bounty.nexus.documents.signing import Signer

MOST_DEPTH: Final = 200
"""Levels of nesting; what is much deeper can be decoded and not encoded again."""
_SUBJECT: Final = {
    "bounties": "bountyId",
    "claims": "claimId",
    "rewards": "rewardId",
    "contributions": "cid",
}
"""The key by which a document says what it is about, by its directory."""

READS_TO_BELIEVE: Final = 5
"""How often content and etag may disagree before a read is given up."""


class UnreadableDocumentError(ValueError):
    """What is stored at a path cannot be understood; it was left as it is."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        """Which document, and what is wrong with it."""
        return f"the document {self.path} cannot be understood: {self.problem}"


@dataclass(frozen=True, slots=True)
class BelievedFile(File):
    """A file whose `etag` is known to speak for its `content`."""

    etag: str


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object as stored in `file`: `value` is what it says.

    Where the zone is signed, `history` holds only what proves something, and `untrusted` says why
    the fields that decide about money count for nothing, if they do not.
    """

    file: BelievedFile
    value: Mapping[str, Any]
    history: History
    encoding: StorageEncoding
    untrusted: str | None = None

    @property
    def path(self) -> str:
        """Where it is stored."""
        return self.file.path


def decode(file: BelievedFile, signer: Signer) -> Document:
    """The document that `file` is, and what of it `signer` vouches for.

    Raises:
        UnreadableDocumentError: It is not a JSON object, it is nested too deep to be written
            again, it is about another record than its path, or its history is not one.
    """
    try:
        encoding, text = _unwrap(file.content)
        value = msgspec.json.decode(text, type=dict[str, Any])
        _check_depth(text, value)
        _check_subject(file.path, value)
        history, untrusted = signer.examined(file.path, value, History.of(value))
        return Document(file, value, history, encoding, untrusted)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableDocumentError(file.path, str(error)) from error


def _check_depth(text: bytes, value: Any) -> None:
    """Refuse what could be read and not be written again."""
    if text.count(b"{") + text.count(b"[") <= MOST_DEPTH:
        return
    level, depth = [value], 0
    while level := [part for each in level for part in _parts(each)]:
        depth += 1
        if depth > MOST_DEPTH:
            raise ValueError(f"it is nested deeper than {MOST_DEPTH} levels")


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _check_subject(path: str, value: Mapping[str, Any]) -> None:
    """Refuse a document about another record: a copy, or the answer to another request."""
    found = value.get(_SUBJECT.get(path.rsplit("/", 2)[-2], ""))
    if is_split(value):
        found = value["spec"].get("id")
    if found is not None and found != paths.document_id(path):
        raise ValueError(f"it is about {found!r}")


def encode(value: Mapping[str, Any], encoding: StorageEncoding) -> bytes:
    """`value` as stored bytes."""
    text = msgspec.json.encode(value)
    return text if encoding == "raw" else b64encode(text)


def is_tombstone(document: Document) -> bool:
    """Whether `document` only says that nothing was ever created in its place, and is trusted."""
    return document.history.tombstone and document.untrusted is None


def _unwrap(content: bytes) -> tuple[StorageEncoding, bytes]:
    if content.lstrip()[:1] == b"{":
        return "raw", content
    return "base64", b64decode(content, validate=True)


class DocumentReader:
    """Reads documents, and believes a read only when its etag speaks for its content.

    Some releases read the content first and the etag after, and so pair old bytes with a new
    etag: an update based on that would overwrite what it never saw. One goes on pairing new bytes
    with the etag of old ones: an update based on that would never match, and two versions would
    look alike.
    """

    def __init__(self, client: NexusClient) -> None:
        self._client = client
        self._signer = Signer.of(client.settings)

    async def read(
        self, path: str, deadline: Deadline, told: File | None = None
    ) -> Document | None:
        """The document at `path`, or `None` if there is none.

        `told`: an earlier answer; an identical repeat is accepted.

        Raises:
            NexusError: It could not be read, or no etag ever spoke for its content.
            UnreadableDocumentError: It is not a document.
        """
        file = await self._client.read(path, deadline=deadline)
        believed = None if file is None else await self._believe(file, deadline, told)
        return None if believed is None else decode(believed, self._signer)

    async def read_unchanging(self, path: str, deadline: Deadline) -> Document | None:
        """The document at `path`, which nobody updates, or `None` if there is none; read once.

        Its etag need not speak for its content: no update will be based on it.

        Raises:
            NexusError: It could not be read.
            UnreadableDocumentError: It is not a document.
        """
        file = await self._client.read(path, deadline=deadline)
        if file is None:
            return None
        return decode(BelievedFile(file.path, file.content, file.etag or ""), self._signer)

    async def read_file(self, path: str, deadline: Deadline) -> BelievedFile | None:
        """The file at `path`, whatever it contains, or `None` if there is none.

        Raises:
            NexusError: It could not be read, or no etag ever spoke for its content.
        """
        file = await self._client.read(path, deadline=deadline)
        return None if file is None else await self._believe(file, deadline)

    async def read_many(
        self, paths: Sequence[str], deadline: Deadline
    ) -> list[Document | UnreadableDocumentError]:
        """The documents that exist among `paths`; an unreadable one is its error."""
        found: list[Document | UnreadableDocumentError] = []
        for file in await self._client.read_many(paths, deadline=deadline):
            believed = None if file is None else await self._believe(file, deadline)
            if believed is not None:
                found.append(decoded_or_error(believed, self._signer))
        return found

    async def _believe(
        self, file: File, deadline: Deadline, told: File | None = None
    ) -> BelievedFile | None:
        for read in range(1 + READS_TO_BELIEVE):
            # an etag that is no content hash: this read began after the etag had been seen, so the
            # same content and etag once more cannot be old bytes with a new etag
            if file.etag and (hashes := etags.algorithm_of(file.content, file.etag)):
                self._client.capabilities.hashes = hashes
                return BelievedFile(file.path, file.content, file.etag)
            if file.etag and file == told:
                etag = etags.true_etag(file.etag, file.content, self._client.capabilities.hashes)
                return BelievedFile(file.path, file.content, etag)
            if read < READS_TO_BELIEVE:
                again = await self._client.read(file.path, deadline=deadline)
                if again is None:
                    return None
                told, file = file, again
        raise NexusError(
            classification.UNREADABLE,
            method="read",
            path=file.path,
            detail="its etag never spoke for its content",
        )


def decoded_or_error(file: BelievedFile, signer: Signer) -> Document | UnreadableDocumentError:
    """The document that `file` is, or why it is none."""
    try:
        return decode(file, signer)
    except UnreadableDocumentError as error:
        return error
