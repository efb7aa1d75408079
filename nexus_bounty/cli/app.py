"""The commands, put together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

import nexus_bounty
from nexus_bounty.cli.claiming import claim, release, renew
from nexus_bounty.cli.command import Work, command
from nexus_bounty.cli.create import create
from nexus_bounty.cli.demo import demo
from nexus_bounty.cli.doctor import doctor
from nexus_bounty.cli.ending import cancel, expire, settle
from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.cli.explain import explain
from nexus_bounty.cli.failures import usage
from nexus_bounty.cli.history import history
from nexus_bounty.cli.money import balance, top_up
from nexus_bounty.cli.options import LedgerOptions, Options, OutputOptions
from nexus_bounty.cli.output import write_json
from nexus_bounty.cli.reading import show, show_list
from nexus_bounty.cli.repair import reconcile
from nexus_bounty.cli.server import mock_server

_BOUNTIES, _MONEY, _TROUBLE, _TRY = "Bounties", "Money", "When something went wrong", "To try it"

_EPILOG: Final = """
Exit codes: 0 done; 1 other error; 2 wrong usage or input; 3 it did not happen and can no longer
happen; 4 it happened and steps are still owed; 5 not known; 6 and 7 see doctor; 130 interrupted.

Start with: nexus-bounty demo
"""

app = typer.Typer(
    name="nexus-bounty",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks would show local variables, keys among them
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(nexus_bounty.__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Post, claim and settle bounties with escrowed credits on a Nexus server.

    Every command says what became of its writes, and how that is known.
    """


def _add(
    work: Work,
    panel: str,
    *shown: str,
    name: str | None = None,
    options: type[OutputOptions] = Options,
) -> None:
    """Make a command of `work`, with examples that begin after the program's name."""
    made = command(options)(work)
    app.command(name, rich_help_panel=panel, epilog=_examples(shown))(made)


def _examples(shown: Sequence[str]) -> str:
    return "\n\n".join(["Examples:", *(f"$ nexus-bounty {each}" for each in shown)])


_add(
    create,
    _BOUNTIES,
    "create 'Make the parser faster' --amount 100 --creator alice --deadline 7d",
    "create 'Sort it' --amount 5 --creator alice --metric mbps --threshold 200 "
    "--direction maximize --tag parser",
)
_add(
    show_list,
    _BOUNTIES,
    "list --status open --status claimed",
    "list --creator alice --limit 10 --json",
    name="list",
)
_add(show, _BOUNTIES, "show BOUNTY", "show BOUNTY --json")
_add(claim, _BOUNTIES, "claim BOUNTY --agent bob", "claim BOUNTY --agent bob --lease 2h")
_add(renew, _BOUNTIES, "renew BOUNTY --agent bob --lease 1h")
_add(release, _BOUNTIES, "release BOUNTY --agent bob")
_add(
    settle,
    _BOUNTIES,
    "settle BOUNTY cid-1",
    "settle BOUNTY cid-1 --contribution-file work.json",
)
_add(cancel, _BOUNTIES, "cancel BOUNTY")
_add(expire, _BOUNTIES, "expire", "expire BOUNTY")
_add(balance, _MONEY, "balance alice", options=LedgerOptions)
_add(
    top_up,
    _MONEY,
    "top-up alice 1000",
    "top-up alice 1000 --key payroll-2030-01",
    name="top-up",
    options=LedgerOptions,
)
_add(
    reconcile,
    _TROUBLE,
    "reconcile --dry-run",
    "reconcile",
    "reconcile --watch --every 5m",
)
_add(history, _TROUBLE, "history BOUNTY")
_add(
    explain,
    _TROUBLE,
    "explain KEY",
    "explain KEY --bounty BOUNTY --resolve --operation claim",
)
_add(
    doctor,
    _TROUBLE,
    "doctor http://127.0.0.1:2026",
    "doctor --json",
    options=OutputOptions,
)
_add(
    mock_server,
    _TRY,
    "mock-server",
    "mock-server --port 8000 --personality 0.7.0 --fault-rate 0.1",
    name="mock-server",
    options=OutputOptions,
)
_add(demo, _TRY, "demo", "demo --nexus http://127.0.0.1:2026", options=OutputOptions)


def run() -> None:
    """Run the command line.

    Raises:
        SystemExit: Always.
    """
    if "--json" not in sys.argv[1:]:
        app(prog_name="nexus-bounty")
        return
    try:
        sys.exit(app(prog_name="nexus-bounty", standalone_mode=False) or 0)
    except Exception as error:
        # what all errors of usage have in common; typer has no public name for their base
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        write_json(usage(format_message()).data)
        sys.exit(ExitCode.USAGE)
