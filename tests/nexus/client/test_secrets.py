"""The API key is in the request and nowhere else."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback
from collections.abc import Callable

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from nexus_bounty import NexusBountyStore, OutcomeError
from nexus_bounty.mock import MockNexus, running
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.settings import NexusSettings
from tests.support.clients import URL, client_of, quick
from tests.support.sockets import raw_server, read_request

KEY = "sk-very-secret"
PASSWORD = "pass-word"

Answer = Callable[[str], httpx.Response]

ECHOES: dict[str, Answer] = {
    "detail": lambda key: httpx.Response(401, json={"detail": f"no such key: {key}"}),
    "nested detail": lambda key: httpx.Response(422, json={"detail": [{"input": [key]}]}),
    "plain text": lambda key: httpx.Response(500, text=f"Authorization: {key}\n\n at line 1"),
    "html": lambda key: httpx.Response(502, text=f"<html>{key}</html>"),
    "json rpc error": lambda key: httpx.Response(
        200, json={"error": {"code": -32003, "message": f"denied to {key}"}}
    ),
    "gateway error": lambda key: httpx.Response(200, json={"error": f"{key} is limited"}),
    "no json": lambda key: httpx.Response(200, text=f"hello {key}"),
    "no result": lambda key: httpx.Response(200, json={"hello": key}),
    "wrong result": lambda key: httpx.Response(200, json={"result": {"exists": key}}),
    "at the cut": lambda key: httpx.Response(500, text="x" * 190 + key),
}


def echoing(answer: Answer, key: str = KEY) -> NexusClient:
    """A client of a server that says in its answer what key it was given."""

    async def handle(request: httpx.Request) -> httpx.Response:
        return answer(request.headers["authorization"])

    transport = httpx.MockTransport(handle)
    return NexusClient(URL, api_key=key, settings=quick(retry_attempts=2), transport=transport)


async def failing(client: NexusClient) -> NexusError:
    with pytest.raises(NexusError) as caught:
        await client.exists("/a")
    return caught.value


def everything_said(error: BaseException) -> str:
    """All that people, logs and other processes get to see of an error."""
    shown = [str(error), repr(error), "".join(traceback.format_exception(error))]
    again = pickle.loads(pickle.dumps(error))
    return "\n".join([*shown, str(again), repr(again), repr(vars(error))])


@pytest.mark.parametrize("answer", ECHOES.values(), ids=ECHOES)
async def test_no_error_repeats_a_key_that_the_server_echoes(
    answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in its text, its repr, its traceback, its pickle or the log."""
    caplog.set_level(logging.DEBUG)
    error = await failing(echoing(answer))
    assert KEY[:8] not in everything_said(error)
    assert KEY not in caplog.text


async def test_no_error_repeats_a_key_in_the_escapes_of_json() -> None:
    """A raw JSON body spells some characters differently."""
    error = await failing(echoing(ECHOES["no result"], key='sk"very\\secret'))
    assert "very" not in str(error)


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
@pytest.mark.parametrize("key", [KEY, 'sk"very-secret', "sk\\very-secret"])
async def test_no_traceback_repeats_a_key_that_is_echoed_outside_http(
    key: str, transport: str
) -> None:
    """The parser quotes the line that it cannot read, and the key may be in it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        [line] = [each for each in request.split(b"\r\n") if key.encode() in each]
        writer.write(b"HTTP/1.1 BAD " + line + b"\r\n\r\n")
        await writer.drain()

    async with (
        raw_server(echo) as url,
        NexusClient(
            url, api_key=key, settings=quick(retry_attempts=1, transport=transport)
        ) as client,
    ):
        error = await failing(client)
    assert "status" in str(error)
    assert "very" not in str(error)
    assert "very" not in everything_said(error)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\n", f" {KEY}\t"])
async def test_white_space_around_a_key_is_not_part_of_it(key: str) -> None:
    """As it comes out of many a secrets file."""
    async with (
        running(MockNexus("0.10", api_key=KEY)) as url,
        NexusClient(url, api_key=key, settings=quick(retry_attempts=1)) as client,
    ):
        assert await client.exists("/a") is False


@pytest.mark.parametrize("key", [f"{KEY}-ключ", f"{KEY}\r\nx: y", f"{KEY}\0", f"{KEY}\x7f"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_printed(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it comes from, what says so does not quote it."""
    with pytest.raises(ValidationError, match="api_key") as caught:
        NexusClient(URL, api_key=key)
    assert KEY not in everything_said(caught.value)
    monkeypatch.setenv("NEXUS_API_KEY", key.replace("\0", "\1"))
    with pytest.raises(ValidationError, match="api_key") as caught:
        NexusClient(URL)
    assert KEY not in everything_said(caught.value)


