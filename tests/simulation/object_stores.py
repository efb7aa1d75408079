"""A small local fake of two object stores with conditional writes, which can be told to misbehave.

It speaks as much of the JSON API of Google Cloud Storage and of S3 as their Python clients need for
one small object, over real sockets: what a connection does when it breaks is part of the question.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from email.parser import BytesParser
from enum import StrEnum
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import sleep
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

PATIENCE: Final = 0.6
"""For how many seconds the clients wait for an answer."""


class Misbehaviour(StrEnum):
    """What becomes of the next conditional write."""

    NONE = "nothing"
    APPLY_THEN_DROP = "apply, then drop"
    APPLY_THEN_500 = "apply, then 500"
    APPLY_THEN_503 = "apply, then 503"
    LATE = "apply when given up"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object and how often its name was written."""

    content: bytes
    generation: int

    @property
    def etag(self) -> str:
        """As S3 has it: the MD5 of the content, quoted."""
        return f'"{md5(self.content, usedforsecurity=False).hexdigest()}"'


@dataclass
class Objects:
    """What is stored, by name; the check of a precondition and the write are one step."""

    stored: dict[str, StoredObject] = field(default_factory=dict)
    misbehaviour: Misbehaviour = Misbehaviour.NONE
    late: int = 0
    """How many writes are still to be applied."""
    _lock: Lock = field(default_factory=Lock)

    def write(
        self, name: str, content: bytes, *, generation: int | None, etag: str | None
    ) -> StoredObject | None:
        """Write if the object is still of `generation` (0: is not there) or has `etag`."""
        with self._lock:
            now = self.stored.get(name)
            if generation is not None and generation != (now.generation if now else 0):
                return None
            if etag is not None and (now is None or now.etag != etag):
                return None
            written = StoredObject(content, now.generation + 1 if now else 1)
            self.stored[name] = written
            return written

    def next_misbehaviour(self) -> Misbehaviour:
        """What becomes of this write; the one after it is treated well."""
        with self._lock:
            due, self.misbehaviour = self.misbehaviour, Misbehaviour.NONE
            return due


class FakeObjectStore:
    """Serves both protocols on a port of 127.0.0.1, in threads of its own."""

    def __init__(self) -> None:
        self.objects = Objects()
        handler = type("Handler", (_Handler,), {"objects": self.objects})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def settle(self) -> None:
        """Wait until everything that is late has been applied."""
        while self.objects.late:
            sleep(0.02)

    def __exit__(self, *_ended: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: Objects

    def do_PUT(self) -> None:
        """S3: write an object."""
        name = unquote(urlsplit(self.path).path)
        generation = 0 if self.headers.get("If-None-Match") == "*" else None
        self._write(name, self._body(), generation, self.headers.get("If-Match"))

    def do_POST(self) -> None:
        """GCS: write an object, its metadata and its content in one multipart body."""
        wanted = parse_qs(urlsplit(self.path).query).get("ifGenerationMatch")
        kind = self.headers["Content-Type"].encode()
        parts: Any = BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + self._body())
        metadata, content = (part.get_payload(decode=True) for part in parts.get_payload())
        name = json.loads(metadata)["name"]
        self._write(f"/{name}", content, int(wanted[0]) if wanted else None, None)

    def do_GET(self) -> None:
        """GCS: an object's metadata. S3: an object."""
        name = unquote(urlsplit(self.path).path).rpartition("/")[2]
        found = self.objects.stored.get(f"/{name}")
        if found is None:
            self._answer(404, b"{}")
        elif "/storage/v1/" in self.path:
            self._answer(200, _metadata(f"/{name}", found))
        else:
            self._answer(200, found.content, found)

    def do_HEAD(self) -> None:
        """S3: an object's headers."""
        self.do_GET()

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _write(self, path: str, content: bytes, generation: int | None, etag: str | None) -> None:
        name = f"/{path.rpartition('/')[2]}"
        due = self.objects.next_misbehaviour()
        if due is Misbehaviour.LATE:
            self.objects.late += 1
            sleep(PATIENCE * 1.2)
        written = self.objects.write(name, content, generation=generation, etag=etag)
        if due is Misbehaviour.LATE:
            self.objects.late -= 1
        if due in (Misbehaviour.APPLY_THEN_DROP, Misbehaviour.LATE):
            self.close_connection = True
        elif due is Misbehaviour.APPLY_THEN_500:
            self._answer(500, b"{}")
        elif due is Misbehaviour.APPLY_THEN_503:
            self._answer(503, b"{}")
        elif written is None:
            self._answer(412, b"{}")
        else:
            self._answer(200, _metadata(name, written), written)

    def _answer(self, status: int, body: bytes, stored: StoredObject | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if stored is not None:
            self.send_header("ETag", stored.etag)
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name there
        """Say nothing."""


def _metadata(name: str, stored: StoredObject) -> bytes:
    digest = md5(stored.content, usedforsecurity=False).digest()
    return json.dumps(
        {
            "kind": "storage#object",
            "bucket": "bucket",
            "name": name.lstrip("/"),
            "generation": str(stored.generation),
            "metageneration": "1",
            "size": str(len(stored.content)),
            "md5Hash": b64encode(digest).decode(),
            "etag": stored.etag,
        }
    ).encode()
