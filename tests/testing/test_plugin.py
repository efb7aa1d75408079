"""The pytest plugin gives users' tests a server, a client and a store."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

LOADED = (
    *("-p", "pytest_asyncio", "-p", "nexus_bounty.testing.plugin"),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
)
"""Also where neither is installed with its entry point; nothing is loaded twice."""

USERS_TESTS = """
    import pytest
    from nexus_bounty import BountyStatus
    from nexus_bounty.testing import BountyStoreContract, make_agent, make_bounty

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

    @pytest.mark.asyncio
    async def test_operations_move_money(operations, open_bounty, credits, claim_store):
        claim = (await operations.claim("b-1", make_agent())).claim
        assert await claim_store.get(claim.claim_id) == claim
        await operations.settle("b-1", "cid-1")
        assert (await credits.balance("alice")).available == 100
        assert (await credits.balance("creator")).available == 900

    def test_without_await(sync_operations, sync_open_bounty, sync_credits, sync_claim_store):
        claim = sync_operations.claim("b-1", make_agent()).claim
        assert sync_claim_store.get(claim.claim_id) == claim
        sync_operations.settle("b-1", "cid-1")
        assert sync_credits.balance("alice").available == 100

    class TestMine(BountyStoreContract):
        @pytest.fixture
        def store(self):
            return object()
"""

LOST = """
    import pytest
    from nexus_bounty import CommitUnknownError, PaymentError
    from nexus_bounty.mock import FaultKind
    from nexus_bounty.testing import make_agent, make_bounty

    async def my_agent(operations):
        return (await operations.claim("b-1", make_agent())).bounty

    @pytest.mark.nexus_fault("commit of claim", "answer lost")
    async def test_a_lost_claim_is_a_claim(operations, open_bounty):
        assert (await my_agent(operations)).status == "claimed"

    @pytest.mark.nexus_fault("commit of claim", FaultKind.STATUS_AFTER, status=502, times=2)
    @pytest.mark.nexus_fault("capture of settle", "answer lost")
    async def test_several(operations, open_bounty, nexus_faults, credits):
        await my_agent(operations)
        await operations.settle("b-1", "cid-1")
        assert "capture of settle #2" in nexus_faults.seen
        assert (await credits.balance("alice")).available == 100

    @pytest.mark.nexus_fault("commit of settle #2", "answer lost")
    async def test_the_second_commit_of_one_operation(operations, open_bounty, nexus_faults):
        await my_agent(operations)
        assert (await operations.settle("b-1", "cid-1")).bounty.status == "settled"
        assert nexus_faults.seen.count("read of settle") == 1

    @pytest.mark.nexus_fault("commit of claim_bounty", "answer lost")
    async def test_a_store_alone(bounty_store):
        await bounty_store.create_bounty(make_bounty())
        assert (await bounty_store.claim_bounty("b-1", make_agent(), "c")).status == "claimed"

    @pytest.mark.nexus_fault("commit of claim", "answer lost")
    def test_without_await(sync_operations, sync_open_bounty, nexus_faults):
        assert sync_operations.claim("b-1", make_agent()).bounty.status == "claimed"
        assert nexus_faults.missed == []

    @pytest.mark.nexus_fault("reserve of create", "refused")
    async def test_a_ledger_that_refuses(operations):
        with pytest.raises(PaymentError):
            await operations.create(make_bounty())

    @pytest.mark.nexus_fault("commit of claim", "request lost", times=None)
    @pytest.mark.nexus_fault("read of claim", "no answer", times=None)
    async def test_an_unknown_outcome(operations, open_bounty, mock_nexus):
        with pytest.raises(CommitUnknownError) as unknown:
            await my_agent(operations)
        mock_nexus.clear_faults()
        key = unknown.value.idempotency_key
        assert (await operations.claim("b-1", make_agent(), idempotency_key=key)).done
"""

WRONG = """
    import pytest

    @pytest.mark.nexus_fault("commit of clam", "answer lost")
    async def test_a_step_that_never_comes(operations, open_bounty):
        pass

    @pytest.mark.nexus_fault("commit of create", "anser lost")
    async def test_no_such_kind(operations):
        pass

    @pytest.mark.nexus_fault("capture of settle", "garbage")
    async def test_no_such_kind_of_ledger(operations):
        pass

    @pytest.mark.nexus_fault("commit of create", "answer lost")
    async def test_nothing_to_fail():
        pass

    @pytest.mark.nexus_fault("commit of clam", "answer lost")
    async def test_one_that_fails_by_itself_says_only_that(operations, open_bounty):
        assert False
"""

EVERY = """
    import pytest
    from nexus_bounty import OutcomeError
    from nexus_bounty.testing import make_agent, parametrize_faults, steps_of

    async def posted(operations):
        from nexus_bounty.testing import make_bounty
        await operations.create(make_bounty())

    async def my_own(operations):
        await operations.claim("b-1", make_agent())
        await operations.release("b-1", make_agent())

    @parametrize_faults("claim")
    async def test_claim(operations, open_bounty, nexus_faults):
        try:
            bounty = (await operations.claim("b-1", make_agent())).bounty
        except OutcomeError as error:
            assert error.outcome == "pre_commit"
        else:
            assert bounty.status == "claimed"

    @parametrize_faults(my_own, kinds=["answer lost", "request lost"], after=[posted])
    async def test_own(operations, open_bounty):
        await my_own(operations)

    def test_what_is_tried():
        assert steps_of(my_own, after=[posted])[-3:] == [
            "marker of release", "commit of release", "lease of release"
        ]
        for wrong in ({"operation": "clam"}, {"operation": "claim", "kinds": ["nonsense"]}):
            with pytest.raises(ValueError):
                parametrize_faults(**wrong)
        async def strange(something): ...
        with pytest.raises(TypeError, match="takes something"):
            steps_of(strange)
        with pytest.raises(TypeError, match="no coroutine function"):
            steps_of(lambda: None)
