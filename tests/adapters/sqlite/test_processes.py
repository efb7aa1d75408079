"""Several processes on one file, some of them killed in the middle."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nexus_bounty_sqlite import SqliteCredits

HERE = Path(__file__).parent
ACCOUNTS = ("alice", "bob", "carol", "dave")
PROCESSES = [3, pytest.param(8, marks=pytest.mark.exhaustive)]


def _start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _acknowledged(output: str) -> list[tuple[str, str]]:
    words = [line.split() for line in output.splitlines()]
    return [(kind, source_id) for kind, source_id in words]


def _finish(process: subprocess.Popen[str]) -> list[tuple[str, str]]:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return _acknowledged(output)


def _kill_after(process: subprocess.Popen[str], output: Path, lines: int) -> None:
    deadline = time.monotonic() + 30
    while output.read_text().count("\n") < lines and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()


def _assert_each_done_once(found: Any, acknowledged: list[tuple[str, str]]) -> None:
    made = [(kind, source_id) for kind, source_id, *_ in found.journal]
    assert len(set(made)) == len(made)
    assert set(acknowledged) <= set(made)


async def _fund(path: Path) -> None:
    async with SqliteCredits(path) as service:
        for account in (*ACCOUNTS, "shared"):
            await service.top_up(f"fund-{account}", account=account, amount=100)


@pytest.mark.parametrize("number", PROCESSES)
async def test_processes_lose_and_make_no_credits(path, recount, number):
    """Every acknowledged call is in the journal once, and the sum has not changed."""
    await _fund(path)
    processes = [_start("ledger_worker.py", path, f"p{n}", 40, n) for n in range(number)]
    acknowledged = [call for process in processes for call in _finish(process)]
    found = recount()
    assert len(acknowledged) > number * 40
    _assert_each_done_once(found, acknowledged)
    own = [entry for entry in found.journal if entry[1].startswith("p")]
    assert len(own) == len(acknowledged)
    assert found.total == 500
    assert found.balances["winner"] == 40


@pytest.mark.parametrize("number", PROCESSES)
def test_a_new_file_is_made_by_whoever_comes_first(path, recount, number):
    """Processes that open a missing file at once make one ledger."""
    script = (
        "import asyncio, sys; from nexus_bounty_sqlite import SqliteCredits\n"
        "async def main():\n"
        "    async with SqliteCredits(sys.argv[1]) as s:\n"
        "        await s.top_up(sys.argv[2], account='alice', amount=1)\n"
        "asyncio.run(main())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), f"t{n}"], stderr=subprocess.PIPE, text=True
        )
        for n in range(number)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert recount().balances == {"alice": number, "system:mint": -number}


def _kill_two_at_work(path: Path, name: str, lines: int) -> list[tuple[str, str]]:
    outputs = [path.with_name(f"{name}-{number}") for number in range(2)]
    workers = []
    for output in outputs:
        script = str(HERE / "ledger_worker.py")
        command = [sys.executable, script, str(path), output.name, "0", "1"]
        with output.open("w") as target:
            workers.append(subprocess.Popen(command, stdout=target, text=True))
    for worker, output in zip(workers, outputs, strict=True):
        _kill_after(worker, output, lines)
    return [call for output in outputs for call in _acknowledged(output.read_text())]


@pytest.mark.parametrize(
    "kills", [(3, 24), pytest.param((3, 10, 17, 24, 31), marks=pytest.mark.exhaustive)], ids=str
)
async def test_what_was_acknowledged_survives_the_kill_of_the_process(path, recount, kills):
    """Killed at any moment: the file is whole, and no acknowledged call is missing."""
    await _fund(path)
    acknowledged: list[tuple[str, str]] = []
    for lines in kills:
        acknowledged += _kill_two_at_work(path, f"k{lines}", lines)
        found = recount()
        assert found.total == 500
        _assert_each_done_once(found, acknowledged)
    async with SqliteCredits(path) as service:
        audit = await service.verify()
        assert (audit.ok, audit.sums.total) == (True, 500)
    assert len(acknowledged) >= 2 * sum(kills)


def _page(number: int) -> object:
    marks = [pytest.mark.exhaustive] if number % 3 else []
    return pytest.param(4096 * number, marks=marks)


@pytest.mark.parametrize("extra", [_page(number) for number in range(7)])
async def test_a_disk_that_is_full_loses_nothing(path, recount, extra):
    """The kernel refuses one page of a commit or the next; the same id then settles the call."""
    process = _start("ledger_on_a_full_disk.py", path, 250_000 + extra)
    calls = _finish(process)
    assert len(calls) >= 5
    errors = [name for kind, name in calls if kind == "error"]
    acknowledged = [call for call in calls if call[0] == "top_up"]
    assert errors in (["CommitUnknownError"], ["PaymentError"])
    _assert_each_done_once(recount(), acknowledged)
    assert recount().balances["alice"] == len(acknowledged)
