"""Calls that come while a transaction commits: who shares the next, and who is told what."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from nexus_bounty.outcomes import CommitUnknownError, PaymentError
from nexus_bounty_postgres.shared_transactions import MOST, SharedTransactions
from nexus_bounty_postgres.transaction import Refused


class Commits:
    """Commits that wait until they may go on, and what they were about."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.begun = threading.Event()
        self.may_go_on = threading.Event()
        self.failing: dict[Any, BaseException] = {}

    def __call__(self, works: Sequence[Any]) -> list[Any]:
        self.groups.append(list(works))
        self.begun.set()
        self.may_go_on.wait(10)
        for work in works:
            if work in self.failing:
                raise self.failing[work]
        return [f"done {work}" for work in works]


@pytest.fixture
def commits():
    return Commits()


@pytest.fixture
async def shared(commits):
    shared = SharedTransactions(commits)
    yield shared
    commits.may_go_on.set()
    await asyncio.to_thread(shared.close)


async def begin(shared: Any, commits: Commits, *works: Any) -> list[asyncio.Task[Any]]:
    """Let the first be in its transaction, and the others wait."""
    first = asyncio.create_task(shared.run(works[0]))
    await asyncio.to_thread(commits.begun.wait, 10)
    others = [asyncio.create_task(shared.run(work)) for work in works[1:]]
    await asyncio.sleep(0)
    return [first, *others]


async def test_who_waits_shares_the_next_transaction(shared, commits):
    """In the order in which they came, and not too many of them."""
    calls = await begin(shared, commits, *range(MOST + 3))
    commits.may_go_on.set()
    assert await asyncio.gather(*calls) == [f"done {number}" for number in range(MOST + 3)]
    assert commits.groups == [[0], list(range(1, MOST + 1)), [MOST + 1, MOST + 2]]


async def test_who_is_cancelled_while_it_waits_never_runs(shared, commits):
    """Who has begun runs to its end."""
    first, second, third = await begin(shared, commits, 1, 2, 3)
    first.cancel()
    second.cancel()
    await asyncio.sleep(0)
    commits.may_go_on.set()
    assert await third == "done 3"
    assert commits.groups == [[1], [3]]


async def test_one_that_fails_takes_nothing_from_the_others(shared, commits):
    """Undone for all of them, each is tried alone."""
    commits.failing = {2: PaymentError("not you")}
    first, second, third = await begin(shared, commits, 1, 2, 3)
    commits.may_go_on.set()
    assert [await first, await third] == ["done 1", "done 3"]
    with pytest.raises(PaymentError, match="not you"):
        await second
    assert commits.groups == [[1], [2, 3], [2], [3]]


async def test_nobody_is_tried_again_after_a_doubt(shared, commits):
    """Each is told of it by an error of its own, which says what it was about."""
    doubt = CommitUnknownError("who knows")
    doubt.__cause__ = OSError("lost")
    commits.failing = {2: doubt}
    _, *calls = await begin(shared, commits, 1, 2, 3)
    commits.may_go_on.set()
    told: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    assert [each.message for each in told] == ["who knows", "who knows"]
    assert [each.__cause__ for each in told] == [doubt.__cause__] * 2
    assert told[0] is not told[1]
    assert commits.groups == [[1], [2, 3]]


async def test_a_refusal_is_for_whom_it_concerns():
    """The others have been committed."""
    shared: Any = SharedTransactions(lambda works: [Refused(PaymentError("no")), *works[1:]])
    with pytest.raises(PaymentError, match="no"):
        await shared.run(1)
    await asyncio.to_thread(shared.close)


def test_whose_event_loop_is_gone_is_not_told(commits):
    """And keeps nobody else from being told."""
    shared: Any = SharedTransactions(commits)
    loop = asyncio.new_event_loop()
    gone = loop.create_task(shared.run(1))
    loop.run_until_complete(asyncio.to_thread(commits.begun.wait, 10))
    gone._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    commits.may_go_on.set()
    assert asyncio.run(shared.run(2)) == "done 2"
    shared.close()


def test_two_event_loops_are_served_at_once(commits):
    """Each caller is told in its own: the thread waits, not their loops."""
    shared: Any = SharedTransactions(commits)
    told: list[str] = []
    callers = [
        threading.Thread(target=lambda work=work: told.append(asyncio.run(shared.run(work))))
        for work in range(4)
    ]
    for each in callers:
        each.start()
    assert commits.begun.wait(10)
    commits.may_go_on.set()
    for each in callers:
        each.join(10)
    assert sorted(told) == [f"done {work}" for work in range(4)]
    shared.close()


_FORGETS_TO_CLOSE = """
import asyncio, time
from nexus_bounty_postgres.shared_transactions import SharedTransactions

def commit(works):
    time.sleep(0.2)
    print("committed", flush=True)
    return works

async def main(shared):
    call = asyncio.create_task(shared.run(1))
    await asyncio.sleep(0.05)

shared = SharedTransactions(commit)
asyncio.run(main(shared))
"""


def test_a_process_that_forgets_to_close_it_ends():
    """And finishes what has begun, though nobody waits for it any more."""
    run = [sys.executable, "-c", _FORGETS_TO_CLOSE]
    ended = subprocess.run(run, capture_output=True, check=True, timeout=20)
    assert ended.stdout == b"committed\n"
    assert ended.stderr == b""
