"""What can go wrong inside the mock, before a personality gives it a code and a text."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any


class Problem(Enum):
    """A kind of refusal; each release reports it in its own way."""

    NOT_FOUND = auto()
    EXISTS = auto()
    BAD_PATH = auto()
    CONFLICT = auto()
    BAD_PARAMS = auto()
    UNREADABLE = auto()
    """The body is no JSON, or holds broken base64."""
    BACKEND = auto()
    """A storage error that the release catches and names ("Nexus error: …")."""
    INTERNAL = auto()
    """An exception that nothing maps."""


class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure of the mock
    """A method refused; the personality turns it into a JSON-RPC error."""

    def __init__(self, problem: Problem, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.problem = problem
        self.message = message
        self.data = data


def not_found(path: str) -> Refusal:
    """The refusal for a file that does not exist."""
    return Refusal(Problem.NOT_FOUND, f"File not found: {path}")


def bad_params(message: str) -> Refusal:
    """The refusal for parameters that a method does not accept."""
    return Refusal(Problem.BAD_PARAMS, message)


def unreadable(message: str) -> Refusal:
    """The refusal for a body that cannot be decoded."""
    return Refusal(Problem.UNREADABLE, message)
