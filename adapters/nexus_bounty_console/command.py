"""`nexus-bounty console`."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nexus_bounty.cli.exits import ExitCode, UsageProblem
from nexus_bounty.cli.inputs import duration, interval
from nexus_bounty.cli.options import Grace, ServiceOptions
from nexus_bounty.cli.secret_file import read_secrets
from nexus_bounty.cli.service.health import ServiceHealth, health_served
from nexus_bounty.cli.session import Session
from nexus_bounty.outcomes import PlainError

if TYPE_CHECKING:
    from nexus_bounty.cli.service.stopping import Ending
    from nexus_bounty_console.access import Access

PLACE = ("To run it", 2)
EXAMPLES = (
    "console",
    "console --read-only --port 8080",
    "console --host 0.0.0.0 --tokens people.json --reached-as bounties.example.org",
)
OPTIONS = ServiceOptions
REMEMBERED: Final = 50_000
"""Of how many bounties the console keeps the documents, so that only what changes is read again."""


def console(
    session: Session,
    *,
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where to listen.")] = 2028,
    tokens: Annotated[
        Path | None,
        typer.Option(
            "--tokens",
            metavar="FILE",
            help="JSON that says who may come in, "
            '{"alice": {"token": "…", "role": "operate"}, …}; nobody else may read it. '
            "Not needed on loopback.",
        ),
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Without --tokens: let everybody look, and no more."),
    ] = False,
    reached_as: Annotated[
        list[str] | None,
        typer.Option(
            "--reached-as",
            metavar="HOST",
            help="By which other host it is reached; can be repeated. Requests to any name that "
            "was not given are refused.",
        ),
    ] = None,
    grace: Grace = "5m",
    look_every: Annotated[
        str,
        typer.Option(
            "--look-every",
            metavar="TIME",
            help="How often to look for news while somebody has a page open.",
        ),
    ] = "5s",
) -> ExitCode:
    """Serve a console for operators: bounties, their money, and what is in doubt, in a browser.

    Exit codes: 0 when it is stopped; 12 if that cut a request short.
    """
    access = _access(tokens, host, read_only=read_only)
    serving = _serve(
        session,
        access,
        where=(host, port),
        names=tuple(reached_as or ()),
        times=(duration("--grace", grace), interval("--look-every", look_every)),
    )
    with suppress(KeyboardInterrupt):  # where signals cannot be taken
        return asyncio.run(serving).exit_code
    return ExitCode.OK


async def _serve(
    session: Session,
    access: Access,
    *,
    where: tuple[str, int],
    names: tuple[str, ...],
    times: tuple[timedelta, timedelta],
) -> Ending:
    from nexus_bounty.cli.service.web import serve_until_stopped
    from nexus_bounty_console.app import make_app
    from nexus_bounty_console.desk import ConsoleDesk

    session.sends_many = True
    session.remembers = REMEMBERED
    host, port = where
    grace, lasts = times
    async with session, AsyncExitStack() as stack:
        operations = session.operations()
        await stack.enter_async_context(health_served(session.health_at, ServiceHealth(operations)))
        desk = ConsoleDesk(
            operations,
            session.client,
            session.store,
            grace=grace,
            lasts=lasts,
            stop_within=session.stop_within,
        )
        app = make_app(desk, access, names)
        if not session.logs_json:
            typer.echo(f"The console is at http://{host}:{port}/ until it is stopped.", err=True)
        return await serve_until_stopped(app, host, port, within=session.stop_within)


def _access(tokens: Path | None, host: str, *, read_only: bool) -> Access:
    """Who may come in, as the options say.

    Raises:
        UsageProblem: They do not say it, or say too much.
        PlainError: The extra is not installed.
    """
    try:
        import jinja2  # noqa: F401 - whether it is there
        import starlette  # noqa: F401

        from nexus_bounty_console.access import Access, Person, Role
        from nexus_bounty_console.guard import LOOPBACK
    except ModuleNotFoundError as error:
        raise PlainError("console needs its extra: pip install 'nexus-bounty[console]'") from error
    if tokens is None:
        if host not in LOOPBACK:
            raise UsageProblem(f"--host {host} can be reached by others: it needs --tokens")
        return Access(role=Role.READ if read_only else Role.OPERATE)
    if read_only:
        raise UsageProblem("--read-only goes without --tokens, which give each person a role")
    shape = '{"name": {"token": "…", "role": "read" or "operate"}, …}'
    people = read_secrets(tokens, dict[str, Person], shape)
    if not people:
        raise UsageProblem(f"{tokens} has no tokens")
    return Access(people)
