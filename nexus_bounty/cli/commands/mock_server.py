"""`nexus-bounty mock-server`."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer
from rich.text import Text

from nexus_bounty.cli.options import OutputOptions
from nexus_bounty.cli.output import facts, lines, safe, stdout, write_json
from nexus_bounty.cli.session import Session
from nexus_bounty.listening import listening
from nexus_bounty.mock.personality import Release
from nexus_bounty.mock.server import run_server

PLACE = ("To try it", 1)
EXAMPLES = (
    "mock-server",
    "mock-server --port 8000 --personality 0.7.0 --fault-rate 0.1",
)
OPTIONS = OutputOptions


def mock_server(
    session: Session,
    *,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where to listen.")] = 2026,
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
    personality: Annotated[
        Release, typer.Option("--personality", help="The release to imitate.")
    ] = Release.V0_10,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same faults.")] = 0,
    fault_rate: Annotated[
        float, typer.Option("--fault-rate", min=0, max=1, help="The share of requests that fail.")
    ] = 0.0,
    require_key: Annotated[
        str | None,
        typer.Option(
            "--require-key",
            metavar="KEY",
            help="Refuse requests without this API key.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve a mock of Nexus to try things with; it forgets everything when it stops.

    With --json its one document is there as soon as it listens.
    """
    listening(host, port).close()  # what is taken is noticed while it can be said plainly
    named = f"[{host}]" if ":" in host else host
    url = f"http://{named}:{port}"
    if session.as_json:
        write_json({"url": url, "personality": personality.value, "seed": seed})
    else:
        _greet(url, personality)
    with suppress(KeyboardInterrupt):  # how it is meant to end
        run_server(
            port,
            personality.value,
            seed,
            fault_rate,
            require_key,
            host=host,
            log_level="warning",
        )


def _greet(url: str, personality: Release) -> None:
    title = f"A mock of Nexus {personality.value} listens on {url}. Ctrl-C stops it."
    rows = facts(("Use it", f"nexus-bounty list --url {url}"), ("Or", f"export NEXUS_URL={url}"))
    stdout().print(lines(safe(title, "bold"), rows, Text()))
