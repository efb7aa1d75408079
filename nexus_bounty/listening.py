"""Listens where somebody has said, or says in a line why that cannot be."""

from __future__ import annotations

import socket
from typing import Final

from nexus_bounty.outcomes import PlainError

_WAITING: Final = 1024
"""How many connections may wait to be taken."""
_SHOWN: Final = 100
"""How much of a name is shown that somebody gave."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at `host` and `port`.

    Raises:
        PlainError: It cannot.
    """
    try:
        return _listening(host, port)
    except (OSError, ValueError, TypeError) as error:  # the last two of what can be no name
        why = getattr(error, "strerror", None) or "it is no name or address"
        where = f"{host[:_SHOWN]}:{port}"
        raise PlainError(
            f"{where} cannot be listened on: {why}; choose another port or host"
        ) from error


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with the protocol named, asyncio turns Nagle's algorithm off, which costs 40 ms a request
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(_WAITING)
    except BaseException:
        made.close()
        raise
    return made
