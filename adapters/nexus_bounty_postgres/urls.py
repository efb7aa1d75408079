"""`postgresql://user@host:5432/database`, with whatever else libpq reads."""

from __future__ import annotations

from typing import Any

from nexus_bounty_postgres.claims import PostgresClaimStore
from nexus_bounty_postgres.credits import PostgresCredits


def open_credits(url: str, **options: Any) -> PostgresCredits:
    """The credits in the database that `url` names.

    Raises:
        InvalidInputError: libpq can make nothing of it (pre-commit, local check).
    """
    return PostgresCredits(url, **options)


def open_claims(url: str, **options: Any) -> PostgresClaimStore:
    """The claims in the database that `url` names.

    Raises:
        InvalidInputError: libpq can make nothing of it (pre-commit, local check).
    """
    return PostgresClaimStore(url, **options)
