"""No password of an address is shown, wherever it stands: in its place, out of it, or in a file."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nexus_bounty import CommitUnknownError, InvalidInputError, OutcomeError
from nexus_bounty.cli.output import without_credentials
from nexus_bounty.cli.overview import command_files
from nexus_bounty_postgres import PostgresClaimStore, PostgresCredits
from nexus_bounty_procrastinate.worker import RangeWorker
from tests.cli.conftest import environment, mock, shell, url
from tests.cli.shell import Shell
from tests.unstoppable.command_lines import SECRET

__all__ = ["environment", "mock", "shell", "url"]  # fixtures

ADDRESS = f"postgresql://u:{SECRET}/1@host/x"
AS_JSON = pytest.mark.parametrize("as_json", [(), ("--json",)])


def everything_said(error: BaseException) -> str:
    """All that is shown of an error, with the variables of the frames that led to it."""
    shown = [str(error), repr(error), *traceback.format_exception(error)]
    shown += [repr(pickle.loads(pickle.dumps(error))), repr(vars(error))]
    return "\n".join([*shown, *(repr(each) for each in variables_of(error))])


def variables_of(error: BaseException) -> Iterator[dict[str, Any]]:
    """Those of each frame but the tests' own."""
    found: BaseException | None = error
    while found is not None:
        for frame, _ in traceback.walk_tb(found.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                yield frame.f_locals
        found = found.__cause__ or found.__context__


@AS_JSON
@pytest.mark.parametrize(
    "line",
    [
        ("history", "b-1", ADDRESS),
        ("balance", "alice", f"--credit={ADDRESS}", ADDRESS),
        ("create", "t", "--creator", "a", "--amount", ADDRESS),
        ("list", "--status", f"http:/u:{SECRET}@h"),
        ("top-up", "alice", f"nexuspay+http://u:{SECRET}%40h"),
        ("ledger", ADDRESS),
        ("reconcile", "--through", "b-1", f"postgresql://h/x?password={SECRET}&user=u"),
    ],
)
def test_an_address_in_the_wrong_place_is_repeated_without_its_password(
    shell: Shell, line: tuple[str, ...], as_json: tuple[str, ...]
) -> None:
    """What is wrong with a line is said by repeating it."""
    ended = shell(*line, *as_json)
    assert ended.code == 2
    assert SECRET not in ended.out + ended.err


def test_hiding_passwords_takes_no_longer_than_reading() -> None:
    """And leaves alone what is none."""
    for long in ("a" * 300_000, ":/" * 150_000, "@" * 300_000, "password=" * 30_000):
        without_credentials(long)
    assert without_credentials("no such option --x, a@b, http://h/p") == (
        "no such option --x, a@b, http://h/p"
    )


SETTINGS = f"""
api-key = "{SECRET}"
url = "http://u:{SECRET}@h"
credits = "{ADDRESS}"
claims = "{ADDRESS}"
[demo]
nexus = "http://u:{SECRET}@h"
[mock-server]
require-key = "{SECRET}"
[worker]
jobs = "{ADDRESS}"
[ledger]
from = "{ADDRESS}"
to = "{ADDRESS}"
"""


@pytest.mark.parametrize("command", command_files())
def test_no_page_of_help_shows_what_a_file_with_settings_says(
    shell: Shell, tmp_path: Path, command: str
) -> None:
    """Such a page shows defaults, and a file gives new ones."""
    file = tmp_path / "settings.toml"
    file.write_text(SETTINGS)
    file.chmod(0o600)
    ended = shell(command, "--config", file, "-h")
    assert ended.code == 0
    assert "--config" in ended.out
    assert SECRET not in ended.out + ended.err


WRONG = [
    f"postgresql://u:{SECRET}%00@h/x",
    f"postgresql://u:{SECRET}\udce9@h/x",
    f"postgresql://u:{SECRET}@h:abc/x",
    f"postgresql://u:{SECRET}@h/x?sslmode=lost",
    f"postgresql://u:{SECRET}@h/x?connect_timeout=soon",
    f"postgresql://u:{SECRET}@h/x?lost=1",
    f"postgresql://u:{SECRET}@[::1/x",
    f"host=h password={SECRET} port",
]
OPENED: list[Callable[[str], object]] = [
    PostgresCredits,
    PostgresClaimStore,
    lambda address: RangeWorker(address, {}),
]


@pytest.mark.parametrize("opened", OPENED)
@pytest.mark.parametrize("address", WRONG)
def test_an_address_that_no_database_can_have_is_refused_at_once_and_not_repeated(
    opened: Callable[[str], object], address: str
) -> None:
    """Before a word is sent, by whoever would use it; what libpq has against it is said."""
    with pytest.raises(InvalidInputError) as caught:
        opened(address)
    assert SECRET not in f"{caught.value!r} {''.join(traceback.format_exception(caught.value))}"
    assert "postgresql" in str(caught.value)


@pytest.mark.parametrize(
    "address", ["postgresql://a:1,b:2/x", "postgresql:///x", "host=h dbname=x"]
)
def test_an_address_that_a_database_may_have_is_taken(address: str) -> None:
    """Nothing is sent to find that out."""
    PostgresCredits(address)


async def test_no_error_of_a_database_that_is_not_there_shows_its_password() -> None:
    """Its libraries hold it in the variables of their frames."""
    address = f"postgresql://u:{SECRET}@127.0.0.1:9/x"
    credit = PostgresCredits(address, wait=timedelta(0))
    with pytest.raises(CommitUnknownError) as read:
        await credit.balance("alice")
    with pytest.raises(OutcomeError) as written:
        await credit.top_up("k", account="alice", amount=1)
    await credit.close()
    for each in (read.value, written.value):
        assert "127.0.0.1" in str(each)
        assert SECRET not in everything_said(each)
    assert SECRET not in repr(credit)
    assert SECRET not in repr(vars(credit))
