"""The names in a ledger: the users' accounts, those that it keeps for itself, and its ids."""

from __future__ import annotations

from typing import Final

from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.validation import check_text

SYSTEM_PREFIX: Final = "system:"
MINT: Final = "system:mint"
"""Where new credits come from: the one account below zero, by exactly what has been issued."""

TREASURY: Final = "system:frontier-rewards"
"""The peer's account from which rewards are paid: filled and spent like a user's, but nobody's."""

LONGEST_NAME: Final = 512

_ESCROW_PREFIX: Final = "system:escrow:"


def escrow_of(account: str) -> str:
    """The account that holds what `account` has set aside."""
    return _ESCROW_PREFIX + account


def is_escrow(name: str) -> bool:
    """Whether `name` is an account that holds reserved credits."""
    return name.startswith(_ESCROW_PREFIX)


def check_name(field: str, value: str) -> str:
    """An id or account name: printable, at most `LONGEST_NAME` characters.

    Raises:
        InvalidInputError: It is not (pre-commit, local check).
    """
    name = check_text(field, value)
    if not name.isprintable() or len(name) > LONGEST_NAME:
        raise InvalidInputError(
            field, value, f"must be at most {LONGEST_NAME} printable characters"
        )
    return name


def check_account(field: str, value: str) -> str:
    """The name of a user's account, or of the treasury.

    Raises:
        InvalidInputError: It is no name, or one of the ledger's own (pre-commit, local check).
    """
    return value if value == TREASURY else check_user(field, value)


def check_user(field: str, value: str) -> str:
    """The name of a user's account.

    Raises:
        InvalidInputError: It is no name, or nobody's (pre-commit, local check).
    """
    if check_name(field, value).startswith(SYSTEM_PREFIX):
        raise InvalidInputError(field, value, f"must not start with {SYSTEM_PREFIX!r}")
    return value


def is_own(name: str) -> bool:
    """Whether `name` is an account that only the ledger itself moves."""
    return name.startswith(SYSTEM_PREFIX) and name != TREASURY


def check_note(field: str, value: str) -> str:
    """Free text that may be empty.

    Raises:
        InvalidInputError: It is not text, or no store could keep it (pre-commit, local check).
    """
    return value if value == "" else check_text(field, value)
