"""The command line, `nexus-bounty`; everything in here but `main` needs the extra `cli`."""

from __future__ import annotations

import gc
import os
import sys
from importlib.util import find_spec
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
    if not all(map(find_spec, _NEEDED)):  # before a command does something that it cannot tell
        raise SystemExit(_HINT)
    if "httpx" in sys.modules or "pydantic" in sys.modules:
        _run()  # in a process that is more than this program
        return
    _leave_out()
    gc.disable()  # importing makes much and drops nothing; a command enables it again
    try:
        _run()
    finally:
        gc.freeze()  # or Python looks through all of it once more before it ends


def _run() -> None:
    from nexus_bounty.cli.app import run

    run()


def _leave_out() -> None:
    """Keep libraries from importing what no command uses, which takes longer than a command."""
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # a command line of its own
    sys.modules["h2"] = None  # type: ignore[assignment]  # HTTP/2, which is not asked for
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
