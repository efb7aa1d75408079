"""What people type, as values: times, lengths of time, JSON, files."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
import typer

from nexus_bounty.cli.exits import UsageProblem
from nexus_bounty.models import AgentIdentity, Contribution

if TYPE_CHECKING:
    from nexus_bounty.memory import MemoryContributionStore

T = TypeVar("T")

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION: Final = re.compile(r"(\d+)([smhdw])", re.ASCII)

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="An agent's id.")]
BountyId = Annotated[str, typer.Argument(metavar="BOUNTY", help="The bounty's id.")]
Agent = Annotated[
    str,
    typer.Option(
        "--agent", metavar="ID", envvar="NEXUS_BOUNTY_AGENT", help="Who acts: the agent's id."
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="The idempotency key: a repeat with the same key finds out or finishes, and never "
        "does it twice. A new one is made if not given.",
    ),
]
Lease = Annotated[
    str, typer.Option("--lease", metavar="TIME", help="How long the claim lasts, such as 30m.")
]


def duration(field: str, text: str) -> timedelta:
    """`90s`, `30m`, `12h`, `7d` or `2w`.

    Raises:
        UsageProblem: It is none of them.
    """
    found = _DURATION.fullmatch(text)
    if not found:
        raise UsageProblem(
            f"{field} must be a number and s, m, h, d or w, such as 30m; got {text!r}"
        )
    amount, unit = found.groups()
    try:
        return timedelta(**{_UNITS[unit]: int(amount)})
    except (OverflowError, ValueError):  # ValueError: it has thousands of digits
        raise UsageProblem(f"{field} is too long: {text!r}") from None


def is_duration(text: str) -> bool:
    """Whether `text` is a length of time, which means another moment each time it is read."""
    return _DURATION.fullmatch(text) is not None


def moment(field: str, text: str, now: datetime) -> datetime:
    """A time with its zone in ISO 8601, or a length of time from `now`.

    Raises:
        UsageProblem: It is neither.
    """
    if is_duration(text):
        try:
            return now + duration(field, text)
        except OverflowError:
            raise UsageProblem(f"{field} is too long: {text!r}") from None
    try:
        at = datetime.fromisoformat(text)
        at.astimezone(UTC)
    except OverflowError:
        raise UsageProblem(f"{field} is in no year that there is in UTC: {text!r}") from None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise UsageProblem(
            f"{field} must be a time with its zone, such as 2030-01-31T12:00Z, or a length of "
            f"time from now, such as 7d; got {text!r}"
        )
    return at


def json_object(field: str, text: str | None) -> dict[str, Any] | None:
    """A JSON object.

    Raises:
        UsageProblem: It is not one.
    """
    return None if text is None else _decoded(field, text.encode(), dict[str, Any])


def contribution_from(file: Path) -> MemoryContributionStore:
    """A store that knows the contribution in `file`: `{"cid": …, "tags": […], "scores": {…}}`.

    Raises:
        UsageProblem: The file is not there, or holds something else.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageProblem(f"{file} cannot be read: {error.strerror}") from None
    from nexus_bounty.memory import MemoryContributionStore

    return MemoryContributionStore([_decoded(str(file), content, Contribution)])


def agent(agent_id: str) -> AgentIdentity:
    """The identity with this id."""
    return AgentIdentity(agent_id=agent_id)


def _decoded(field: str, content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{field} must be JSON: {error}") from None
