"""A network between a driver and PostgreSQL that loses what it is told to lose.

It reads the messages of a driver that sends simple queries. A fault is armed for the next one that
contains a text, and happens once; nothing is left to chance or to time.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from psycopg.conninfo import conninfo_to_dict

COMMITTING = "\nCOMMIT"
BEGINNING = "BEGIN ISOLATION LEVEL READ COMMITTED"


class Loss(StrEnum):
    """What becomes of the query, and of its answer."""

    QUERY = "the query is lost"
    ANSWER = "the query arrives, its answer is lost"
    SILENCE = "the query arrives, and no answer comes, though the connection stays"
    LATE = "the connection is lost, and the query arrives when it is released"
    SLOW = "the query arrives when it is released, and is answered"
    CUT = "the query arrives, its answer is lost, and so is every connection from then on"
    CUT_BEFORE = "the query is lost, and so is every connection from then on"


@dataclass(eq=False)
class PostgresProxy:
    """Listens on a port of its own; `url` leads through it to the server of `target`.

    Attributes:
        happened: Set when the armed fault has come about: the server has answered, where the
            query was let through.
        released: Lets a late query go on to the server.
        arrived: Set when the server has answered a late query, or closed its connection.
    """

    target: str
    happened: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._armed: tuple[str, Loss] | None = None
        self._to_pass = 0
        self._is_cut = False
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where a driver is to connect."""
        parts = conninfo_to_dict(self.target)
        port = self._listener.getsockname()[1]
        user, name = parts["user"], parts["dbname"]
        return f"postgresql://{user}@127.0.0.1:{port}/{name}?sslmode=disable&gssencmode=disable"

    def arm(self, text: str, loss: Loss, *, after: int = 0) -> None:
        """Let the next query that contains `text` suffer `loss`, or one `after` so many."""
        self.happened.clear()
        self._to_pass = after
        self._armed = (text, loss)

    def disarm(self) -> None:
        """Let everything through."""
        self._armed = None

    def cut(self) -> None:
        """Lose every connection there is, and let none through from now on."""
        self._is_cut = True
        for each in list(self._open):
            close(each)

    def heal(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._listener.close()
        for each in list(self._open):
            close(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self._is_cut:
            close(client)
            return
        parts = conninfo_to_dict(self.target)
        server = socket.create_connection((str(parts["host"]), int(str(parts["port"]))))
        self._open.add(server)
        link = _Link(client, server)
        threading.Thread(target=link.answers, daemon=True).start()
        with suppress(OSError, EOFError):
            server.sendall(read_startup(client))
            while True:
                message = read_message(client)
                if (loss := self._takes(message)) is None:
                    server.sendall(message)
                elif not self._lose(link, message, loss):
                    return
        link.close()

    def _takes(self, message: bytes) -> Loss | None:
        if self._armed is None or message[:1] != b"Q" or self._armed[0].encode() not in message:
            return None
        if self._to_pass:
            self._to_pass -= 1
            return None
        loss, self._armed = self._armed[1], None
        return loss

    def _lose(self, link: _Link, message: bytes, loss: Loss) -> bool:
        """Let it happen; whether the connection remains."""
        if loss in (Loss.CUT, Loss.CUT_BEFORE):
            self._is_cut = True
        if loss in (Loss.ANSWER, Loss.SILENCE, Loss.CUT):
            link.lets_answers_through = False
            link.answered.clear()
            link.server.sendall(message)
            assert link.answered.wait(10)
        if loss is Loss.SILENCE:
            self.happened.set()
            return True
        if loss is Loss.SLOW:
            self.happened.set()
            assert self.released.wait(20)
            link.server.sendall(message)
            return True
        if loss is Loss.LATE:
            close(link.client)
            self.happened.set()
            assert self.released.wait(20)
            if not link.has_ended:
                link.answered.clear()
                with suppress(OSError):
                    link.server.sendall(message)
                link.answered.wait(10)
            self.arrived.set()
        link.close()
        if loss in (Loss.CUT, Loss.CUT_BEFORE):
            self.cut()
        self.happened.set()
        return False


@dataclass(eq=False)
class _Link:
    client: socket.socket
    server: socket.socket
    lets_answers_through: bool = True
    answered: threading.Event = field(default_factory=threading.Event)
    has_ended: bool = False

    def answers(self) -> None:
        """Carry what the server says to the client, as long as that is let through."""
        with suppress(OSError, EOFError):
            while True:
                message = read_message(self.server)
                if self.lets_answers_through:
                    self.client.sendall(message)
                if message[:1] == b"Z":  # it is ready for the next query
                    self.answered.set()
        self.has_ended = True
        self.answered.set()
        if self.lets_answers_through:
            close(self.client)

    def close(self) -> None:
        """End both sides."""
        close(self.client)
        close(self.server)


def close(each: socket.socket) -> None:
    """End a connection for both of its ends."""
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


def read_startup(source: socket.socket) -> bytes:
    """The first message of a client, which has no type."""
    size = _exactly(source, 4)
    return size + _exactly(source, struct.unpack("!I", size)[0] - 4)


def read_message(source: socket.socket) -> bytes:
    """The next message, its type and length included."""
    head = _exactly(source, 5)
    return head + _exactly(source, struct.unpack("!I", head[1:])[0] - 4)


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = source.recv(size - len(found))
        if not part:
            raise EOFError
        found += part
    return found
