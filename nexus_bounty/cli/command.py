"""Turns `async def work(session, …) -> Reply` into a command: shared options, answer, exit code."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import fields
from inspect import Parameter, Signature
from typing import Any, get_type_hints

import typer

from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.cli.failures import Failure, expected, interrupted, unexpected, unread
from nexus_bounty.cli.options import Options, OutputOptions, ServiceOptions
from nexus_bounty.cli.output import LazyText, Reply, notices, safe, stderr, stdout, write_json
from nexus_bounty.cli.screen import accept_loss, is_unread, lost
from nexus_bounty.cli.session import Session

Work = Callable[..., Awaitable[Reply] | ExitCode | None]
Command = Callable[..., None]


def command(options: type[OutputOptions] = Options) -> Callable[[Work], Command]:
    """Make a command of `work`, with the fields of `options` among its options.

    `work` gets a `Session` as its first argument, and its own arguments by name. If it is not
    awaited, it says all itself, and returns the exit code if that is not 0.
    """

    def made_of(work: Work) -> Command:
        own = list(inspect.signature(work, eval_str=True).parameters.values())[1:]
        shared = _parameters_of(options)

        @functools.wraps(work)
        def run(**given: Any) -> None:
            chosen = options(**{each.name: given.pop(each.name) for each in shared})
            session = Session(chosen)
            with _log(chosen):
                _finish(session, _carry_out(session, work, given))

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


def _log(options: OutputOptions) -> AbstractContextManager[None]:
    """Where the log goes: where a service's options say, else to a person who is looking."""
    if not isinstance(options, ServiceOptions):
        return notices()
    from nexus_bounty.cli.service.logs import logging_to_stderr

    return logging_to_stderr(options.log_format, options.log_level)


def _carry_out(session: Session, work: Work, given: dict[str, Any]) -> Reply | Failure | ExitCode:
    """Run `work` to its answer, or to what to say instead; an exit code if it has said all."""
    if not gc.isenabled():  # see `main`
        gc.freeze()
        gc.enable()
    try:
        if not inspect.iscoroutinefunction(work):
            ended = work(session, **given)
            return ended if isinstance(ended, ExitCode) else ExitCode.OK
        asyncio.run(_whole(session, work, given))
    except KeyboardInterrupt:
        return session.reply or interrupted(session.attempt)
    except Exception as error:  # noqa: BLE001 - whatever it is, the verdict must be told
        if session.reply is not None:
            return session.reply
        failure = unread(error) if session.only_reads else None
        return failure or expected(error, session.attempt) or unexpected(error, session.attempt)
    return session.reply or ExitCode.OK


async def _whole(
    session: Session, work: Callable[..., Awaitable[Reply]], given: dict[str, Any]
) -> None:
    """Keep the answer in the session: what fails while it is closed does not change it."""
    async with session:
        session.reply = await work(session, **given)


def say(answer: Reply | Failure, *, as_json: bool) -> None:
    """Write an answer where it belongs."""
    if as_json:
        write_json(answer.data)
        return
    from rich.text import Text

    console = stderr() if isinstance(answer, Failure) else stdout()
    text = answer.text.make() if isinstance(answer.text, LazyText) else answer.text
    # one line stays one, however long: a refusal is to be read by scripts, too
    console.print(text, soft_wrap=isinstance(text, Text), crop=False)
    console.file.flush()


def _finish(session: Session, answer: Reply | Failure | ExitCode) -> None:
    code = answer if isinstance(answer, ExitCode) else answer.exit_code
    try:
        _say(session, answer)
        if lost() and (session.as_json or isinstance(answer, Reply)):
            code = _unheard(session, code)
    except KeyboardInterrupt:  # while it is being said: what happened has happened
        pass
    if code is not ExitCode.OK:
        raise typer.Exit(int(code))


def _say(session: Session, answer: Reply | Failure | ExitCode) -> None:
    if isinstance(answer, ExitCode):
        return
    if isinstance(answer, Failure) and session.logs_json:
        _log_failure(answer)
        if not session.as_json:
            return
    say(answer, as_json=session.as_json)


def _log_failure(failure: Failure) -> None:
    """Say what ended a service to the program that reads its log."""
    said = {name: value for name, value in failure.data.items() if name != "message"}
    what = failure.data.get("message", failure.data["error"])
    from nexus_bounty.events.log import logger_of

    logger_of(__name__).error("%s", what, extra=said)


def _unheard(session: Session, code: ExitCode) -> ExitCode:
    """Say on stderr what could not be said on stdout; the exit code of a read that is lost."""
    changed = not session.only_reads
    if code is ExitCode.OK and not changed and not is_unread():
        code = ExitCode.ERROR
    if changed or not is_unread():
        key = f"; its key is {session.attempt.key}" if session.attempt else ""
        told = f"The answer could not be written ({lost()}): it ended with exit code {code}{key}."
        stderr().print(safe(told, "bold yellow"), soft_wrap=True)
    accept_loss()
    return code
