"""`postgresql://user@host:5432/database`, with whatever else libpq reads."""

from __future__ import annotations

from typing import Any

import psycopg

from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty_postgres.claims import PostgresClaimStore
from nexus_bounty_postgres.credits import PostgresCredits


def open_credits(url: str, **options: Any) -> PostgresCredits:
    """The credits in the database that `url` names."""
    return PostgresCredits(_checked(url), **options)


def open_claims(url: str, **options: Any) -> PostgresClaimStore:
    """The claims in the database that `url` names."""
    return PostgresClaimStore(_checked(url), **options)


def _checked(url: str) -> str:
    """`url`, which libpq can read.

    Raises:
        InvalidInputError: It cannot (pre-commit, local check).
    """
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Only the scheme is shown: the rest of a URL may hold a password.
        scheme = f"{url.partition('://')[0]}://…"
        wanted = "must be postgresql://user@host:port/database, with libpq's parameters if any"
        raise InvalidInputError("url", scheme, wanted) from None
    return url
