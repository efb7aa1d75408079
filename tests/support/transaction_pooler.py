"""A pooler of transactions: many clients share few sessions, each for one transaction at a time.

As strict as can be: a client gets whichever session has waited longest, so that nothing which a
session keeps from one transaction to the next would be found again.
"""

from __future__ import annotations

import queue
import socket
import threading
from contextlib import suppress
from typing import Self

from psycopg.conninfo import conninfo_to_dict

from tests.support.postgres_proxy import close, read_message, read_startup

_IDLE = b"I"


class TransactionPooler:
    """Listens on a port of its own; `url` leads through it to the server of `target`."""

    def __init__(self, target: str, sessions: int = 2) -> None:
        self._target = conninfo_to_dict(target)
        self._greeting = b""
        self._free: queue.Queue[socket.socket] = queue.Queue()
        self._open: set[socket.socket] = set()
        for _ in range(sessions):
            self._free.put(self._session())
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where a driver is to connect."""
        parts = self._target
        port = self._listener.getsockname()[1]
        where = f"{parts['user']}@127.0.0.1:{port}/{parts['dbname']}"
        return f"postgresql://{where}?sslmode=disable&gssencmode=disable"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for each in list(self._open):
            close(each)

    def _session(self) -> socket.socket:
        session = socket.create_connection(
            (str(self._target["host"]), int(str(self._target["port"])))
        )
        parts = (b"user", self._target["user"], b"database", self._target["dbname"])
        words = b"".join(
            (each if isinstance(each, bytes) else str(each).encode()) + b"\0" for each in parts
        )
        body = (196_608).to_bytes(4, "big") + words + b"\0"
        session.sendall((len(body) + 4).to_bytes(4, "big") + body)
        self._greeting = b""
        while True:
            message = read_message(session)
            self._greeting += message
            if message[:1] == b"Z":
                self._open.add(session)
                return session

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.add(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        session: socket.socket | None = None
        with suppress(OSError, EOFError):
            read_startup(client)
            client.sendall(self._greeting)
            while (message := read_message(client))[:1] != b"X":
                if session is None:
                    session = self._free.get()
                session.sendall(message)
                if message[:1] in (b"Q", b"S") and self._answer(session, client) == _IDLE:
                    self._free.put(session)
                    session = None
        close(client)
        if session is not None:  # it was left in the middle: nobody else may have it
            close(session)
            with suppress(OSError):
                self._free.put(self._session())

    def _answer(self, session: socket.socket, client: socket.socket) -> bytes:
        """Carry the whole answer to the client; returns in which state the session is now."""
        while True:
            message = read_message(session)
            client.sendall(message)
            if message[:1] == b"Z":
                return message[-1:]
