"""`nexus-bounty mcp`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nexus_bounty.cli.exits import ExitCode, UsageProblem
from nexus_bounty.cli.inputs import duration
from nexus_bounty.cli.options import ServiceOptions
from nexus_bounty.cli.secret_file import read_secrets
from nexus_bounty.cli.service.health import ServiceHealth, health_served
from nexus_bounty.cli.service.stopping import Ending, until_stopped
from nexus_bounty.cli.session import Session
from nexus_bounty.models import AgentIdentity, composed
from nexus_bounty.outcomes import PlainError

if TYPE_CHECKING:
    from nexus_bounty_mcp.callers import Callers
    from nexus_bounty_mcp.desk import Desk

PLACE = ("To run it", 1)
OPTIONS = ServiceOptions
EXAMPLES = (
    "mcp --agent alice",
    "mcp --http --tokens tokens.json --port 2027",
)


def mcp(
    session: Session,
    *,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            metavar="ID",
            envvar="NEXUS_BOUNTY_AGENT",
            help="On stdio: the agent that is served.",
        ),
    ] = None,
    http: Annotated[
        bool, typer.Option("--http", help="Serve streamable HTTP at /mcp instead of stdio.")
    ] = False,
    tokens: Annotated[
        Path | None,
        typer.Option(
            "--tokens",
            metavar="FILE",
            envvar="NEXUS_BOUNTY_MCP_TOKENS",
            help="With --http: JSON that gives each agent its bearer token, "
            '{"alice": "…", …}; nobody else may read it.',
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="With --http: where to listen.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="With --http: where to listen.")
    ] = 2027,
    reached_as: Annotated[
        list[str] | None,
        typer.Option(
            "--reached-as",
            metavar="HOST:PORT",
            help="With --http: by which other name it is reached; can be repeated. Requests to "
            "any name that was not given are refused.",
        ),
    ] = None,
    grove_names: Annotated[
        bool, typer.Option("--grove-names", help="Offer Grove's tools as well.")
    ] = False,
    window: Annotated[
        str,
        typer.Option(
            "--window",
            metavar="TIME",
            help="For how long a call that is repeated with the same arguments is the same one.",
        ),
    ] = "10m",
) -> ExitCode:
    """Serve bounties as tools for agents, over the Model Context Protocol.

    The agent is the one that is configured, or whose token it is, never one that a call names.

    Exit codes: 0 when it is stopped; 12 if that cut a call short, which the same call finishes.
    """
    callers = _callers(agent, tokens, http=http)
    serving = _serve(
        session,
        callers,
        where=(host, port) if http else None,
        names=tuple(reached_as or ()),
        grove_names=grove_names,
        window=duration("--window", window),
    )
    with suppress(KeyboardInterrupt):  # where signals cannot be taken
        return asyncio.run(serving).exit_code
    return ExitCode.OK


async def _serve(
    session: Session,
    callers: Callers,
    *,
    where: tuple[str, int] | None,
    names: tuple[str, ...],
    grove_names: bool,
    window: timedelta,
) -> Ending:
    from nexus_bounty.cli.service.web import serve_until_stopped
    from nexus_bounty_mcp.desk import Desk
    from nexus_bounty_mcp.keys import Keys
    from nexus_bounty_mcp.server import http_app, make_server, serve_stdio

    session.sends_many = True
    within = session.stop_within
    async with session, AsyncExitStack() as stack:
        desk = Desk(session.operations(), callers, Keys(window))
        health = ServiceHealth(desk.operations)
        await stack.enter_async_context(health_served(session.health_at, health))
        server = make_server(desk, grove_names=grove_names, zone_id=session.client.settings.zone_id)
        if where is None:
            at_rest = partial(_answered, desk)
            return await until_stopped(serve_stdio(server), at_rest, within=within)
        host, port = where
        app = http_app(server, host, *names)
        return await serve_until_stopped(app, host, port, within=within)


@asynccontextmanager
async def _answered(desk: Desk) -> AsyncIterator[None]:
    """Wait for the calls under way, and a moment for their answers to be written by the SDK."""
    async with desk.steps.at_rest():
        await asyncio.sleep(_ANSWER_SECONDS)
        yield


_ANSWER_SECONDS: Final = 0.2
"""An answer that is later than that is lost, as it may be anyhow: the same call gets it again."""


def _callers(agent: str | None, tokens: Path | None, *, http: bool) -> Callers:
    """Who calls, as the options say.

    Raises:
        UsageProblem: They do not say it.
        PlainError: The extra is not installed.
    """
    try:
        from nexus_bounty_mcp.callers import OneCaller, TokenCallers
    except ModuleNotFoundError as error:
        raise PlainError("mcp needs its extra: pip install 'nexus-bounty[mcp]'") from error
    if not http:
        if agent is None:
            raise UsageProblem("on stdio, --agent or NEXUS_BOUNTY_AGENT says who is served")
        return OneCaller(AgentIdentity(agent_id=composed(agent)))
    if tokens is None:
        raise UsageProblem("--http needs --tokens: by its token an agent is known")
    named = _tokens(tokens)
    agents = {token: AgentIdentity(agent_id=composed(each)) for each, token in named.items()}
    if len(agents) < len(named):
        raise UsageProblem(f"{tokens} gives two agents the same token")
    return TokenCallers(agents)


def _tokens(file: Path) -> dict[str, str]:
    named = read_secrets(file, dict[str, str], '{"agent": "token", …}')
    if not named:
        raise UsageProblem(f"{file} has no tokens")
    return named
