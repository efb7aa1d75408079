"""Whatever is typed: no traceback, an exit code of the table, one line or one document."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

import pytest

from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.cli.failures import OURS
from nexus_bounty.cli.overview import command_files
from tests.cli.conftest import environment, mock, shell, url
from tests.cli.shell import Ended, Shell

__all__ = ["environment", "mock", "shell", "url"]  # fixtures

QUICK, ALL = 300, 2_000
CODES = frozenset(int(code) for code in ExitCode)

ODD = (
    *("", " ", "-", "--", "-x", "--no-such", "=", "@x", "~", "~nobody/x", "..", "a/b", "a%2fb"),
    *("\udce9", "é", "e\u0301", "\u200b", "\u202e", "💰", "\x1b[31m", "[red]", "a\nb", "\t"),
    *("a" * 100_000, "9" * 5_000, "-" + "9" * 5_000, "-1", "0", "1", "7", "1e9", "1.5"),
    *("nan", "inf", "-inf", "1e400", "0x10", "١٢", "true", "null"),
    *("0s", "5m", "999999999d", f"{'9' * 5_000}d", "9" * 20 + "w", "-1m", "1h30m", "1 h"),
    *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+12:00", "2030-01-01T00:00:00"),
    *("2030-02-30T00:00:00Z", "2030-01-01T00:00:00+99:99", "2030-01-31T12:00Z"),
    *("{}", '{"a": 1}', '{"a":' * 1_000, "[" * 50_000, "[1]", '{"a": NaN}', '{"\\ud800": 1}'),
    *(f'{{"a": {"9" * 5_000}}}', '{"cid": 5}', '{"index markers": null}', '{"a": 1e999}'),
    *("alice", "bob", "b-1", "cid-1", "open", "claim", "auto", "rename"),
)
URLS = (
    *("http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://127.0.0.1:9", "http://[::1"),
    *("http://", "http:/x", "ftp://x", "//x", "http://u:p@127.0.0.1:9", "http://127.0.0.1:9/?q"),
    *("http://127.0.0.1:9/\udce9", "http://127.0.0.1:9/é", "http://-", "http://\u200b", "HTTP://"),
)
LEDGERS = (
    *("sqlite:///", "sqlite:////no/where/x.db", "sqlite:////dev/null", "sqlite:////", "memory:"),
    *("sqlite:///~nobody/x.db", "sqlite:////tmp/\udce9/x.db", "nexuspay:", "nexuspay+http://"),
    *("nexuspay+http://[::1", "nexuspay+http://a b", "nexuspay+http://127.0.0.1:0"),
    *("nexuspay+http://127.0.0.1:abc", "paypal:", ":", "sqlite:////proc/self/x.db"),
)
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "--url": URLS,
    "--credits": LEDGERS,
    "--claims": (*LEDGERS, "nexus"),
    "--zone": ODD,
    "--api-key": ODD,
    "--commit": ("auto", "conditional", "lost"),
    "--key": ODD,
    "--agent": ODD,
    "--creator": ODD,
    "--claimer": ODD,
    "--amount": ODD,
    "--deadline": ODD,
    "--lease": ODD,
    "--context": ODD,
    "--threshold": ODD,
    "--metric": ODD,
    "--tag": ODD,
    "--criteria": ODD,
    "--bounty-id": ODD,
    "--bounty": ODD,
    "--operation": ("create", "claim", "settle", "lost"),
    "--contribution-file": (*ODD, "/", "/proc/self/mem", "/dev/null"),
    "--status": ODD,
    "--limit": ODD,
    "--offset": ODD,
    "--grace": ODD,
    "--every": ODD,
    "--resume": ODD,
    "--port": ("0", "-1", "65536", "x", "9" * 5_000),
    "--nexus": URLS,
}
FLAGS = ("--json", "--json", "--json", "--dry-run", "--resolve", "--allow-own", "-h", "--version")
VARIABLES = {
    "NEXUS_REQUEST_TIMEOUT": ODD,
    "NEXUS_URL": URLS,
    "NEXUS_ZONE_ID": tuple(each for each in ODD if "\udce9" not in each),
    "NEXUS_RETRY_ATTEMPTS": ("0", "-1", "x", "9" * 5_000),
    "NEXUS_BOUNTY_CREDITS": LEDGERS,
    "NEXUS_BOUNTY_COMMIT": ("auto", "lost", ""),
    "NEXUS_BOUNTY_AGENT": ODD,
    "ALL_PROXY": ("socks5://127.0.0.1:9", "http://u:p@127.0.0.1:9", "ftp://x", "http://[", ":"),
    "XDG_DATA_HOME": ("/dev/null/x", "/proc/none", "~", "/tmp/" + "x" * 300),
    "COLUMNS": ("0", "-5", "x", "1", "9" * 5_000),
    "LINES": ("x", "0"),
    "TERM": ("dumb", "", "none"),
}
TAKES_ITS_TIME = ("console", "demo", "doctor", "mock-server", "worker")
COMMANDS = [name for name in command_files() if name not in TAKES_ITS_TIME]
"""The others are tried with options that stop them at once."""
AT_ONCE = (
    "doctor http://[",
    "mock-server --port 0",
    "demo --nexus ftp://x",
    "mock-server --host é",
    "console --port 65536",
    "console --look-every 0s",
    "worker --every -1m",
    "worker --credits memory:",
)

HEAD = {
    "create": ["t", "--amount", "5", "--creator", "alice"],
    "claim": ["b-1", "--agent", "bob"],
    "renew": ["b-1", "--agent", "bob"],
    "release": ["b-1", "--agent", "bob"],
    "settle": ["b-1", "cid-1"],
    "top-up": ["alice", "5"],
}
"""Arguments with which a command gets past its options, often enough."""


def a_line(drawn: random.Random) -> tuple[list[str], dict[str, str]]:
    """A command line, and variables to go with it."""
    if drawn.random() < 0.03:
        return [*drawn.choice(AT_ONCE).split(), *drawn.choices(FLAGS, k=1)], {}
    command = drawn.choice(COMMANDS) if drawn.random() < 0.97 else drawn.choice(ODD)
    line = list(HEAD.get(command, ["b-1"])) if drawn.random() < 0.6 else []
    line = [drawn.choice(ODD) if drawn.random() < 0.1 else each for each in line]
    for _ in range(drawn.choice((0, 1, 1, 2, 3))):
        option = drawn.choice(list(OPTIONS))
        line += [option, drawn.choice(OPTIONS[option])]
    for _ in range(drawn.choice((0, 0, 1, 2))):
        line.insert(drawn.randrange(len(line) + 1), drawn.choice((*ODD, *FLAGS)))
    line += ["--json"] if drawn.random() < 0.4 else []
    named = drawn.sample(list(VARIABLES), k=drawn.choice((0, 0, 0, 1, 2)))
    return [command, *line], {name: drawn.choice(VARIABLES[name]) for name in named}


def is_told(line: list[str], ended: Ended) -> str | None:
    """What is wrong with how a command line ended, if something is."""
    if ended.code not in CODES:
        return "an exit code that is not in the table"
    if "Traceback" in ended.out + ended.err or OURS in ended.out + ended.err:
        return "an error that nobody has thought of"
    is_page = ended.code == 0 and ("-h" in line or "--version" in line)
    if is_page:
        return None
    if "--json" in takewhile(lambda each: each != "--", line) and ended.code != 0:
        return None if _is_one_document(ended.out) else "not one document"
    if "--json" in line and _is_one_document(ended.out):
        return None  # that `--` was the value of an option
    if ended.code == 2 and (ended.out or len(ended.err.splitlines()) != 1):
        return "not one line"
    return None


def _is_one_document(out: str) -> bool:
    try:
        json.loads(out)
    except ValueError:
        return False
    return out.count("\n") == 1


def try_lines(shell: Shell, monkeypatch: pytest.MonkeyPatch, seed: int, count: int) -> None:
    """Run `count` command lines that follow from `seed`."""
    drawn = random.Random(seed)
    shell("top-up", "alice", 1000)
    codes = set()
    for _ in range(count):
        line, variables = a_line(drawn)
        if "--watch" in line:
            continue
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            ended = shell(*line)
        wrong = is_told(line, ended)
        said = ended.out[-2_000:] + ended.err[-2_000:]
        shown = [each[:200] for each in line]
        assert wrong is None, f"{wrong}: {shown} {variables}\nexit code {ended.code}\n{said}"
        codes.add(ended.code)
    assert {0, 1, 2, 3} <= codes  # not only refusals


@pytest.fixture
def patient(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    """A shell that does not wait for servers that are not there, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    shell.setenv("NEXUS_RETRY_ATTEMPTS", "1")
    shell.setenv("NEXUS_OPERATION_TIMEOUT", "2")
    return shell


def test_no_command_line_ends_in_a_traceback_or_an_undocumented_code(
    patient: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample of those below."""
    try_lines(patient, monkeypatch, seed=3, count=QUICK)


@pytest.mark.exhaustive
def test_none_of_two_thousand_command_lines_does(
    patient: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded: what fails, fails again."""
    try_lines(patient, monkeypatch, seed=2, count=ALL)
