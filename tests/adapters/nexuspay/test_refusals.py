"""Where credits would not be safe they are refused, with the reason, before any could move."""

from __future__ import annotations

import httpx
import pytest

from nexus_bounty.mock import MockNexus
from nexus_bounty.outcomes import (
    CommitUnknownError,
    InsufficientCreditsError,
    Outcome,
    PaymentError,
    Proof,
    UnsupportedServerError,
)
from nexus_bounty.testing.virtual_time import run
from nexus_bounty_nexuspay import UnsupportedNexusPayError
from nexus_bounty_nexuspay.transfer_log import FIRST_PAGE, MOST_PAID
from tests.adapters.nexuspay.truth import KEY, RELEASES, Truth, credits_on
from tests.support.transports import Lying, Saying

NO_RECORDS = {"detail": "Payment service not available (no record store)"}


async def refusal_of(transport: httpx.AsyncBaseTransport) -> UnsupportedNexusPayError:
    """What a reservation is refused with; opening is refused for the same reason."""
    service = credits_on(MockNexus(), transport=transport)
    with pytest.raises(UnsupportedNexusPayError) as refused:
        await service.reserve("r", account="alice", amount=1)
    with pytest.raises(UnsupportedNexusPayError) as at_once:
        await service.__aenter__()
    await service.close()
    assert at_once.value.message == refused.value.message
    assert isinstance(refused.value, UnsupportedServerError)
    assert refused.value.outcome is Outcome.PRE_COMMIT
    assert (refused.value.operation, refused.value.idempotency_key) == ("reserve", "r")
    assert "sqlite:///" in str(refused.value)
    return refused.value


@pytest.mark.parametrize("release", ["0.5.6", "0.7.0"])
def test_a_release_without_nexuspay_is_refused(release: str) -> None:
    """The message says from which release on there is one."""
    mock = MockNexus(release)
    refused = run(refusal_of(mock.transport()))
    assert "no list of transfers" in refused.message
    assert "0.9.18" in refused.message
    assert all(each.verb == "GET" for each in mock.requests)


def test_a_server_without_a_record_store_is_refused_without_patience() -> None:
    """It will not have one a moment later; the message says what to set."""
    server = Saying(503, NO_RECORDS)
    refused = run(refusal_of(server))
    assert "NEXUS_RECORD_STORE_PATH" in refused.message
    assert len(server.asked) == 2  # one for each call


def test_a_ledger_in_tigerbeetle_is_refused() -> None:
    """It is told by what it can afford, without moving anything."""
    server = Saying(200, {"can_afford": False, "amount": "999999999.00"})
    refused = run(refusal_of(server))
    assert "TigerBeetle" in refused.message
    assert set(server.asked) == {"GET /api/v2/pay/can-afford?amount=999999999"}


def test_a_server_that_keeps_nothing_it_acknowledges_is_refused() -> None:
    """As where a database takes no name as long as an entry's."""
    mock = MockNexus("0.9", pay_loss_rate=1.0)
    refused = run(refusal_of(mock.transport()))
    assert "acknowledged 64 transfers" in refused.message
    assert Truth(mock).taken == 0


def test_reading_an_unsafe_server_is_no_proof_of_anything() -> None:
    """A reservation that cannot be looked up must not pass for one that was not made."""
    service = credits_on(MockNexus("0.7.0"))
    with pytest.raises(CommitUnknownError, match="no list of transfers"):
        run(service.get_reservation("r"))


@pytest.mark.parametrize("release", RELEASES)
def test_a_top_up_is_refused_where_the_server_has_not_got_the_credits(release: str) -> None:
    """NexusPay itself would let the account go below zero."""

    async def main() -> None:
        mock = MockNexus(release, api_key=KEY)
        async with credits_on(mock) as service:
            await service.top_up("most", account="alice", amount=999_999)
            with pytest.raises(InsufficientCreditsError) as refused:
                await service.top_up("more", account="alice", amount=2)
            available = 1 if release == "0.9" else 0  # entries cost a millionth there
            assert (refused.value.available, refused.value.required) == (available, 2)
            assert Truth(mock).issued == Truth(mock).deposited == 999_999

    run(main())