@pytest.mark.parametrize("key", ["", " \r\n"])
async def test_an_empty_key_is_no_key(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`NEXUS_API_KEY=` in an environment file means that there is none."""
    monkeypatch.setenv("NEXUS_API_KEY", key)
    mock = MockNexus("0.10")
    async with (
        running(mock) as url,
        NexusClient(url, settings=NexusSettings(retry_attempts=1)) as client,
    ):
        assert await client.exists("/a") is False
    assert mock.requests[0].header(b"authorization") is None


@pytest.mark.parametrize(
    "key",
    [
        "",
        " ",
    ],
)
async def test_an_empty_key_that_is_given_is_not_replaced_by_another(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key in the environment may be for another server."""
    monkeypatch.setenv("NEXUS_API_KEY", KEY)
    mock = MockNexus("0.10")
    async with NexusClient(URL, api_key=key, transport=mock.transport()) as client:
        await client.exists("/a")
    assert mock.requests[0].header(b"authorization") is None


@pytest.mark.parametrize(
    ("transport", "heard"), [("httpx", {"httpcore.http11"}), ("aiohttp", set())]
)
async def test_nothing_in_the_log_has_the_key_at_any_level(
    transport: str, heard: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Also with everything that the libraries below have to say."""
    caplog.set_level(logging.DEBUG)
    for name in ("nexus_bounty", "httpx", "httpcore", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    mock = MockNexus("0.10", api_key=KEY)
    async with (
        running(mock) as url,
        NexusClient(url, api_key=KEY, settings=quick(transport=transport)) as client,
    ):
        await client.write("/a", b"1")
        await client.list("/")
    assert mock.requests[0].header(b"authorization") == f"Bearer {KEY}".encode()
    assert {"nexus_bounty", *heard} <= {record.name for record in caplog.records}
    assert KEY not in caplog.text


def test_no_repr_shows_the_key() -> None:
    """Of the client, its settings, or whatever hangs on them."""
    client = NexusClient(URL, api_key=KEY)
    shown = [client, client.settings, vars(client), NexusSettings(api_key=SecretStr(KEY))]
    assert not [each for each in shown if KEY in repr(each) or KEY in str(each)]
    assert KEY not in client.settings.model_dump_json()


def test_a_complaint_about_other_settings_does_not_show_the_key() -> None:
    """Only what is wrong is quoted."""
    with pytest.raises(ValidationError) as caught:
        NexusSettings(api_key=SecretStr(KEY), max_connections=0)
    assert KEY not in everything_said(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{PASSWORD}@host:99/nexus",
        f"HTTPS://:{PASSWORD}@host",
        f"http://{PASSWORD}@host",
        f" http://user:{PASSWORD}@host",
        f"user:{PASSWORD}@host:99",
        f"//user:{PASSWORD}@host",
        f"http:///user:{PASSWORD}@host",
    ],
)
def test_a_url_that_holds_credentials_is_refused_and_not_printed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it comes from: it would be in logs and reprs, and take the place of the key."""
    monkeypatch.setenv("NEXUS_URL", "http://host")
    for make in (lambda: NexusClient(url, api_key=KEY), lambda: NexusSettings(url=url)):
        with pytest.raises(ValidationError, match="url") as caught:
            make()
        assert PASSWORD not in everything_said(caught.value)
    monkeypatch.setenv("NEXUS_URL", url)
    with pytest.raises(ValidationError, match="url") as caught:
        NexusClient()
    assert PASSWORD not in everything_said(caught.value)


def test_a_url_may_have_an_at_sign_where_it_is_no_credential() -> None:
    """And the repr of a client has the whole URL."""
    assert repr(NexusClient("http://host:99/a@b")) == "NexusClient(http://host:99/a@b)"


async def test_the_error_of_a_store_does_not_repeat_a_key_that_the_server_echoes() -> None:
    """Evidence quotes answers: redacted ones."""
    store = NexusBountyStore(echoing(ECHOES["detail"]))
    with pytest.raises(OutcomeError) as caught:
        await store.cancel_bounty("b1")
    assert "***" in caught.value.to_json()
    assert KEY not in everything_said(caught.value)
    assert KEY not in json.dumps(caught.value.details())


async def test_errors_cross_processes_whole() -> None:
    """Every field of a NexusError survives pickling."""
    error = await failing(client_of(MockNexus("0.10", api_key=KEY)))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is NexusError
    assert vars(again) == vars(error)
    assert str(again) == str(error)
