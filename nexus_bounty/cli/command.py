"""Turns `async def work(session, …) -> Reply` into a command: shared options, answer, exit code."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import fields
from inspect import Parameter, Signature
from typing import Any, get_type_hints

import typer

from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.cli.failures import Failure, expected, interrupted
from nexus_bounty.cli.options import Options, OutputOptions
from nexus_bounty.cli.output import Reply, notices, stderr, stdout, write_json
from nexus_bounty.cli.session import Session

Work = Callable[..., Awaitable[Reply] | None]
Command = Callable[..., None]


def command(options: type[OutputOptions] = Options) -> Callable[[Work], Command]:
    """Make a command of `work`, with the fields of `options` among its options.

    `work` gets a `Session` as its first argument, and its own arguments by name.
    """

    def made_of(work: Work) -> Command:
        own = list(inspect.signature(work, eval_str=True).parameters.values())[1:]
        shared = _parameters_of(options)

        @functools.wraps(work)
        def run(**given: Any) -> None:
            chosen = options(**{each.name: given.pop(each.name) for each in shared})
            _finish(chosen, _carry_out(chosen, work, given))

        # what typer reads the command line's options from
        run.__signature__ = Signature([*own, *shared])  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in [*own, *shared]}
        return run

    return made_of


def _parameters_of(options: type[OutputOptions]) -> list[Parameter]:
    hints = get_type_hints(options, include_extras=True)
    return [
        Parameter(
            each.name, Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name]
        )
        for each in fields(options)
    ]


def _carry_out(options: OutputOptions, work: Work, given: dict[str, Any]) -> Reply | Failure | None:
    """Run `work` to its answer, or to what to say instead; `None` if it has said all itself."""
    session = Session(options)
    try:
        if not inspect.iscoroutinefunction(work):
            work(session, **given)
            return None
        with notices():
            return asyncio.run(_whole(session, work, given))
    except KeyboardInterrupt:
        return interrupted(session.attempt)
    except Exception as error:
        failure = expected(error, session.attempt)
        if failure is None:
            raise
        return failure


async def _whole(
    session: Session, work: Callable[..., Awaitable[Reply]], given: dict[str, Any]
) -> Reply:
    async with session:
        return await work(session, **given)


def _finish(options: OutputOptions, answer: Reply | Failure | None) -> None:
    if answer is None:
        return
    if options.as_json:
        write_json(answer.data)
    else:
        console = stderr() if isinstance(answer, Failure) else stdout()
        console.print(answer.text)
    if answer.exit_code is not ExitCode.OK:
        raise typer.Exit(int(answer.exit_code))
