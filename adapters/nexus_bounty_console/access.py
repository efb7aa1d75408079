"""Who looks, and what they may do."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from nexus_bounty.models import Wire, utc_now
from nexus_bounty.outcomes import InvalidInputError

LASTS: Final = timedelta(hours=12)
"""How long a browser stays logged in."""
MOST_SESSIONS: Final = 1_000
LEAST_TOKEN: Final = 16


class Role(StrEnum):
    """What somebody may do."""

    READ = "read"
    """Look at everything, and let it be checked."""
    OPERATE = "operate"
    """Also repair, rescue, and find out what is in doubt."""


class Person(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who has a token.

    Attributes:
        token: What they log in with.
        role: What they may do.
    """

    token: str
    role: Role = Role.READ


@dataclass(frozen=True)
class Viewer:
    """Whoever sends a request.

    Attributes:
        name: Who, for people and for the log.
        role: What they may do.
        csrf: What their forms carry, so that no other site can send them.
        can_log_out: Whether they have logged in.
    """

    name: str
    role: Role
    csrf: str
    can_log_out: bool = False

    @property
    def may_operate(self) -> bool:
        """Whether they may change something."""
        return self.role is Role.OPERATE


@dataclass
class _Session:
    name: str
    role: Role
    until: datetime


@dataclass
class Access:
    """Lets in those who have a token; everybody, in `role`, where there are none.

    Only hashes of tokens and sessions are kept.

    Attributes:
        people: Those who have a token, by their names; `None` lets in everybody who can connect.
        role: What everybody may do then.
        clock: The current time, aware.
    """

    people: Mapping[str, Person] | None = None
    role: Role = Role.OPERATE
    clock: Callable[[], datetime] = utc_now
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _tokens: list[tuple[bytes, str, Role]] = field(default_factory=list, repr=False)
    _sessions: OrderedDict[bytes, _Session] = field(default_factory=OrderedDict, repr=False)

    def __post_init__(self) -> None:
        """Take the tokens.

        Raises:
            InvalidInputError: One of them is too easy to guess, or given to two people.
        """
        for name, person in (self.people or {}).items():
            check_token(person.token)
            self._tokens.append((_digest(person.token), name, person.role))
        if len({digest for digest, _, _ in self._tokens}) < len(self._tokens):
            raise InvalidInputError("token", "…", "must not be given to two people")

    @property
    def is_open(self) -> bool:
        """Whether nobody has to log in."""
        return self.people is None

    def log_in(self, token: str) -> str | None:
        """A new session for whoever has the token; `None` if nobody has it."""
        found = self._owner(token)
        if found is None:
            return None
        session = secrets.token_urlsafe(32)
        self._sessions[_digest(session)] = _Session(*found, self.clock() + LASTS)
        if len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def log_out(self, session: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(session), None)

    def of_session(self, session: str | None) -> Viewer | None:
        """Whoever has logged in with it; everybody where nobody has to."""
        if self.is_open:
            return Viewer("", self.role, self.csrf(None))
        found = self._sessions.get(_digest(session)) if session else None
        if found is None or found.until < self.clock():
            return None
        return Viewer(found.name, found.role, self.csrf(session), can_log_out=True)

    def of_token(self, token: str) -> Viewer | None:
        """Whose token it is, as programs send it with every request."""
        found = self._owner(token)
        return Viewer(*found, csrf="") if found else None

    def csrf(self, session: str | None) -> str:
        """What the forms of a session carry; nobody can work it out from anything else."""
        return hmac.new(self._secret, (session or "").encode(), hashlib.sha256).hexdigest()

    def _owner(self, token: str) -> tuple[str, Role] | None:
        given, owner = _digest(token), None
        for digest, name, role in self._tokens:  # all of them, so that time tells nothing
            if hmac.compare_digest(digest, given):
                owner = name, role
        return owner


def check_token(token: str) -> None:
    """Refuse what is too easy to guess, or cannot be sent.

    Raises:
        InvalidInputError: It is (local check).
    """
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInputError(
            "token",
            "…",
            f"must be at least {LEAST_TOKEN} printable ASCII characters without spaces",
        )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()
