"""What went wrong, in plain words: what happened, what it means for the money, what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.documents import UnreadableDocumentError
from nexus_bounty.outcomes import (
    CommitUnknownError,
    InvalidInputError,
    Outcome,
    OutcomeError,
)
from nexus_bounty_console.jobs import BusyError

FORESEEN: Final = (BusyError, NexusError, OutcomeError, UnreadableDocumentError)
"""The errors that people can do something about."""

_ONLY_READ: Final = "None moved by this: it only looked."
_MONEY: Final = {
    Outcome.PRE_COMMIT: "None moved by this.",
    Outcome.POST_COMMIT: "It is where it belongs, or on its way there; nothing leads back.",
    Outcome.UNKNOWN: "What is in escrow stays there until it is known.",
    Outcome.OTHER_OPERATION: "None moved by this.",
}
_AFTER_A_READ: Final = {
    Reason.NO_CONNECTION: "See whether the server runs, and whether the console has its URL.",
    Reason.AUTHENTICATION: "Give the console the server's key, in NEXUS_API_KEY.",
    Reason.PERMISSION: "Give the console a key that may read this zone.",
    Reason.NO_SUCH_ROUTE: "Check the URL: what answers there does not look like Nexus.",
}


@dataclass(frozen=True)
class Trouble:
    """What to say about an error.

    Attributes:
        heading: What happened, in a few words.
        detail: The same, more closely.
        money: What it means for the money.
        following: What to do next.
        status: The HTTP status that goes with it.
        code: The same for programs.
    """

    heading: str
    detail: str
    money: str
    following: str
    status: int
    code: str


def trouble(error: BaseException, *, looking: bool = True) -> Trouble | None:
    """What to say about an error; `None` about a bug of ours.

    With `looking`, whatever failed could not have changed anything.
    """
    if isinstance(error, NexusError):
        following = _AFTER_A_READ.get(error.reason, "Try again in a moment.")
        money = _ONLY_READ if looking else _MONEY[Outcome.UNKNOWN]
        return _said("Nexus could not be read", str(error), money, following, 502, "NEXUS")
    if isinstance(error, UnreadableDocumentError):
        following = "Another program wrote it; it was left as it is."
        return _said("A document is not readable", str(error), _ONLY_READ, following, 502, "NEXUS")
    if isinstance(error, BusyError):
        heading, following = "Something else is running", "Wait until it has ended."
        return _said(heading, f"Not begun: {error} is running.", _ONLY_READ, following, 409, "BUSY")
    if isinstance(error, InvalidInputError):
        following = "Correct it and try again."
        return _said("That cannot be", error.message, _ONLY_READ, following, 400, "INVALID")
    if isinstance(error, CommitUnknownError) and looking:
        following = "Try again in a moment."
        heading = "The ledger could not be read"
        return _said(heading, error.message, _ONLY_READ, following, 502, "LEDGER")
    if isinstance(error, OutcomeError):
        following = f"{error.advice}."
        heading = _HEADINGS[error.outcome]
        return _said(heading, error.message, _MONEY[error.outcome], following, 409, "OUTCOME")
    return None


_HEADINGS: Final = {
    Outcome.PRE_COMMIT: "It did not happen",
    Outcome.POST_COMMIT: "It happened, and steps are still owed",
    Outcome.UNKNOWN: "It is not known yet",
    Outcome.OTHER_OPERATION: "The key stands for something else",
}


def unexpected(error: BaseException) -> Trouble:
    """What to say about a bug of ours."""
    return Trouble(
        "Something went wrong that nobody has thought of",
        f"{type(error).__name__}; the log of the console has the rest.",
        "What is in escrow stays there; the reconciler finishes what was begun.",
        "Try again, and please report it.",
        500,
        "UNEXPECTED",
    )


def _said(heading: str, detail: str, money: str, following: str, status: int, code: str) -> Trouble:
    detail = f"{detail[:1].upper()}{detail[1:]}"
    return Trouble(heading, detail, money, following, status, code)