"""

LAZY = """
    import sys

    def test_what_the_plugin_has_imported():
        heavy = {"httpx", "pydantic", "msgspec", "nexus_bounty.mock", "nexus_bounty.models"}
        assert "nexus_bounty.testing.plugin" in sys.modules
        assert heavy & set(sys.modules) == set()
"""


@pytest.fixture
def room(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project of a user's, in a process of its own."""
    return pytester


def test_users_get_a_store_and_see_what_the_suites_saw(room: pytest.Pytester) -> None:
    """Also in strict mode; a failing suite shows values, as a test of the user's own does."""
    room.makepyfile(USERS_TESTS)
    chosen = "on_a_mock or empty_server or move_money or without_await or it_is_a_bounty_store"
    result = room.runpytest_subprocess(*LOADED, "--asyncio-mode=strict", "-k", chosen)
    result.assert_outcomes(passed=4, failed=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["E*assert False", "E*where False = isinstance(*object*"])


def test_a_step_fails_as_its_mark_says(room: pytest.Pytester) -> None:
    """Requests and calls of the ledger, of operations and of a store alone, awaited or not."""
    room.makepyfile(LOST)
    result = room.runpytest_subprocess(*LOADED, "--asyncio-mode=auto", "--strict-markers")
    result.assert_outcomes(passed=7)


def test_a_mark_that_does_nothing_is_an_error(room: pytest.Pytester) -> None:
    """A name that no step has would make a test that tests nothing."""
    room.makepyfile(WRONG)
    result = room.runpytest_subprocess(*LOADED, "--asyncio-mode=auto")
    result.assert_outcomes(passed=1, failed=1, errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "*'answer lost' at 'commit of clam' never came; the steps were *commit of create, *",
            "*there is no fault 'anser lost': take one of connection refused, *answer lost*",
            "*the credits service can fail by refused, request lost, answer lost, not 'garbage'",
            "*nexus_fault needs a test that uses mock_nexus, or what is on it",
        ]
    )


@pytest.mark.thorough
def test_every_step_of_an_operation_fails_in_every_way(room: pytest.Pytester) -> None:
    """Of the library's operations, and of the user's own; a case can be chosen by its name."""
    room.makepyfile(EVERY)
    result = room.runpytest_subprocess(*LOADED, "--asyncio-mode=auto")
    claims, own = 4 * 16, 8 * 2
    result.assert_outcomes(passed=claims + own + 1)
    chosen = "commit-of-claim-answer-lost and test_claim"
    result = room.runpytest_subprocess(*LOADED, "--asyncio-mode=auto", "-k", chosen)
    result.assert_outcomes(passed=1, deselected=claims + own)


def test_a_project_that_does_not_use_it_does_not_pay_for_it(
    room: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading the plugin imports neither httpx nor pydantic, nor the library itself."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others may import them
    room.makepyfile(LAZY)
    result = room.runpytest_subprocess(*LOADED, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


def test_without_pytest_asyncio_what_is_not_awaited_is_there(room: pytest.Pytester) -> None:
    """A program that awaits nothing needs no plugin for it."""
    room.makepyfile(
        """
        import pytest
        from nexus_bounty.testing import make_agent

        @pytest.mark.nexus_fault("commit of claim", "answer lost")
        def test_without_await(sync_operations, sync_open_bounty):
            assert sync_operations.claim("b-1", make_agent()).bounty.status == "claimed"
        """
    )
    result = room.runpytest_subprocess(
        "-p", "no:asyncio", "-p", "nexus_bounty.testing.plugin", "--strict-markers"
    )
    result.assert_outcomes(passed=1)


@pytest.mark.thorough
def test_it_is_loaded_once_whoever_asks_for_it(room: pytest.Pytester) -> None:
    """By its entry point, `-p`, `pytest_plugins`, or all of them."""
    room.makeconftest('pytest_plugins = ["nexus_bounty.testing.plugin"]')
    room.makepyfile("def test_it(mock_nexus): assert not mock_nexus.log")
    for asked in ((), ("-p", "nexus_bounty.testing.plugin")):
        room.runpytest_subprocess(*asked).assert_outcomes(passed=1)


@pytest.mark.thorough
def test_the_marks_and_fixtures_explain_themselves(room: pytest.Pytester) -> None:
    """What `--markers` and `--fixtures` say."""
    shown = room.runpytest_subprocess(*LOADED, "--markers").stdout
    shown.fnmatch_lines(["@pytest.mark.nexus_fault(step, kind, *"])
    shown = room.runpytest_subprocess(*LOADED, "--fixtures").stdout
    for name in ("mock_nexus", "operations", "sync_operations", "open_bounty", "nexus_faults"):
        shown.fnmatch_lines([f"{name}*"])
