"""Command lines as nobody would type them, drawn from a seed; the options are the program's own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import typer

from nexus_bounty.cli.app import CommandFiles, app
from nexus_bounty.cli.overview import command_files

SECRET: Final = "hunter2"
"""A password that stands in addresses, keys and files: nothing may ever show it."""

ODD: Final = (
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
URLS: Final = (
    *("http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://127.0.0.1:9", "http://[::1"),
    *("http://", "http:/x", "ftp://x", "//x", f"http://u:{SECRET}@127.0.0.1:9", "http://-"),
    *(f"http:/u:{SECRET}@h", f"http://u:{SECRET}%40h", "http://127.0.0.1:9/?q", "HTTP://"),
    *("http://127.0.0.1:9/\udce9", "http://127.0.0.1:9/é", "http://\u200b", "http://[::1]:9"),
)
POSTGRES: Final = (
    *(f"postgresql://u:{SECRET}@127.0.0.1:9/x?connect_timeout=1", "postgresql://[::1", "postgres:"),
    *("postgresql://127.0.0.1:abc/x", f"postgresql://u:{SECRET}@127.0.0.1:9/x?sslmode=lost"),
    *(f"postgresql://u:{SECRET}@/x?host=/no/where", f"postgresql://u:{SECRET}@h/x?lost=1"),
    *("postgresql://\udce9/x", f"postgresql://u:{SECRET}%00@127.0.0.1:9/x", "postgresql://é:9/x"),
)
LEDGERS: Final = (
    *("sqlite:///", "sqlite:////no/where/x.db", "sqlite:////dev/null", "sqlite:////", "memory:"),
    *("sqlite:///~nobody/x.db", "sqlite:////tmp/\udce9/x.db", "nexuspay:", "nexuspay+http://"),
    *("nexuspay+http://[::1", "nexuspay+http://a b", "nexuspay+http://127.0.0.1:0"),
    *(f"nexuspay+http://u:{SECRET}@127.0.0.1:9", "paypal:", ":", "sqlite:////proc/self/x.db"),
    *("nexuspay+http://127.0.0.1:abc", "sqlite:///other.db", "sqlite:///other.db", *POSTGRES),
)
ADDRESSES: Final = (
    *("127.0.0.1:0", "127.0.0.1:99999", ":", "::1", "[::1]:0", "[", "localhost", "é:9", "\udce9:9"),
    *(f"127.0.0.1:{'9' * 5_000}", f"{'a' * 100_000}:9", "127.0.0.1:١٢", "\x00:9", "256.1.1.1:9"),
)
HOSTS: Final = ("127.0.0.1", "::1", "", "é", "\udce9", "\x00", "a" * 100_000, "256.1.1.1", "a b")
FILES: Final[Mapping[str, str]] = {
    "people.json": f'{{"ann": {{"token": "{SECRET}", "role": "operate"}}}}',
    "tokens.json": f'{{"bob": "{SECRET}"}}',
    "twice.json": f'{{"bob": "{SECRET}", "ann": "{SECRET}"}}',
    "no-role.json": f'{{"ann": {{"token": "{SECRET}", "role": "lost"}}}}',
    "no-name.json": f'{{"": "{SECRET}", "a\\u0000": "", "\\ud800": "x"}}',
    "empty.json": "{}",
    "deep.json": "[" * 50_000,
    "good.toml": f'api-key = "{SECRET}"\n[reconcile]\nevery = "1m"\n',
    "wrong.toml": f'api-key = "{SECRET}"\nurll = "http://u:{SECRET}@h"\n',
    "odd.toml": 'url = 7\n"\\u0000" = 1\n[nexus]\noperation_timeout = "soon"\n',
    "dates.toml": "grace = 9999-12-31T23:59:59-23:59\n[worker]\nevery = nan\nconcurrency = -1\n",
    "deep.toml": "a = " + "[" * 5_000,
    "no.toml": "\ufeff\x00",
    "work.json": '{"cid": "cid-1", "scores": {"a": 1e400}, "tags": [5]}',
}
"""Files in the directory that commands are run in, which their user alone can read."""
FILE_NAMES: Final = (*FILES, *FILES, "/", "/proc/self/mem", "/dev/null", "missing", *ODD)
PORTS: Final = ("0", "-1", "65536", "x", "9" * 5_000)
VALUES: Final[Mapping[str, Sequence[str]]] = {
    **dict.fromkeys(("--url", "--nexus"), URLS),
    **dict.fromkeys(("--credits", "--from", "--to", "--jobs"), LEDGERS),
    **dict.fromkeys(("--health", "--metrics"), ADDRESSES),
    **dict.fromkeys(("--contribution-file", "--config", "--tokens"), FILE_NAMES),
    "--claims": (*LEDGERS, "nexus"),
    "--host": HOSTS,
    "--port": PORTS,
    "--reached-as": (*HOSTS, *ADDRESSES),
    "--commit": ("auto", "conditional", "rename", "single-writer", "lost"),
    "--direction": ("minimize", "maximize", "lost"),
    "--operation": ("create", "claim", "settle", "lost"),
    "--personality": ("0.7.0", "0.9", "0.10", "lost"),
    "--log-format": ("text", "json", "json", "lost"),
    "--log-level": ("debug", "info", "error", "lost"),
    "--zones": (*ODD, "a,b", ",", "a,", "default,default"),
}
"""What an option may be given, where that is not anything at all."""
TIMES: Final = ("5m", "0s", "30d", f"{10**9}d")
GOOD: Final[Mapping[str, Sequence[str]]] = {
    **dict.fromkeys(("--deadline", "--lease", "--grace", "--every", "--window"), TIMES),
    **dict.fromkeys(("--look-every", "--dead-after", "--stop-within"), TIMES),
    **dict.fromkeys(("--health", "--metrics"), ("127.0.0.1:0", "127.0.0.1:64999")),
    **dict.fromkeys(("--credits", "--from", "--to", "--claims"), ("memory:", "sqlite:///other.db")),
    **dict.fromkeys(("--url", "--nexus"), ("http://127.0.0.1:9",)),
    **dict.fromkeys(("--limit", "--threshold", "--concurrency", "--range-size"), ("1", "7")),
    **dict.fromkeys(("--bounty-id", "--bounty", "--after", "--through"), ("b-1", "b-0")),
    **dict.fromkeys(("--agent", "--creator", "--claimer", "--mine", "--pay"), ("alice", "bob")),
    **dict.fromkeys(("--zone", "--zones"), ("default", "east")),
    "--contribution-file": ("work.json",),
    "--config": ("good.toml",),
    "--tokens": ("people.json", "tokens.json"),
    "--port": ("64998",),
    "--host": ("127.0.0.1", "0.0.0.0"),
    "--key": ("k-1", "k-2"),
    "--context": ("{}",),
    "--status": ("open", "claimed"),
}
"""What an option may well be given; half of the time it is."""
PROXIES: Final = ("socks5://127.0.0.1:9", f"http://u:{SECRET}@127.0.0.1:9", "ftp://x", "http://[")
ENVIRONMENT: Final[Mapping[str, Sequence[str]]] = {
    "NEXUS_REQUEST_TIMEOUT": ODD,
    "NEXUS_RETRY_ATTEMPTS": ("0", "-1", "x", "9" * 5_000),
    "NEXUS_SIGNING_KEYS": ("", "{}", "[]", f'{{"1": "{SECRET}"}}', SECRET, f"1:{SECRET * 8}"),
    "ALL_PROXY": (*PROXIES, ":"),
    "XDG_DATA_HOME": ("/dev/null/x", "/proc/none", "~", "/tmp/" + "x" * 300),
    "COLUMNS": ("0", "-5", "x", "1", "9" * 5_000),
    "LINES": ("x", "0"),
    "TERM": ("dumb", "", "none"),
}
"""Variables that belong to no option."""
NEEDED: Final[Mapping[str, str]] = {
    "title": "t",
    "amount": "5",
    "creator": "alice",
    "agent_id": "bob",
    "bounty_id": "b-1",
    "contribution": "cid-1",
    "account": "alice",
    "key": "k-1",
    "action": "copy",
    "source": "sqlite:///other.db",
    "target": "sqlite:///third.db",
    "reservation_id": "r-1",
    "because": "it is gone",
}
"""With what a command gets past its options, often enough."""
USUAL: Final[Mapping[str, Sequence[str]]] = {
    "mcp": ("--agent", "bob"),
    "mock-server": ("--port", "64998"),
    "rescue": ("--give-back",),
    "worker": ("--jobs", f"postgresql://u:{SECRET}@127.0.0.1:9/x"),
}
"""What a command that has a choice is mostly given."""
RARE: Final = ("demo", "doctor")
"""Commands that take their time when nothing stops them."""
COMMANDS: Final = [name for name in command_files() for _ in range(1 if name in RARE else 6)]


@cache
def command_of(name: str) -> Any:
    """A command, as the program has it."""
    root: CommandFiles = typer.main.get_command(app)  # type: ignore[assignment]
    return root.get_command(None, name)


def parameters_of(command: str) -> Sequence[Any]:
    """Its arguments and options."""
    return list(command_of(command).params)


def _name_of(option: Any) -> str | None:
    """Its long name; none of an argument's."""
    return next((each for each in option.opts if each.startswith("--")), None)


