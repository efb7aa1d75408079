"""The program: one command a file of `nexus_bounty.cli.commands`, imported when it is asked for."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import takewhile
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from nexus_bounty.cli.overview import command_file, command_files, is_work
from nexus_bounty.cli.screen import is_unread, lost, screens

_EPILOG: Final = """
Exit codes: 0 done; 1 other error; 2 wrong usage or input; 3 it did not happen and can no longer
happen; 4 it happened and steps are still owed; 5 not known; 6 and 7 see doctor; 8 the key stands
for another operation; 9, 10 and 11 see reconcile; 12 a service was stopped in the middle of a step;
130 interrupted.

Start with: nexus-bounty demo
"""
_NAME: Final = "nexus-bounty"
_USAGE: Final = 2
VARIABLES: Final = "NEXUS_BOUNTY_"
"""How the variables of options begin."""
_CONTEXT: Final = {"help_option_names": ["-h", "--help"]}


class CommandFiles(TyperGroup):
    """The commands that there are files of; the overview imports none of them, nor rich."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base's
        """Every name, in the order of the overview."""
        return list(command_files())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the base's
        """The command of that name, if there is one."""
        described = command_file(cmd_name)
        return None if described is None else _command(described.module, cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the base's
        """Write the commands, each panel under its name."""
        commands = command_files().values()
        for panel in dict.fromkeys(each.panel_name for each in commands):
            with formatter.section(panel):
                formatter.write_dl(
                    [(each.name, each.summary) for each in commands if each.panel_name == panel]
                )


def _command(module_name: str, name: str) -> Any:
    """The command in a module: its first public function."""
    from nexus_bounty.cli.command import command
    from nexus_bounty.cli.options import Options, ServiceOptions

    module = import_module(module_name)
    options = getattr(module, "OPTIONS", Options)
    own = (each for each in vars(module).values() if inspect.isfunction(each))
    work = next(
        each for each in own if each.__module__ == module.__name__ and is_work(each.__name__)
    )
    made = command(options)(work)
    alone = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings=dict(_CONTEXT),
    )
    alone.command(name, epilog=_examples(module.EXAMPLES))(made)
    whole = typer.main.get_command(alone)
    for option in whole.params:
        _take_nothing_empty(option)
        _name_variables(option)
    if issubclass(options, ServiceOptions):
        _give_variables(whole, name)
    return whole


def _take_nothing_empty(option: Any) -> None:
    """Have an option refuse to be empty: that is a shell's variable which is not set.

    To go on with what stands where the option is not given would do what nobody asked for: post
    another bounty, or pay into another ledger. Only an empty variable of its own is none at all.
    """
    consume = option.consume_value

    def consumed(context: Any, given: Any) -> Any:
        value, source = consume(context, given)
        is_empty = value == "" or (isinstance(value, (list, tuple)) and "" in value)
        if is_empty and source.name != "DEFAULT":
            instead = "" if option.required else "; leave it out for what is usual"
            raise typer.BadParameter(f"it must not be empty{instead}", context, option)
        return value, source

    option.consume_value = consumed


def _name_variables(option: Any) -> None:
    """Have an error name each variable of an option that has several, and not as Python does."""
    hint, variables = option.get_error_hint, option.envvar
    if isinstance(variables, (list, tuple)):
        told = " or ".join(f"'{each}'" for each in variables)
        option.get_error_hint = lambda *given: hint(*given).replace(f"'{variables}'", told)


def _give_variables(service: Any, name: str) -> None:
    """Have each option of a service read a variable, which is called as the option is."""
    for option in service.params:
        called = next((each for each in option.opts if each.startswith("--")), None)
        if option.envvar is None and called is not None and option.name != "help":
            variable = f"{VARIABLES}{name}_{called.removeprefix('--')}"
            option.envvar = variable.replace("-", "_").upper()


def _examples(shown: Sequence[str]) -> str:
    return "\n\n".join(["Examples:", *(f"$ nexus-bounty {each}" for each in shown)])


app = typer.Typer(
    name=_NAME,
    cls=CommandFiles,
    pretty_exceptions_enable=False,  # its tracebacks would show local variables, keys among them
    rich_markup_mode=None,  # to import it takes longer than all the rest of the overview
    context_settings=_CONTEXT,
    epilog=_EPILOG,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        import nexus_bounty

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


def run() -> None:
    """Run the command line; no input and no terminal makes it end in a traceback.

    Raises:
        SystemExit: Always.
    """
    with screens():
        code = _ended()
        sys.stdout.flush()
        if code == 0 and lost() and not is_unread():
            code = 1  # a page of help or the like that did not arrive
    sys.exit(code)


def _ended() -> int:
    """Run the command; its exit code."""
    given = sys.argv[1:]
    try:
        code = app(None if given else ["--help"], prog_name=_NAME, standalone_mode=False)
        return int(code or 0) if given else _USAGE
    except (KeyboardInterrupt, typer.Abort):  # a command says more of what it has begun
        return _said(None)
    except Exception as error:  # noqa: BLE001 - whatever it is, a traceback helps nobody
        return _said(error)


def _said(error: Exception | None) -> int:
    """Say what stopped the program before its command did anything; its exit code."""
    from nexus_bounty.cli import failures
    from nexus_bounty.cli.command import say

    if error is None:
        failure = failures.interrupted(None)
    elif format_message := getattr(error, "format_message", None):
        # what all errors of usage have in common; typer has no public name for their base
        context = getattr(error, "ctx", None)
        failure = failures.usage(format_message(), context.command_path if context else _NAME)
    else:
        failure = failures.expected(error, None) or failures.unexpected(error, None)
    options = takewhile(lambda each: each != "--", sys.argv[1:])
    say(failure, as_json="--json" in options)
    return int(failure.exit_code)
