"""JSON-RPC as Nexus speaks it: one pass to encode a request, one to decode an answer.

The dialects of 0.5.6, 0.7.0, 0.9.x and 0.10.x differ in the shapes of results; each decoder here
takes all of them. Bytes travel as `{"__type__": "bytes", "data": "<base64>"}`.
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


class Envelope(msgspec.Struct):
    """Any JSON body a Nexus server or a gateway before it answers with."""

    result: msgspec.Raw = msgspec.Raw(b"")
    error: RpcError | str | None = None
    detail: Any = None
    retry_after: float | None = None
    id: Any = None

    def is_of_another(self, number: int, *, acknowledged: bool) -> bool:
        """Whether this is not the answer to request `number`.

        Every release repeats the id in a result (measured on 0.5.6 to 0.10.1); in an error most
        say `null`, and a gateway before the server says none.
        """
        if self.id is None:
            return acknowledged and bool(self.result)
        return bool(self.id != number)


class Reply(msgspec.Struct, Generic[T]):
    """The body of an acknowledgement, its result decoded in the same pass."""

    result: T
    error: RpcError | str | None = None
    id: Any = None


class Blob(msgspec.Struct):
    """Bytes on the wire."""

    data: bytes


class FileReply(msgspec.Struct):
    """A file with its metadata; 0.10.x says `content_id` where the others say `etag`."""

    content: Blob | str
    etag: str | None = None
    content_id: str | None = None
    encoding: str | None = None

    @property
    def body(self) -> bytes:
        """The stored bytes."""
        if isinstance(self.content, Blob):
            return self.content.data
        if self.encoding == "base64":
            return b64decode(self.content, validate=True)
        return self.content.encode()

    @property
    def version_tag(self) -> str | None:
        """What a conditional write of the file has to match."""
        return self.etag or self.content_id


class WriteMetadata(msgspec.Struct):
    """What 0.7.0 nests under `bytes_written`."""

    etag: str | None = None
    content_id: str | None = None


class WriteReply(msgspec.Struct):
    """The acknowledgement of a write; the etag may be at either level, or missing."""

    etag: str | None = None
    content_id: str | None = None
    bytes_written: WriteMetadata | int | None = None

    @property
    def version_tag(self) -> str | None:
        """The etag of what was stored, where the server says it."""
        nested = self.bytes_written if isinstance(self.bytes_written, WriteMetadata) else None
        return (
            self.etag or self.content_id or (nested and (nested.etag or nested.content_id)) or None
        )


class Moment(msgspec.Struct):
    """A time on the wire; releases differ in whether they say that it is UTC."""

    data: datetime


class Entry(msgspec.Struct):
    """One file of a detailed listing."""

    path: str
    modified_at: Moment | datetime | None = None
    etag: str | None = None
    content_id: str | None = None
    is_directory: bool = False
    entry_type: int | None = None

    @property
    def version_tag(self) -> str | None:
        """What a conditional write of the file has to match."""
        return self.etag or self.content_id

    @property
    def is_a_directory(self) -> bool:
        """Whether this is no file; 0.10.x says so by `entry_type` 1."""
        return self.is_directory or self.entry_type == 1

    @property
    def modified(self) -> datetime | None:
        """When the file was last written, in UTC."""
        moment = self.modified_at.data if isinstance(self.modified_at, Moment) else self.modified_at
        return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


class ListReply(msgspec.Struct):
    """One page of a listing; 0.5.6 has no pages."""

    files: Sequence[str | Entry]
    has_more: bool = False
    next_cursor: str | None = None

    @property
    def entries(self) -> list[Entry]:
        """What is listed, files and directories."""
        return [Entry(path=each) if isinstance(each, str) else each for each in self.files]

    def follows(self, cursor: str | None) -> bool:
        """Whether this page begins after `cursor` and leaves nothing out up to the next one.

        That can be seen only where a cursor is the last path of its page, as in 0.10.1, and the
        paths are in order. The cursors of 0.7.0 and 0.9.x are opaque; those of 0.9.18 stand for a
        path although its pages are in the order of writing, so that pages lose entries.
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


class StatMetadata(msgspec.Struct):
    """What 0.9.x nests under `metadata`."""

    etag: str | None = None
    content_id: str | None = None


class StatReply(msgspec.Struct):
    """The metadata of a file; that of a missing one is `null`, at either level."""

    etag: str | None = None
    content_id: str | None = None
    metadata: StatMetadata | None = None

    @property
    def version_tag(self) -> str | None:
        """The file's etag, if there is such a file."""
        nested = self.metadata and (self.metadata.etag or self.metadata.content_id)
        return self.etag or self.content_id or nested or None


envelopes = msgspec.json.Decoder(Envelope)


@lru_cache(maxsize=64)
def replies(result: msgspec.json.Decoder[T]) -> msgspec.json.Decoder[Reply[T]]:
    """Decodes whole bodies whose results are what `result` decodes."""
    return msgspec.json.Decoder(Reply[result.type])  # type: ignore[name-defined]


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
