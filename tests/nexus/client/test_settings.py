"""Everything can be set by name or from the environment; nothing that is not known."""

from __future__ import annotations

import os
import ssl
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from nexus_bounty import NexusBountyStore
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.nexus.client.transport import trust

FROM_ENVIRONMENT = {
    "url": ("http://env:1", "http://env:1"),
    "api_key": ("sk-env", SecretStr("sk-env")),
    "zone_id": ("env-zone", "env-zone"),
    "connect_timeout": ("1.5", 1.5),
    "request_timeout": ("2", 2.0),
    "operation_timeout": ("3.25", 3.25),
    "queue_timeout": ("4.5", 4.5),
    "listing_timeout": ("5.5", 5.5),
    "max_answer_bytes": ("9", 9),
    "cleanup_delay": ("0.125", 0.125),
    "follow_at_once": ("true", True),
    "layout": ("dated", "dated"),
    "max_connections": ("4", 4),
    "max_requests_per_second": ("2.5", 2.5),
    "bulk_size": ("5", 5),
    "page_size": ("6", 6),
    "retry_attempts": ("7", 7),
    "retry_base": ("0", 0.0),
    "retry_cap": ("0.5", 0.5),
    "storage_encoding": ("base64", "base64"),
    "claim_shape": ("split", "split"),
    "signing_keys": ("k" * 43, (SecretStr("k" * 43),)),
    "transport": ("httpx", "httpx"),
    "max_document_bytes": ("8", 8),
    "tombstone_retention": ("PT48H", timedelta(hours=48)),
    "remembered_documents": ("0", 0),
    "remembered_dates": ("0", 0),
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("NEXUS_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", FROM_ENVIRONMENT)
def test_every_setting_is_read_from_its_variable(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`NEXUS_` and the name in capitals."""
    text, value = FROM_ENVIRONMENT[name]
    monkeypatch.setenv(f"NEXUS_{name.upper()}", text)
    assert getattr(NexusSettings(), name) == value


def test_no_setting_is_forgotten_here() -> None:
    """A new one needs a line above."""
    assert FROM_ENVIRONMENT.keys() == NexusSettings.model_fields.keys()


def test_an_argument_overrides_the_settings_and_they_override_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Argument, settings, environment, default: the first that is given."""
    for name in ("URL", "API_KEY", "ZONE_ID"):
        monkeypatch.setenv(f"NEXUS_{name}", f"env-{name}")
    settings = NexusSettings(url="http://settings", api_key=SecretStr("sk-settings"))
    client = NexusClient("http://argument", settings=settings)
    assert client.settings.url == "http://argument"
    assert client.settings.api_key == SecretStr("sk-settings")
    assert client.settings.zone_id == "env-ZONE_ID"
    assert client.settings.request_timeout == 10.0
    assert NexusClient().settings.url == "env-URL"
    assert NexusClient(api_key="sk-argument").settings.api_key == SecretStr("sk-argument")


def test_the_settings_given_to_a_client_stay_as_they_are() -> None:
    """Two clients may share them."""
    settings = NexusSettings(url="http://settings")
    NexusClient("http://argument", api_key="sk", settings=settings)
    assert settings.url == "http://settings"
    assert settings.api_key is None


def test_settings_do_not_change() -> None:
    """Frozen, because a client has drawn its conclusions from them."""
    with pytest.raises(ValidationError):
        NexusSettings().url = "http://other"


@pytest.mark.parametrize("name", ["bogus", "timeout", "apikey"])
def test_an_unknown_setting_is_refused(name: str) -> None:
    """A misspelt timeout would be no timeout."""
    given: dict[str, Any] = {name: 1}
    with pytest.raises(ValidationError) as caught:
        NexusSettings(**given)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connect_timeout", 0),
        ("request_timeout", -1),
        ("operation_timeout", "soon"),
        ("max_connections", 0),
        ("bulk_size", 0),
        ("page_size", 0),
        ("retry_attempts", 0),
        ("retry_base", -0.1),
        ("retry_cap", -1),
        ("storage_encoding", "gzip"),
        ("max_document_bytes", 0),
        ("remembered_documents", -1),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From wherever it comes."""
    given: dict[str, Any] = {name: value}
    with pytest.raises(ValidationError) as caught:
        NexusSettings(**given)
    assert name in str(caught.value)
    monkeypatch.setenv(f"NEXUS_{name.upper()}", str(value))
    with pytest.raises(ValidationError):
        NexusClient()


def test_the_zone_of_a_store_is_the_clients_unless_it_is_given() -> None:
    """`zone_id` is a setting like the others."""
    client = NexusClient(settings=NexusSettings(zone_id="z1"))
    assert NexusBountyStore(client).store_identity == "nexus:z1:bounties"
    assert NexusBountyStore(client, "z2").store_identity == "nexus:z2:bounties"


def test_a_client_is_made_without_an_event_loop() -> None:
    """At import time, say; it connects when it is used."""
    assert repr(NexusClient("http://host:99")) == "NexusClient(http://host:99)"


def test_only_a_client_of_https_reads_the_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading them takes longer than a request."""
    read: list[object] = []
    load = ssl.SSLContext.load_verify_locations

    def counted(context: ssl.SSLContext, *where: Any, **options: Any) -> None:
        read.append(context)
        load(context, *where, **options)

    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", counted)
    NexusClient("http://nexus.test", settings=NexusSettings(transport="httpx"))
    assert not read
    NexusClient("https://nexus.test", settings=NexusSettings(transport="httpx"))
    assert read


def test_a_client_of_plain_http_would_believe_nobody_over_tls() -> None:
    """No certificate is not read in order to believe every one."""
    trusted = trust("http://nexus.test")
    assert isinstance(trusted, ssl.SSLContext)
    assert trusted.verify_mode is ssl.CERT_REQUIRED
    assert trusted.check_hostname
    assert not trusted.get_ca_certs()
