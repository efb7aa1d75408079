"""The options that commands share, and what they mean where they are not given."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from nexus_bounty.cli.exits import UsageProblem
from nexus_bounty.nexus.client.settings import NexusSettings

CLAIMS_ON_NEXUS: Final = "nexus"
_PANEL: Final = "Where"
_SERVICE: Final = "As a service"


Grace = Annotated[
    str,
    typer.Option(
        "--grace",
        metavar="TIME",
        help="Leave alone what was touched less than this ago: it may still be running.",
    ),
]
"""Of whatever repairs: how old something must be to be taken for left behind."""


class CommitChoice(StrEnum):
    """How writes are made exclusive."""

    AUTO = "auto"
    CONDITIONAL = "conditional"
    RENAME = "rename"
    SINGLE_WRITER = "single-writer"


class LogFormat(StrEnum):
    """What a line of the log is."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """What is logged: this, and what is worse."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _from_file(context: typer.Context, file: Path | None) -> Path | None:
    if file is not None:
        from nexus_bounty.cli.config import give

        give(context, file)
    return file


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How to answer, and where the other options may be."""

    as_json: Annotated[
        bool, typer.Option("--json", help="Answer with one JSON document, errors included.")
    ] = False
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            envvar="NEXUS_BOUNTY_CONFIG",
            help="TOML with options that neither the command line nor the environment gives.",
            is_eager=True,
            callback=_from_file,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class LedgerOptions(OutputOptions):
    """Where the money is, and how to answer."""

    credits_url: Annotated[
        str | None,
        typer.Option(
            "--credits",
            metavar="URL",
            envvar="NEXUS_BOUNTY_CREDITS",
            help="The ledger, such as sqlite:///path.db. Default: nexus-bounty.db in your data "
            "directory.",
            show_default=False,  # that of a file with settings may hold a password
            rich_help_panel=_PANEL,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Options(LedgerOptions):
    """Where everything is, and how to answer."""

    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            envvar="NEXUS_URL",
            help="The Nexus server. Default: http://127.0.0.1:2026.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            envvar="NEXUS_API_KEY",
            help="The server's key; better given by the environment, which no process list shows.",
            show_default=False,  # a page of help must not show what a file with settings says
            rich_help_panel=_PANEL,
        ),
    ] = None
    zone: Annotated[
        str | None,
        typer.Option(
            "--zone",
            metavar="ID",
            envvar="NEXUS_ZONE_ID",
            help="The zone. Default: default.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    claims_url: Annotated[
        str,
        typer.Option(
            "--claims",
            metavar="URL",
            envvar="NEXUS_BOUNTY_CLAIMS",
            help="Where leases are kept: nexus, which is the default, or a URL as for --credits.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = CLAIMS_ON_NEXUS

    commit: Annotated[
        CommitChoice,
        typer.Option(
            "--commit",
            envvar="NEXUS_BOUNTY_COMMIT",
            help="How writes are made exclusive: auto finds out once what is safe on this server, "
            "rename and single-writer insist on one way, conditional trusts the server unseen.",
            rich_help_panel=_PANEL,
        ),
    ] = CommitChoice.AUTO

    def settings(self) -> NexusSettings:
        """The client's settings: flags first, then the environment.

        Raises:
            pydantic.ValidationError: One of them is wrong.
        """
        return nexus_settings(self.config, url=self.url, api_key=self.api_key, zone_id=self.zone)


@dataclass(frozen=True, kw_only=True)
class ServiceOptions(Options):
    """What a command takes that runs for long, besides where everything is.

    Each option of such a command is a variable, too: `NEXUS_BOUNTY_`, the command and the option.
    """

    log_format: Annotated[
        LogFormat,
        typer.Option(
            "--log-format",
            envvar="NEXUS_BOUNTY_LOG_FORMAT",
            help="What a line of the log on stderr is; json: one document.",
            rich_help_panel=_SERVICE,
        ),
    ] = LogFormat.TEXT
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            "--log-level",
            envvar="NEXUS_BOUNTY_LOG_LEVEL",
            help="What is logged. Default: warning; info on a terminal.",
            rich_help_panel=_SERVICE,
        ),
    ] = None
    health: Annotated[
        str | None,
        typer.Option(
            "--health",
            metavar="HOST:PORT",
            envvar="NEXUS_BOUNTY_HEALTH",
            help="Say there at /healthz whether it is alive, and at /readyz whether the server and "
            "the ledger can be read.",
            rich_help_panel=_SERVICE,
        ),
    ] = None
    stop_within: Annotated[
        str,
        typer.Option(
            "--stop-within",
            metavar="TIME",
            envvar="NEXUS_BOUNTY_STOP_WITHIN",
            help="How long SIGTERM or Ctrl-C waits for the step under way; a second one does not.",
            rich_help_panel=_SERVICE,
        ),
    ] = "20s"


def nexus_settings(config: Path | None = None, **given: str | None) -> NexusSettings:
    """The client's settings: what is given, then the environment, then the file.

    Raises:
        pydantic.ValidationError: One of them is wrong.
        UsageProblem: The URL is not one of a web server.
    """
    beneath: dict[str, Any] = {}
    if config is not None:
        from nexus_bounty.cli.config import client_settings

        beneath = client_settings(config)
    settings = NexusSettings(**beneath | {name: value for name, value in given.items() if value})
    _check_url(settings.url)
    return settings


def _check_url(url: str) -> None:
    """Refuse what is no server's URL while it can be said plainly, none of it repeated."""
    if not url.lower().startswith(("http://", "https://")):
        raise UsageProblem("--url must start with http:// or https://")
    if not url.isprintable() or " " in url:
        raise UsageProblem("--url must not contain spaces or control characters")
    try:
        parts = urlsplit(url)
        is_one = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise UsageProblem("--url must name a host, and a port between 1 and 65535 if any")


def default_ledger() -> str:
    """The URL of the ledger of this user, whose directory is made if need be.

    Raises:
        UsageProblem: There is no place for it.
    """
    directory = _data_directory() / "nexus-bounty"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageProblem(f"{directory} cannot be made ({why}): {_ELSEWHERE}") from None
    return f"sqlite:///{directory / 'nexus-bounty.db'}"


_ELSEWHERE: Final = "say with --credits or NEXUS_BOUNTY_CREDITS where the ledger is"


def _data_directory() -> Path:
    if given := os.environ.get("XDG_DATA_HOME"):
        return Path(given)
    if sys.platform == "darwin":
        return _home() / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or _home())
    return _home() / ".local" / "share"


def _home() -> Path:
    nowhere = UsageProblem(f"there is no home directory: {_ELSEWHERE}")
    if os.environ.get("HOME") == "":  # Python takes the root directory for it
        raise nowhere
    try:
        return Path.home()
    except RuntimeError:
        raise nowhere from None
