"""A process that has imported everything, and forks for each program that it is asked to run.

    python -m tests.docs.warm SOCKET

Most of what a command costs is importing, and the documentation runs a hundred of them. A client
(`shim.py`) sends its arguments, directory, environment and standard streams; it gets the number
of the process that does its work, and at the end its exit code.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import nexus_bounty
import nexus_bounty.cli.commands
from nexus_bounty.cli import main as run_nexus_bounty

ALSO = (
    "aiohttp",
    "anyio._backends._asyncio",
    "certifi",
    "httpcore",
    "httptools",
    "nexus_bounty.cli.app",
    "nexus_bounty.cli.command",
    "nexus_bounty.cli.failures",
    "nexus_bounty.memory",
    "nexus_bounty.mock",
    "nexus_bounty.sync",
    "nexus_bounty_sqlite.urls",
    "pytest",
    "starlette.routing",
    "uvicorn",
)


def _import_everything() -> None:
    for name in nexus_bounty.__all__:
        getattr(nexus_bounty, name)
    commands = nexus_bounty.cli.commands
    for each in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}."):
        importlib.import_module(each.name)
    for name in ALSO:
        importlib.import_module(name)


def serve(path: str) -> None:
    """Run what is asked for, several at once, until nobody holds this process's input any more."""
    _import_everything()
    gc.collect()
    gc.freeze()
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while _is_asked(server):
        client, _ = server.accept()
        if os.fork() == 0:
            server.close()
            _answer(client)
        client.close()
        _forget_the_ended()


def _is_asked(server: socket.socket) -> bool:
    """Whether somebody asks, or else whoever started this process is gone."""
    ready, _, _ = select.select([server.fileno(), sys.stdin.fileno()], [], [])
    return server.fileno() in ready


def _forget_the_ended() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(client: socket.socket) -> NoReturn:
    head, streams, _, _ = socket.recv_fds(client, 4, 3)
    (length,) = struct.unpack("!I", head)
    asked = json.loads(client.recv(length, socket.MSG_WAITALL))
    process = os.fork()
    if process == 0:
        client.close()
        _end(_become, asked, streams)
    client.sendall(struct.pack("!I", process))
    ended = os.pidfd_open(process)
    if ended not in select.select([client.fileno(), ended], [], [])[0]:
        os.kill(process, signal.SIGKILL)  # who asked for it is gone
    _, status = os.waitpid(process, 0)
    client.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _end(work: Callable[..., None], *arguments: Any) -> NoReturn:
    """Do the work, and end as Python does, but for taking apart all that was imported."""
    code: Any = 0
    try:
        work(*arguments)
    except SystemExit as ended:
        code = ended.code
    except BaseException as error:  # noqa: BLE001 - told as Python tells it
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as an exit does
    atexit._run_exitfuncs()
    gc.collect()  # what was not closed warns
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _become(asked: Any, streams: list[int]) -> None:
    """Be the program; its exit and its errors are those of this process."""
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    program, *arguments = asked["arguments"]
    sys.path[0] = asked["directory"]
    name = Path(program).name
    if name == "nexus-bounty":
        sys.argv = [name, *arguments]
        return run_nexus_bounty()
    if name == "pytest":
        warnings.simplefilter("default")  # it has filters of its own
        quiet = ("-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
        plugin = ("-p", "nexus_bounty.testing.plugin")  # by itself where it is installed anew
        arguments = ["-m", "pytest", *quiet, *plugin, *arguments]
    _as_python(*arguments)
    return None


def _as_python(first: str, *rest: str) -> None:
    if first == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<snippet>", "exec"), {"__name__": "__main__"})
    elif first == "-m":
        sys.argv = list(rest)
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1])
