"""The pytest plugin: fixtures for programs that use bounties, and faults by the names of steps.

Pytest loads it by itself wherever nexus-bounty is installed; with the extra `testing` it has all
that the fixtures need. A test of one's own code against a claim whose answer is lost:

    @pytest.mark.nexus_fault("commit of claim", "answer lost")
    async def test_my_agent_works_although_the_answer_is_lost(operations, open_bounty):
        assert (await my_agent(operations)).status == "claimed"

- `mock_nexus`: a `MockNexus` in this process, empty. Inject faults into it, count its requests, and
  read what was really applied from its log.
- `nexus_client`: a `NexusClient` connected to `mock_nexus`; repeats do not wait.
- `bounty_store`, `claim_store`: on `nexus_client`, in a zone of their own.
- `credits`: a ledger in memory, in which the creator of `make_bounty()` has 1,000.
- `contribution_store`: knows `cid-1`, which `make_agent()` has delivered.
- `operations`: `BountyOperations` on all of these.
- `open_bounty`: the bounty of `make_bounty()`, posted.
- `nexus_faults`: the names of all steps that came (`.seen`), and the faults that are planned.

`sync_nexus_client`, `sync_bounty_store`, `sync_claim_store`, `sync_contribution_store`,
`sync_credits`, `sync_operations` and `sync_open_bounty` are the same for code that does not await.

`nexus_fault(step, kind, *, times=1, …)` makes a step fail: which names there are is told in
`nexus_bounty.testing.steps`, and the kinds in `help(nexus_bounty.mock.FaultKind)`. A fault whose
step never comes is an error, which names the steps that came. `parametrize_faults` of
`nexus_bounty.testing` runs a test for every step x every kind.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pluggy import Result

PASSED = pytest.StashKey[bool]()
"""Whether a test got to its end."""
_MARK = (
    "nexus_fault(step, kind, *, times=1, ...): make a step of an operation on mock_nexus fail, "
    'such as nexus_fault("commit of claim", "answer lost")'
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known, and the fixtures: those that are awaited need pytest-asyncio."""
    from nexus_bounty.testing import fixtures

    config.addinivalue_line("markers", _MARK)
    config.pluginmanager.register(fixtures, "nexus_bounty_fixtures")
    if config.pluginmanager.has_plugin("asyncio"):
        from nexus_bounty.testing import async_fixtures

        config.pluginmanager.register(async_fixtures, "nexus_bounty_async_fixtures")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a fault that nothing would carry out."""
    if item.get_closest_marker("nexus_fault") is None:
        return
    if "nexus_faults" not in getattr(item, "fixturenames", ()):
        pytest.fail(
            "nexus_fault needs a test that uses mock_nexus, or what is on it", pytrace=False
        )


# the old kind of wrapper: this is loaded wherever the library is, by older releases of pytest, too
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Result[None], None]:
    """Note that the test got to its end."""
    ended = yield
    if ended.excinfo is None:
        item.stash[PASSED] = True
