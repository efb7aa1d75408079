"""Credits on NexusPay are chosen by URL, and no key is shown by anything."""

from __future__ import annotations

import logging

import pytest
from pydantic import ValidationError

from nexus_bounty.mock import MockNexus
from nexus_bounty.outcomes import InvalidInputError, PaymentError
from nexus_bounty.registry import open_credits
from nexus_bounty_nexuspay import NexusPayCredits
from tests.adapters.nexuspay.truth import KEY, PATIENT, credits_on

SECRET = "sk-very-secret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nexuspay://host", "NexusPayCredits('http://host', ledger='default')"),
        ("nexuspay+http://host:2026/", "NexusPayCredits('http://host:2026', ledger='default')"),
        ("nexuspay+https://host/team", "NexusPayCredits('https://host', ledger='team')"),
        ("nexuspay+http://[::1]:1/a%20b", "NexusPayCredits('http://[::1]:1', ledger='a b')"),
    ],
)
async def test_the_url_names_the_server_and_the_ledger(url: str, shown: str) -> None:
    """The installed package registers all three schemes."""
    service = open_credits(url, api_key=KEY, settings=PATIENT)
    assert isinstance(service, NexusPayCredits)
    assert repr(service) == shown
    await service.close()


@pytest.mark.parametrize(
    "url",
    [
        "nexuspay+http:",
        "nexuspay+http:///ledger",
        f"nexuspay+http://user:{SECRET}@host",
        f"nexuspay+http://host/{SECRET}/more",
        f"nexuspay+http://host?key={SECRET}",
        f"nexuspay+http://host#{SECRET}",
        f"nexuspay+http://host:{SECRET}",
        f"nexuspay+http://[{SECRET}",
        f"nexuspay+http://host/{SECRET} x",
    ],
)
def test_a_url_that_names_something_else_is_refused_without_showing_it(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(InvalidInputError) as refused:
        open_credits(url)
    assert SECRET not in refused.value.to_json()


@pytest.mark.parametrize("ledger", ["", "a:b", "a/b", "new\nline"])
def test_a_name_that_could_be_taken_for_another_ledgers_is_refused(ledger: str) -> None:
    """Entries are told apart by the start of a name."""
    with pytest.raises(InvalidInputError, match="ledger"):
        NexusPayCredits("http://host", ledger=ledger)


def test_a_url_with_credentials_is_refused_by_the_class_too() -> None:
    """They would be in logs and reprs."""
    with pytest.raises(ValidationError) as refused:
        NexusPayCredits(f"http://user:{SECRET}@host")
    assert SECRET not in str(refused.value)


async def test_the_api_key_is_sent_and_never_shown(caplog) -> None:
    """Neither by errors, logs nor reprs, even where the server repeats it."""
    caplog.set_level(logging.DEBUG)
    mock = MockNexus("0.10", api_key=SECRET)
    async with credits_on(mock, api_key=SECRET) as service:
        await service.top_up("t", account="alice", amount=1)
        with pytest.raises(PaymentError) as refused:
            await service.capture("none", to_account="bob")
        assert SECRET not in repr(service) + refused.value.to_json() + caplog.text
    assert "the ledger is on NexusPay 0.10.1 or later" in caplog.text


async def test_the_key_is_taken_from_the_environment(monkeypatch) -> None:
    """As for everything else on the server; the command line sets it."""
    monkeypatch.setenv("NEXUS_API_KEY", SECRET)
    mock = MockNexus("0.10", api_key=SECRET)
    async with NexusPayCredits("http://nexus", transport=mock.transport()) as service:
        assert (await service.balance("alice")).available == 0


async def test_a_closed_service_sends_nothing() -> None:
    """And says so."""
    mock = MockNexus("0.9")
    async with credits_on(mock) as service:
        pass
    sent = len(mock.requests)
    with pytest.raises(PaymentError, match="client closed"):
        await service.reserve("r", account="alice", amount=1)
    assert len(mock.requests) == sent
