"""The pytest plugin gives users' tests a server, a client and a store."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

USERS_TESTS = """
    import pytest
    from nexus_bounty import BountyStatus
    from nexus_bounty.testing.bounties_suite import BountyStoreContract
    from nexus_bounty.testing.builders import make_agent, make_bounty

    @pytest.mark.asyncio
    async def test_a_store_on_a_mock(bounty_store, mock_nexus):
        await bounty_store.create_bounty(make_bounty())
        claimed = await bounty_store.claim_bounty("b-1", make_agent(), "c-1")
        assert claimed.status is BountyStatus.CLAIMED
        assert mock_nexus.log

    @pytest.mark.asyncio
    async def test_the_next_test_starts_on_an_empty_server(bounty_store, nexus_client, mock_nexus):
        assert await bounty_store.list_bounties() == []
        assert mock_nexus.request_count == nexus_client.requests_sent

    class TestMine(BountyStoreContract):
        @pytest.fixture
        def store(self):
            return object()
"""


def plugin(config: pytest.Config) -> list[str]:
    """What loads the plugin, where it is not installed with an entry point."""
    installed = config.pluginmanager.has_plugin("nexus_bounty")
    return [] if installed else ["-p", "nexus_bounty.testing.plugin"]


def test_users_get_a_store_and_see_what_the_suites_saw(pytester, pytestconfig):
    """Also in strict mode; a failing suite shows values, as a test of the user's own does."""
    pytester.makepyfile(USERS_TESTS)
    arguments = ["-p", "pytest_asyncio", *plugin(pytestconfig), "--asyncio-mode=strict"]
    chosen = "on_a_mock or empty_server or it_is_a_bounty_store"
    result = pytester.runpytest_subprocess(*arguments, "-k", chosen)
    result.assert_outcomes(passed=2, failed=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["E*assert False", "E*where False = isinstance(*object*"])
