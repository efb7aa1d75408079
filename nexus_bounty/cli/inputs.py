"""What people type, as values: times, lengths of time, JSON, files."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
import typer

from nexus_bounty.cli.exits import UsageProblem
from nexus_bounty.models import AgentIdentity, Contribution, composed, is_wanted

if TYPE_CHECKING:
    from nexus_bounty.memory import MemoryContributionStore

T = TypeVar("T")

_GROVE: Final = {
    "agent_name": "GROVE_AGENT_NAME",
    **{
        name: f"GROVE_AGENT_{name.upper()}"
        for name in ("provider", "model", "platform", "version", "toolchain", "runtime", "role")
    },
}
"""Where the environment says more of an agent, by the field that it fills."""
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION: Final = re.compile(r"(\d+)([smhdw])", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}")

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="An agent's id.")]
BountyId = Annotated[str, typer.Argument(metavar="BOUNTY", help="The bounty's id.")]
AGENT_VARIABLES: Final = ["NEXUS_BOUNTY_AGENT", "GROVE_AGENT_ID"]
_ABOUT: Final = "About the agent"
Agent = Annotated[
    str,
    typer.Option("--agent", metavar="ID", envvar=AGENT_VARIABLES, help="Who acts: the agent's id."),
]
AgentName = Annotated[
    str | None,
    typer.Option("--agent-name", help="Its name.  [GROVE_AGENT_NAME]", rich_help_panel=_ABOUT),
]
Provider = Annotated[
    str | None,
    typer.Option(
        "--provider", help="Whose model it is.  [GROVE_AGENT_PROVIDER]", rich_help_panel=_ABOUT
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="The model.  [GROVE_AGENT_MODEL]", rich_help_panel=_ABOUT),
]
Role = Annotated[
    str | None,
    typer.Option(
        "--role", help="What it is there for.  [GROVE_AGENT_ROLE]", rich_help_panel=_ABOUT
    ),
]
Actor = Annotated[
    str | None,
    typer.Option(
        "--agent",
        metavar="ID",
        help="Who asks: refused if not allowed.",
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
USUAL_LEASE: Final = "30m"
ServerKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        envvar="NEXUS_API_KEY",
        help="The key of that server.",
        show_default=False,
    ),
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


def interval(field: str, text: str) -> timedelta:
    """How often something is done again: a `duration` that leaves time for anything else.

    Raises:
        UsageProblem: It is none, or none at all: what waits for nothing takes the whole machine.
    """
    span = duration(field, text)
    if not span:
        raise UsageProblem(f"{field} must be at least 1s, got {text!r}")
    return span


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


def address(field: str, text: str) -> tuple[str, int]:
    """Host and port, such as `127.0.0.1:9464` or `[::1]:9464`.

    Raises:
        UsageProblem: It is none.
    """
    host, _, port = text.rpartition(":")
    if not (_PORT.fullmatch(port) and 0 < int(port) < 2**16):
        raise UsageProblem(f"{field} must be host and port, such as 127.0.0.1:9464; got {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


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


def agent(agent_id: str, **given: str | None) -> AgentIdentity:
    """The identity with this id: what is given of it, else what the environment says of it.

    Grove's variables are about the agent that `GROVE_AGENT_ID` names, if it names one.
    """
    found = {name: os.environ.get(variable) for name, variable in _GROVE.items()}
    if not is_wanted(os.environ.get("GROVE_AGENT_ID") or None, agent_id):
        found = {}
    known = found | {name: value for name, value in given.items() if value is not None}
    return AgentIdentity(
        agent_id=composed(agent_id),  # as accounts are, whatever a keyboard makes
        **{name: value or None for name, value in known.items()},
    )


def _decoded(field: str, content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{field} must be JSON: {error}") from None