def test_a_wrong_api_key_is_a_refusal_of_the_payment() -> None:
    """Definite, at once, and without the key."""
    mock = MockNexus("0.10", api_key=KEY)

    async def main() -> PaymentError:
        service = credits_on(mock, api_key="sk-wrong")
        with pytest.raises(PaymentError) as refused:
            await service.reserve("r", account="alice", amount=1)
        await service.close()
        return refused.value

    refused = run(main())
    assert refused.evidence.proof is Proof.REFUSED
    assert "not authenticated" in str(refused)
    assert "sk-wrong" not in refused.to_json()
    assert len(mock.requests) == 1


def test_a_list_that_hides_an_error_behind_emptiness_is_not_believed() -> None:
    """NexusPay answers 200 and an empty list when its query fails."""
    empty = {"transactions": [], "limit": 8, "has_more": False, "total": 0, "next_cursor": None}
    failing = False

    async def main() -> None:
        nonlocal failing
        mock = MockNexus("0.9")
        transport = Lying(mock, "/transactions", lambda told: empty if failing else told)
        async with credits_on(mock, transport=transport) as service:
            await service.top_up("t", account="alice", amount=5)
            failing = True
            with pytest.raises(CommitUnknownError, match="shows less than the 2 transfers known"):
                await service.balance("alice")
            with pytest.raises(PaymentError) as refused:
                await service.reserve("r", account="alice", amount=1)
            assert refused.value.evidence.proof is Proof.NEVER_SENT
            failing = False
            assert (await service.balance("alice")).available == 5

    run(main())


def test_a_list_that_is_empty_at_first_sight_does_not_start_a_second_ledger() -> None:
    """The first entry is written once; whoever thinks it was not there finds that it was."""
    empty = {"transactions": [], "limit": 1000, "has_more": False, "total": 0, "next_cursor": None}
    answers = 0

    def change(told):
        nonlocal answers
        answers += 1
        return empty if answers == 1 else told

    async def main() -> None:
        mock = MockNexus("0.9")
        async with credits_on(mock) as service:
            await service.top_up("t", account="alice", amount=5)
        transport = Lying(mock, "/transactions", change)
        async with credits_on(mock, transport=transport) as other:
            assert (await other.balance("alice")).available == 5
            await other.reserve("r", account="alice", amount=5)
        assert Truth(mock).balances["system:escrow:alice"] == 5

    run(main())


def test_a_page_that_hides_an_error_behind_emptiness_is_asked_for_again() -> None:
    """What it would have shown must not be passed over."""
    hidden: list[object] = []

    def change(told):
        if told["limit"] != FIRST_PAGE * 8 or hidden:  # the second page of a look, once
            return told
        hidden.append(told)
        return {**told, "transactions": [], "total": 0, "next_cursor": None}

    async def main() -> None:
        mock = MockNexus("0.9")
        transport = Lying(mock, "/transactions", change)
        async with credits_on(mock, transport=transport) as reader, credits_on(mock) as writer:
            await reader.top_up("funds", account="alice", amount=40)
            for number in range(FIRST_PAGE + 2):
                name = f"t{number}"
                await writer.transfer(name, from_account="alice", to_account="bob", amount=1)
            assert (await reader.balance("bob")).available == FIRST_PAGE + 2
            assert hidden

    run(main())


def test_credits_are_not_sent_for_ever_to_a_server_whose_list_stands_still() -> None:
    """As where a cache answers in its place: every transfer is acknowledged, and none is shown."""
    still: dict[str, object] = {}

    def change(told):
        return still.setdefault("answer", told) if "stands" in still else told

    async def main() -> None:
        mock = MockNexus("0.9")
        transport = Lying(mock, "/transactions", change)
        async with credits_on(mock, transport=transport) as service:
            await service.top_up("funds", account="alice", amount=40)
            still["stands"] = True
            with pytest.raises(CommitUnknownError):
                await service.top_up("more", account="alice", amount=1)
            still.clear()
            truth = Truth(mock)
            assert (truth.taken, truth.count("top_up", "more")) == (40 + MOST_PAID, 1)
            await service.top_up("more", account="alice", amount=1)
            assert await service.unassigned() == MOST_PAID - 1
            assert (await service.balance("alice")).available == 41

    run(main())
