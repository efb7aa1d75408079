"""The names in a ledger: the users' accounts, those that it keeps for itself, and its ids."""

from __future__ import annotations

from typing import Final

from nexus_bounty.models import composed
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


def holder_of(name: str) -> str:
    """Whose credits are in the account `name`: that of an escrow is who has set them aside."""
    return name.removeprefix(_ESCROW_PREFIX)


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
    """The name of a user's account in its composed form, or of the treasury.

    Raises:
        InvalidInputError: It is no name, or one of the ledger's own (pre-commit, local check).
    """
    return value if value == TREASURY else check_user(field, value)


def check_user(field: str, value: str) -> str:
    """The name of a user's account in its composed form (NFC): what looks alike is one account.

    Raises:
        InvalidInputError: It is no name, or nobody's, or looks like another (pre-commit, local
            check).
    """
    name = composed(check_name(field, value))
    if name.startswith(SYSTEM_PREFIX):
        raise InvalidInputError(field, value, f"must not start with {SYSTEM_PREFIX!r}")
    if name != name.strip():
        raise InvalidInputError(field, value, "must not start or end with a space")
    if any(map(_is_invisible, name)):
        raise InvalidInputError(field, value, "must not contain characters that nobody sees")
    return name


def _is_invisible(sign: str) -> bool:
    """Whether a sign that counts as printable shows nothing."""
    return sign in _BLANKS or any(first <= sign <= last for first, last in _SELECTORS)


_BLANKS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_SELECTORS: Final = (
    ("\u180b", "\u180f"),
    ("\ufe00", "\ufe0f"),
    ("\U000e0100", "\U000e01ef"),
)
"""Signs that only choose among the shapes of the one before them."""


def is_own(name: str) -> bool:
    """Whether `name` is an account that only the ledger itself moves."""
    return name.startswith(SYSTEM_PREFIX) and name != TREASURY


def check_note(field: str, value: str) -> str:
    """Free text that may be empty.

    Raises:
        InvalidInputError: It is not text, or no store could keep it (pre-commit, local check).
    """
    return value if value == "" else check_text(field, value)
