"""Settings from a TOML file, under what the command line and the environment say.

    url = "http://nexus.internal:2026"      # an option of any command, by its name
    credits = "sqlite:////var/lib/nexus-bounty/ledger.db"

    [nexus]                                 # a setting of the client
    operation_timeout = 20

    [reconcile]                             # an option of one command
    every = "5m"

What nobody knows is refused, with what was probably meant: a setting that is misspelt must not be
silently left out.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_type_hints
from urllib.parse import parse_qs, urlsplit

import typer
from pydantic import ValidationError

from nexus_bounty.cli.exits import UsageProblem
from nexus_bounty.cli.options import ServiceOptions
from nexus_bounty.cli.overview import command_files
from nexus_bounty.cli.secret_file import read_private
from nexus_bounty.nexus.client.settings import VARIABLES, NexusSettings

NEXUS: Final = "nexus"
SECRETS: Final = frozenset({"api-key", "signing-keys", "require-key"})
_NOT_IN_A_FILE: Final = ("config", "help", "json")


def give(context: typer.Context, file: Path) -> None:
    """Make what `file` says the defaults of the command of `context`.

    Raises:
        UsageProblem: The file cannot be read, or says something that nobody knows.
    """
    document = _read(file)
    tables = {name: each for name, each in document.items() if isinstance(each, dict)}
    common = {name: each for name, each in document.items() if name not in tables}
    shared, commands = _shared_options(), command_files()
    for name in common:
        _check_known(file, "option", name, shared)
    for name in tables:
        _check_known(file, "table", name, [NEXUS, *commands])
    options = _options_of(context)
    own = tables.get(context.info_name or "", {})
    for name in own:
        _check_known(file, f"option of [{context.info_name}]", name, options)
    given = {name: value for name, value in common.items() if name in options} | own
    context.default_map = {
        options[name].name: _checked(context, file, options[name], name, value)
        for name, value in given.items()
    }
    client_settings(file)


def client_settings(file: Path) -> dict[str, Any]:
    """What `file` says of the client's settings, without what the environment says of them.

    Raises:
        UsageProblem: It says something that nobody knows, or that cannot be.
    """
    table = {name.replace("-", "_"): value for name, value in _read(file).get(NEXUS, {}).items()}
    known = NexusSettings.model_fields.keys() - {"url", "api_key", "zone_id"}
    for name in table:
        _check_known(file, f"setting of [{NEXUS}]", name, known)
    try:
        NexusSettings(**table)
    except ValidationError as error:
        for each in error.errors():
            if each["loc"][:1] and each["loc"][0] in table:
                problem = each["msg"].removeprefix("Value error, ")
                raise UsageProblem(f"{file}: [{NEXUS}] {each['loc'][0]}: {problem}") from None
    exported = {name.upper() for name in os.environ}
    return {
        name: value for name, value in table.items() if f"{VARIABLES}{name.upper()}" not in exported
    }


def _read(file: Path) -> Mapping[str, Any]:
    """The document, the names in it written with hyphens."""
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UsageProblem(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageProblem(f"{file} cannot be read: it is no UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageProblem(f"{file} is no TOML: {error}") from None
    except RecursionError:
        raise UsageProblem(f"{file} is nested too deep to be read") from None
    named = {name: _hyphenated(value) for name, value in _hyphenated(document).items()}
    tables = [named, *(each for each in named.values() if isinstance(each, dict))]
    if any(_is_secret(*each) for table in tables for each in table.items()):
        read_private(file)
    return named


def _is_secret(name: str, value: Any) -> bool:
    """Whether it is a key, or a URL with a password."""
    return name in SECRETS or (isinstance(value, str) and _has_password(value))


def _has_password(value: str) -> bool:
    try:
        url = urlsplit(value)
        return bool(url.password) or "password" in parse_qs(url.query)
    except ValueError:  # it is no URL
        return False


def _hyphenated(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name.replace("_", "-"): each for name, each in value.items()}


def _shared_options() -> list[str]:
    """The options that several commands have."""
    hints = get_type_hints(ServiceOptions, include_extras=True)
    declared = [hints[each.name].__metadata__[0] for each in fields(ServiceOptions)]
    # where an option is an annotation, its first name stands where a default would
    names = [str(each.default).removeprefix("--") for each in declared]
    return [name for name in names if name not in _NOT_IN_A_FILE]


def _options_of(context: typer.Context) -> dict[str, Any]:
    """The options of the command, by their names."""
    named = {
        name.removeprefix("--"): each
        for each in context.command.params
        for name in each.opts
        if name.startswith("--")
    }
    return {name: each for name, each in named.items() if name not in _NOT_IN_A_FILE}


def _checked(context: typer.Context, file: Path, option: Any, name: str, value: Any) -> Any:
    """The value, if the option can take it.

    Raises:
        UsageProblem: It cannot.
    """
    wanted = "true or false" if option.is_flag else "a list" if option.multiple else "a value"
    fits = (
        isinstance(value, bool) == bool(option.is_flag)
        and isinstance(value, list) == bool(option.multiple)
        and not isinstance(value, dict)
    )
    if not fits:
        raise UsageProblem(f"{file}: {name} must be {wanted}")
    if value == "" or (isinstance(value, list) and "" in value):
        raise UsageProblem(f"{file}: {name} must not be empty; leave it out for what is usual")
    try:
        option.process_value(context, value)
    except typer.BadParameter as error:
        problem = error.message.removeprefix("Value error, ")
        raise UsageProblem(f"{file}: {name}: {problem}") from None
    return value


def _check_known(file: Path, kind: str, name: str, known: Collection[str]) -> None:
    if name in known:
        return
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
    raise UsageProblem(f"{file}: there is no {kind} named {name}; {hint}")