def _values_of(option: Any) -> Sequence[str]:
    return VALUES.get(_name_of(option) or "", ODD)


def _needed(command: str, drawn: random.Random) -> Iterator[str]:
    """The arguments and options without which a command does nothing."""
    for each in parameters_of(command):
        if each.required or (each.name == "bounty_id" and _name_of(each) is None):
            value = drawn.choice(ODD) if drawn.random() < 0.07 else NEEDED[each.name]
            yield from [value] if _name_of(each) is None else [_name_of(each) or "", value]


def _options(command: str, drawn: random.Random) -> Iterator[str]:
    """Some of its options, at any value; now and then one of another command."""
    for _ in range(drawn.choice((0, 0, 1, 1, 2))):
        where = command if drawn.random() < 0.9 else drawn.choice(COMMANDS)
        option = drawn.choice([each for each in parameters_of(where) if _name_of(each)])
        yield _name_of(option) or ""
        if not option.is_flag:
            good = GOOD.get(_name_of(option) or "", ()) if drawn.random() < 0.5 else ()
            yield drawn.choice(good or _values_of(option))


@cache
def variables() -> Mapping[str, Sequence[str]]:
    """Every variable that any command reads, and what may stand in it."""
    found = dict(ENVIRONMENT)
    for command in command_files():
        for option in parameters_of(command):
            found |= dict.fromkeys(_variables_of(command, option), _values_of(option))
    return {name: [each for each in values if "\x00" not in each] for name, values in found.items()}


