"""What is said when a command does not succeed: what happened, the money, what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from nexus_bounty.cli.exits import OF_OUTCOME, ExitCode, UsageProblem
from nexus_bounty.cli.output import counted, facts, lines, safe, shortened, without_credentials
from nexus_bounty.cli.session import Attempt
from nexus_bounty.nexus.client.classification import Reason
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.settings import ConfigurationError
from nexus_bounty.nexus.documents import UnreadableDocumentError
from nexus_bounty.outcomes import (
    CommitUnknownError,
    Evidence,
    InvalidInputError,
    Outcome,
    OutcomeError,
    PlainError,
    PostCommitError,
    Proof,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_NOT_MOVED: Final = "Not moved by this: what is in escrow stays there."
_MONEY: Final[dict[str, dict[Outcome, str]]] = {
    "create": {
        Outcome.PRE_COMMIT: "This command holds no credits.",
        Outcome.POST_COMMIT: "The credits are held in escrow.",
        Outcome.UNKNOWN: "The credits may be held in escrow; they are not lost.",
    },
    "claim": dict.fromkeys(Outcome, _NOT_MOVED),
    "renew": dict.fromkeys(Outcome, _NOT_MOVED),
    "release": dict.fromkeys(Outcome, _NOT_MOVED),
    "settle": {
        Outcome.PRE_COMMIT: "This command has paid nobody.",
        Outcome.POST_COMMIT: "The claimer has been paid, or will be; no way leads back.",
        Outcome.UNKNOWN: "The claimer may be being paid; the credits are in escrow until then.",
    },
    "cancel": {
        Outcome.PRE_COMMIT: "This command has given no credits back.",
        Outcome.POST_COMMIT: "The credits are still held, and are owed to the creator.",
        Outcome.UNKNOWN: "The credits are held until it is known.",
    },
    "top-up": {
        Outcome.PRE_COMMIT: "No credits were added.",
        Outcome.UNKNOWN: "The credits may have been added, once.",
    },
}
_MONEY["expire"] = _MONEY["cancel"]
_OTHER: Final = "Not moved by this command; the operation with that key may have moved some."

_NOUNS: Final = {
    "create": "posting",
    "renew": "renewal",
    "settle": "settlement",
    "cancel": "cancellation",
    "expire": "expiry",
}

_HEADINGS: Final = {
    Outcome.PRE_COMMIT: "did not happen, and can no longer happen",
    Outcome.POST_COMMIT: "happened, and steps are still owed",
    Outcome.UNKNOWN: "may have happened: nothing proves either yet",
    Outcome.OTHER_OPERATION: "was not tried: its key stands for another operation",
}

OURS: Final = "an error that nobody has thought of; please report it"

_AFTER_A_READ: Final = {
    Reason.NO_CONNECTION: "Check --url; `nexus-bounty mock-server` starts a server to try with.",
    Reason.BAD_URL: "Check --url, which must start with http:// or https://.",
    Reason.AUTHENTICATION: "Give the server's key in NEXUS_API_KEY.",
    Reason.PERMISSION: "Use a key that may read this zone, or check --zone.",
    Reason.SERVER_ERROR: (
        "Nothing was changed; try again. If it stays so, `nexus-bounty doctor` says what the "
        "server lacks, such as a kernel to read with."
    ),
    Reason.NO_SUCH_ROUTE: "Check --url: what answers there does not look like Nexus.",
}


@dataclass(frozen=True)
class Failure:
    """What to say, and the exit code to end with."""

    exit_code: ExitCode
    data: dict[str, Any]
    text: RenderableType


def expected(error: Exception, attempt: Attempt | None) -> Failure | None:
    """What to say about an error that people can do something about; `None` for a bug of ours."""
    if isinstance(error, OutcomeError):
        return _outcome(_as_far_as_known(error, attempt), attempt)
    if isinstance(error, UsageProblem | ConfigurationError):
        return usage(str(error))
    if isinstance(error, ValidationError):
        return usage("; ".join(_setting(each["loc"], each["msg"]) for each in error.errors()))
    if isinstance(error, NexusError):
        advice = _AFTER_A_READ.get(error.reason, "Nothing was changed; try again.")
        return _plain(error, f"Nexus could not be read: {error}", advice)
    if isinstance(error, UnreadableDocumentError):
        return _plain(error, str(error), "Another program wrote it; it was left as it is.")
    if isinstance(error, PlainError) or (isinstance(error, OSError) and attempt is None):
        return _plain(error, str(error))
    return None


def unread(error: Exception) -> Failure | None:
    """What to say of a command that only reads and was told that nothing is known; else `None`."""
    if isinstance(error, CommitUnknownError):
        return _plain(error, error.message, "Nothing was changed; try again.")
    return None


def unexpected(error: Exception, attempt: Attempt | None) -> Failure:
    """The failure for a fault of ours: what was under way may have happened."""
    what = f"{type(error).__name__}: {shortened(str(error))}"
    if attempt is None:
        return _plain(error, f"{OURS}: {what}")
    unknown = CommitUnknownError(f"{OURS}: {what}", idempotency_key=attempt.key)
    return _outcome(unknown.about(attempt.operation, attempt.bounty_id, attempt.key), attempt)


def usage(message: str, command: str | None = None) -> Failure:
    """The failure for a command line that cannot be carried out: one line, with where to look."""
    words = " ".join(message.replace("Value error, ", "").split())
    said = shortened(without_credentials(words))
    data = {"error": "UsageError", "message": said, "exitCode": int(ExitCode.USAGE)}
    text = f"{said.removesuffix('.')}. See `{command} -h`." if command else said
    return Failure(ExitCode.USAGE, data, _headed(text, "red"))


def interrupted(attempt: Attempt | None) -> Failure:
    """The failure for Ctrl-C: what was under way may have happened."""
    data: dict[str, Any] = {"error": "Interrupted", "exitCode": int(ExitCode.INTERRUPTED)}
    if attempt is None:
        return Failure(ExitCode.INTERRUPTED, data, _headed("Interrupted.", "yellow"))
    money, following = _money(attempt.operation, Outcome.UNKNOWN), _find_out(attempt)
    data |= {
        "outcome": Outcome.UNKNOWN.value,
        "operation": attempt.operation,
        "idempotencyKey": attempt.key,
        "bountyId": attempt.bounty_id,
        "money": money,
        "next": following,
    }
    heading = f"Interrupted: the {_noun(attempt.operation)} may have happened, or may yet."
    rows = facts(("Money", money), ("Key", attempt.key), ("Next", following))
    return Failure(ExitCode.INTERRUPTED, data, lines(_headed(heading, "yellow"), rows))


def _as_far_as_known(error: OutcomeError, attempt: Attempt | None) -> OutcomeError:
    """The error, unless a ledger that could not be reached speaks of one call only.

    An operation judges by itself whether an earlier command may have used its key.
    """
    never_sent = error.outcome is Outcome.PRE_COMMIT and error.evidence.proof is Proof.NEVER_SENT
    if attempt is None or attempt.operation != "top-up" or attempt.is_new or not never_sent:
        return error
    unknown = CommitUnknownError(
        f"{error.message}, and whether an earlier command with this key did it is not known",
        evidence=error.evidence,
    )
    return unknown.about(error.operation, error.bounty_id, error.idempotency_key)


def _outcome(error: OutcomeError, attempt: Attempt | None) -> Failure:
    wrong_input = isinstance(error, InvalidInputError)
    exit_code = ExitCode.USAGE if wrong_input else OF_OUTCOME[error.outcome]
    name = _name(error, attempt)
    money = _money(name, error.outcome) if name else None
    notes = getattr(error, "__notes__", [])
    if notes:
        money = f"{money or ''} {'; '.join(notes)}: `nexus-bounty reconcile` sees to it.".strip()
    following = _next(error, attempt)
    if wrong_input:
        data = error.details() | {"exitCode": int(exit_code), "next": following}
        return Failure(exit_code, data, _headed(shortened(error.message), "red"))
    data = error.details() | {"exitCode": int(exit_code), "next": following}
    rows = facts(
        ("Money", money),
        ("Owed", ", ".join(error.pending) if isinstance(error, PostCommitError) else None),
        ("Next", following),
        ("Key", error.idempotency_key),
        ("Proof", _proof(error.evidence)),
    )
    text = lines(_heading(error, attempt), rows)
    return Failure(exit_code, data | ({"money": money} if money else {}), text)


def _heading(error: OutcomeError, attempt: Attempt | None) -> Text:
    name = _name(error, attempt)
    if name is None:
        return _headed(error.message, "red")
    style = "red" if error.outcome is Outcome.PRE_COMMIT else "yellow"
    heading = _HEADINGS[error.outcome]
    if isinstance(error, PostCommitError) and not error.pending:
        heading = "happened before"
    return _headed(f"The {_noun(name)} {heading}: {error.message}.", style)


def _name(error: OutcomeError, attempt: Attempt | None) -> str | None:
    """What was tried; a renewal, which is known by its error alone, takes no key."""
    if attempt is not None:
        return attempt.operation
    return error.operation if error.operation in _MONEY else None


def _noun(operation: str) -> str:
    return _NOUNS.get(operation, operation)


def _next(error: OutcomeError, attempt: Attempt | None) -> str:
    if isinstance(error, PostCommitError) and not error.pending:
        return "Go forward: nothing is seen to be owed."
    if error.outcome is Outcome.POST_COMMIT:
        return "Go forward: `nexus-bounty reconcile` does what is owed."
    if error.outcome is Outcome.UNKNOWN and attempt:
        return _find_out(attempt)
    if error.outcome is Outcome.OTHER_OPERATION and attempt:
        asked = shlex.join(["nexus-bounty", "explain", attempt.key])
        return f"See what the key stands for with `{asked}`, or use another key."
    if error.outcome is Outcome.UNKNOWN and error.operation == "renew":
        return "Repeat the command: it only extends the lease further."
    return f"{error.advice}."


def _find_out(attempt: Attempt) -> str:
    asked = ["nexus-bounty", "explain", attempt.key]
    asked += ["--bounty", attempt.bounty_id] if attempt.bounty_id else []
    repeat = f"Repeat the command with {attempt.repeat} to finish it"
    if attempt.operation == "top-up":
        return f"{repeat}; it is added once."
    return f"{repeat}, or find out with `{shlex.join(asked)}`."


def _proof(evidence: Evidence) -> Text:
    from rich.text import Text

    seen = counted(f"- {each.action}: {each.answer}" for each in evidence.observations)
    return Text("\n").join(map(safe, [evidence.proof.value, *_ends_of(seen)]))


def _ends_of(seen: list[str]) -> list[str]:
    """The first and the last of what was seen, if it is much."""
    if len(seen) <= 2 * _SHOWN:
        return seen
    return [*seen[:_SHOWN], f"  … {len(seen) - 2 * _SHOWN} more", *seen[-_SHOWN:]]


_SHOWN: Final = 5


def _money(operation: str, outcome: Outcome) -> str | None:
    if outcome is Outcome.OTHER_OPERATION:
        return _OTHER
    return _MONEY.get(operation, {}).get(outcome)


def _setting(location: tuple[int | str, ...], problem: str) -> str:
    return f"NEXUS_{'_'.join(map(str, location)).upper()}: {problem.removeprefix('Value error, ')}"


def _plain(error: Exception, message: str, advice: str | None = None) -> Failure:
    """One line."""
    data: dict[str, Any] = {
        "error": type(error).__name__,
        "message": message,
        "exitCode": int(ExitCode.ERROR),
    }
    if advice is None:
        return Failure(ExitCode.ERROR, data, _headed(message, "red"))
    text = _headed(message, "red").append(f" - {advice}", "not bold")
    return Failure(ExitCode.ERROR, data | {"next": advice}, text)


def _headed(message: str, style: str) -> Text:
    return safe(message, f"bold {style}")
