"""JSON-RPC as Nexus speaks it: one pass to encode a request, one to decode an answer.

Dialects (`quirks`) differ in the shapes of results; each decoder here takes all of them. Bytes
travel as `{"__type__": "bytes", "data": "<base64>"}`.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


class RpcError(msgspec.Struct):
    """The error of a JSON-RPC answer."""

    code: int
    message: str = ""
    data: Any = None


class Envelope(msgspec.Struct):
    """Any JSON body a Nexus server or a gateway before it answers with."""

    result: msgspec.Raw = msgspec.Raw(b"")
    error: RpcError | str | None = None
    detail: Any = None
    retry_after: Any = None
    id: Any = None

    def is_of_another(self, number: int, *, acknowledged: bool) -> bool:
        """Whether this is not the answer to request `number`.

        Every release repeats the id in a result (measured on 0.5.6 to 0.10.1); in an error most
        say `null`, and a gateway before the server says none.
        """
        if self.id is None:
            return acknowledged and bool(self.result)
        return bool(self.id != number)


class Acknowledgement(msgspec.Struct, Generic[T]):
    """The body of an acknowledgement, its result decoded in the same pass."""

    result: T
    error: RpcError | str | None = None
    id: Any = None


class Blob(msgspec.Struct):
    """Bytes on the wire."""

    data: bytes


class Tagged(msgspec.Struct, kw_only=True):
    """What carries an etag; one dialect calls it `content_id`."""

    etag: str | None = None
    content_id: str | None = None

    @property
    def version_tag(self) -> str | None:
        """The etag of the file's content, which a conditional write of the file has to match."""
        return self.etag or self.content_id


class FileReply(Tagged, kw_only=True):
    """A file with its metadata."""

    content: Blob | str
    encoding: str | None = None

    @property
    def body(self) -> bytes:
        """The stored bytes."""
        if isinstance(self.content, Blob):
            return self.content.data
        if self.encoding == "base64":
            return b64decode(self.content, validate=True)
        return self.content.encode()


class WriteReply(Tagged, kw_only=True):
    """The acknowledgement of a write; the etag may be at either level, or missing."""

    bytes_written: Tagged | int | None = None

    @property
    def version_tag(self) -> str | None:
        """The etag of what was stored, where the server says it."""
        nested = self.bytes_written if isinstance(self.bytes_written, Tagged) else None
        return self.etag or self.content_id or (nested and nested.version_tag) or None


class Moment(msgspec.Struct):
    """A time on the wire; releases differ in whether they say that it is UTC."""

    data: datetime


class ListedFile(Tagged, kw_only=True):
    """One file or directory of a listing; without details it has only its path."""

    path: str
    modified_at: Moment | datetime | None = None
    is_directory: bool = False
    entry_type: int | None = None

    @property
    def is_a_directory(self) -> bool:
        """Whether this is no file; one dialect says so by `entry_type` 1."""
        return self.is_directory or self.entry_type == 1

    @property
    def modified(self) -> datetime | None:
        """When the file was last written, in UTC."""
        moment = self.modified_at.data if isinstance(self.modified_at, Moment) else self.modified_at
        return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


class ListReply(msgspec.Struct):
    """One page of a listing, or all of it where there are no pages."""

    files: Sequence[str | ListedFile]
    has_more: bool = False
    next_cursor: str | None = None

    @property
    def entries(self) -> list[ListedFile]:
        """What is listed, files and directories."""
        return [ListedFile(path=each) if isinstance(each, str) else each for each in self.files]

    def follows(self, cursor: str | None) -> bool:
        """Whether this page begins after `cursor` and leaves nothing out up to the next one.

        That can be seen only where a cursor is the last path of its page and the paths are in
        order. Some cursors are opaque, and some of those stand for a path although the pages are
        in the order of writing, so that pages lose entries.
        """
        paths = [each.path for each in self.entries]
        in_order = all(before < after for before, after in pairwise([cursor or "", *paths]))
        return in_order and (not self.has_more or paths[-1:] == [self.next_cursor])


class DeleteReply(msgspec.Struct):
    """The acknowledgement of a delete, in either of its words."""

    deleted: bool | None = None
    success: bool | None = None

    @property
    def done(self) -> bool:
        """Whether something was deleted."""
        return self.deleted is not False and self.success is not False


class RenameReply(msgspec.Struct):
    """The acknowledgement of a rename; not every release says that it renamed."""

    renamed: bool = True
    success: bool = True


class ExistsReply(msgspec.Struct):
    """Whether a file is there."""

    exists: bool


class StatReply(Tagged, kw_only=True):
    """The metadata of a file; that of a missing one is `null`, at either level."""

    metadata: Tagged | None = None

    @property
    def version_tag(self) -> str | None:
        """The file's etag, if there is such a file."""
        return self.etag or self.content_id or (self.metadata and self.metadata.version_tag) or None


envelopes = msgspec.json.Decoder(Envelope)


@lru_cache(maxsize=64)
def acknowledgements(
    result: msgspec.json.Decoder[T],
) -> msgspec.json.Decoder[Acknowledgement[T]]:
    """Decodes whole bodies whose results are what `result` decodes."""
    return msgspec.json.Decoder(Acknowledgement[result.type])  # type: ignore[name-defined]


files = msgspec.json.Decoder(FileReply)
bulk_files = msgspec.json.Decoder(dict[str, FileReply | None])
writes = msgspec.json.Decoder(WriteReply)
listings = msgspec.json.Decoder(ListReply)
existence = msgspec.json.Decoder(ExistsReply)
existences = msgspec.json.Decoder(dict[str, bool])
bulk_writes = msgspec.json.Decoder(list[WriteReply])
bulk_deletions = msgspec.json.Decoder(dict[str, DeleteReply])
stats = msgspec.json.Decoder(StatReply | None)
deletions = msgspec.json.Decoder(DeleteReply)
renames = msgspec.json.Decoder(RenameReply)


def encode_request(method: str, params: Mapping[str, Any], request_id: int) -> bytes:
    """The body of one JSON-RPC request."""
    return _encoder.encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def encode_bytes(content: bytes) -> dict[str, Any]:
    """`content` in the form in which Nexus takes bytes."""
    return {"__type__": "bytes", "data": content}
