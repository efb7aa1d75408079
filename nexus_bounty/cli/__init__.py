"""The command line, `nexus-bounty`; everything in here but `main` needs the extra `cli`."""

from __future__ import annotations

import gc
from typing import Final

_NEEDED: Final = ("typer", "rich")
_HINT: Final = (
    "nexus-bounty: the command line needs its extra: pip install 'nexus-bounty[cli]' "
    "(or 'nexus-bounty[all]')"
)


def main() -> None:
    """Run the command line, or say in one line what to install for it.

    Raises:
        SystemExit: Always; the exit codes are in `nexus_bounty.cli.exits`.
    """
    gc.set_threshold(50_000, 20, 20)  # importing makes much and drops little: a tenth of the time
    try:
        from nexus_bounty.cli.app import run

        run()
    except ModuleNotFoundError as error:  # also of a command, which imports what it needs
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        raise SystemExit(_HINT) from None
