"""What libpq is given: what the URL says, and bounds for what it does not say."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo, timeout_from_conninfo

from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.registry import scheme_of

_DEFAULTS: Final[dict[str, Any]] = {
    "application_name": "nexus-bounty",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""So that a host that vanished is noticed; what the URL says of these stands."""
_ALWAYS: Final = {"client_encoding": "UTF8"}
"""Or whoever set another one for a role, a database or this machine would decide which names there
can be: the server gives what its own encoding holds, and a database of bytes takes them."""
_WANTED: Final = "must be postgresql://user@host:port/database, with libpq's parameters if any"
_NOWHERE: Final = "/no-such-directory"


def conninfo_of(url: str) -> str:
    """What to give to libpq for `url`.

    Raises:
        InvalidInputError: libpq can make nothing of it (pre-commit, local check). Of the URL only
            the scheme is shown: the rest may hold a password.
    """
    given = _parsed(url)
    if problem := _refused(url, given):
        raise InvalidInputError("url", f"{scheme_of(url) or ''}:…", f"cannot be used: {problem}")
    missing = {name: value for name, value in _DEFAULTS.items() if name not in given}
    return make_conninfo(url, **missing, **_ALWAYS)


def place_of(url: str) -> str:
    """Where the database is, as people are told: no user, no password.

    Raises:
        InvalidInputError: libpq can make nothing of it.
    """
    given = _parsed(url)
    return f"{given.get('host', 'localhost')}/{given.get('dbname', '')}"


def _parsed(url: str) -> dict[str, Any]:
    with suppress(psycopg.ProgrammingError, UnicodeEncodeError):
        return {**conninfo_to_dict(url)}
    raise InvalidInputError("url", f"{scheme_of(url) or ''}:…", _WANTED)


def _refused(url: str, given: dict[str, Any]) -> str | None:
    """What libpq has against a parameter, if anything, found out without a word to any server.

    It checks them all before it looks for the socket, and there is none where it is sent to.
    """
    try:
        timeout_from_conninfo(given)
    except psycopg.ProgrammingError as error:
        return str(error)
    hosts = str(given.get("host", "")).count(",") + 1
    nowhere = make_conninfo(url, host=",".join([_NOWHERE] * hosts), hostaddr="")
    trial = pq.PGconn.connect_start(nowhere.encode())
    said = trial.error_message.decode(errors="replace")
    trial.finish()
    is_wrong = _NOWHERE not in said and "could not match" not in said  # as for hosts of a service
    return said.partition("\n")[0] if is_wrong else None
