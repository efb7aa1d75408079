"""The command line, `nexus-bounty`; everything in here but `main` needs the extra `cli`."""

from __future__ import annotations

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
    try:
        from nexus_bounty.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        raise SystemExit(_HINT) from None
    run()
