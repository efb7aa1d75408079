"""`sqlite:///relative/path.db`, `sqlite:////absolute/path.db` and `sqlite:///~/path.db`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty_sqlite.claims import SqliteClaimStore
from nexus_bounty_sqlite.credits import SqliteCredits

_START: Final = "sqlite:///"


def open_credits(url: str, **options: Any) -> SqliteCredits:
    """The credits in the file that `url` names."""
    return SqliteCredits(path_of(url), **options)


def open_claims(url: str, **options: Any) -> SqliteClaimStore:
    """The claims in the file that `url` names."""
    return SqliteClaimStore(path_of(url), **options)


def path_of(url: str) -> Path:
    """The file that `url` names, in a directory that exists.

    Raises:
        InvalidInputError: It names none (pre-commit, local check).
    """
    name = url.removeprefix(_START)
    if name in ("", url):
        raise InvalidInputError("url", url, f"must be {_START} and the path of a file")
    if name == ":memory:":
        raise InvalidInputError("url", url, "must name a file; use memory: for credits in memory")
    path = Path(name).expanduser()
    if not path.parent.is_dir():
        hint = f"; the path from the root is {_START}/{name}" if not path.is_absolute() else ""
        raise InvalidInputError("url", url, f"needs the directory {path.parent} to exist{hint}")
    return path