def _variables_of(command: str, option: Any) -> Sequence[str]:
    named = option.envvar or ()
    prefix = command_of(command).context_settings.get("auto_envvar_prefix")
    own = [f"{prefix}_{option.name}".upper()] if prefix and _name_of(option) else []
    return [*own, *([named] if isinstance(named, str) else named)]


def a_line(drawn: random.Random) -> tuple[list[str], dict[str, str]]:
    """A command line, and variables to go with it."""
    command = drawn.choice(COMMANDS)
    line = list(_needed(command, drawn)) if drawn.random() < 0.9 else []
    line += USUAL.get(command, ()) if drawn.random() < 0.6 else ()
    line += _options(command, drawn)
    for _ in range(drawn.choice((0, 0, 0, 0, 0, 1, 2))):
        line.insert(drawn.randrange(len(line) + 1), drawn.choice((*ODD, "-h", "--version")))
    line += ["--json"] if drawn.random() < 0.5 else []
    named = drawn.sample(sorted(variables()), k=drawn.choice((0, 0, 0, 1, 2)))
    typed = command if drawn.random() < 0.97 else drawn.choice(ODD)
    return [typed, *line], {name: drawn.choice(variables()[name]) for name in named}


def put_files(directory: Path) -> None:
    """Write the files that command lines name."""
    for name, content in FILES.items():
        file = directory / name
        file.write_text(content)
        file.chmod(0o600)
