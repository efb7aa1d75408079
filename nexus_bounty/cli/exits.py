"""Exit codes: a script can tell what became of a commit without reading a word."""

from __future__ import annotations

from enum import IntEnum

from nexus_bounty.outcomes import Outcome


class ExitCode(IntEnum):
    """How `nexus-bounty` ends."""

    OK = 0
    """It is done."""
    ERROR = 1
    """Something else went wrong, such as a read, or writing what was read; nothing was changed.

    `reconcile`: it could not look everywhere.
    """
    USAGE = 2
    """The command line or its input is wrong; nothing was sent."""
    PRE_COMMIT = 3
    """It did not happen and can no longer happen."""
    POST_COMMIT = 4
    """It happened; named steps are still owed."""
    UNKNOWN = 5
    """Neither could be proven."""
    SINGLE_WRITER = 6
    """`doctor`: the server is safe for a single writer only."""
    UNSAFE = 7
    """`doctor`: no way to commit on the server is safe."""
    OTHER_OPERATION = 8
    """The key stands for another operation, which may have happened; this one did nothing."""
    LEFT = 9
    """`reconcile`: something is left that a person has to decide on, or a dry run found."""
    FAILED = 10
    """`reconcile`: a repair failed; another run tries again."""
    YOUNG = 11
    """`reconcile`: something may still be under way; a later run knows."""
    STOPPED_MIDWAY = 12
    """A service was stopped in the middle of a step, which another run or call finishes."""
    INTERRUPTED = 130
    """Ctrl-C; what was under way may have happened."""


OF_OUTCOME = {
    Outcome.COMMITTED: ExitCode.OK,
    Outcome.PRE_COMMIT: ExitCode.PRE_COMMIT,
    Outcome.POST_COMMIT: ExitCode.POST_COMMIT,
    Outcome.UNKNOWN: ExitCode.UNKNOWN,
    Outcome.OTHER_OPERATION: ExitCode.OTHER_OPERATION,
}
"""The exit code that says each outcome."""


class UsageProblem(Exception):  # noqa: N818 - a problem of the user's, not an error of ours
    """The options do not go together, or a value cannot be read; nothing was sent."""
