"""`nexuspay+http://host:port` and `nexuspay+https://host/ledger`."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.registry import scheme_of
from nexus_bounty_nexuspay.credits import NexusPayCredits

_LIKE: Final = "must be like nexuspay+http://host:port"
_SCHEMES: Final = {"nexuspay": "http", "nexuspay+http": "http", "nexuspay+https": "https"}


def open_credits(url: str, **options: Any) -> NexusPayCredits:
    """The credits on the server that `url` names, in the ledger that its path names.

    The API key is not part of the URL, which logs show: it is the option `api_key`, or the
    environment's `NEXUS_API_KEY`.

    Raises:
        InvalidInputError: The URL names no server, or holds more than that (pre-commit).
    """
    parts = _parsed(url)
    # Errors show the scheme only: the rest of a wrong URL may hold a password.
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise InvalidInputError("url", parts.scheme, _LIKE)
    if "@" in parts.netloc:
        raise InvalidInputError(
            "url", parts.scheme, "must not hold credentials; set NEXUS_API_KEY instead"
        )
    if parts.query or parts.fragment or "/" in parts.path.strip("/"):
        raise InvalidInputError("url", parts.scheme, "must end with the host or one ledger's name")
    ledger = unquote(parts.path.strip("/")) or "default"
    return NexusPayCredits(f"{scheme}://{parts.netloc}", ledger=ledger, **options)


def _parsed(url: str) -> SplitResult:
    scheme = scheme_of(url)
    if not url.isprintable() or " " in url:
        raise InvalidInputError("url", scheme, _LIKE)
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it is computed, and may raise
    except ValueError:
        raise InvalidInputError("url", scheme, _LIKE) from None
    return parts
