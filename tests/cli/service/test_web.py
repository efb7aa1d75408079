"""Requests that may change something are steps: a stop waits for them, and refuses new ones."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from typing import Any

import httpx
import pytest

from nexus_bounty.cli.service import web
from nexus_bounty.cli.service.web import RequestSteps, serve_until_stopped
from nexus_bounty.outcomes import PlainError


class App:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked: list[str] = []
        self.is_asked = asyncio.Event()
        self.stopping: asyncio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["method"])
        self.is_asked.set()
        self.stopping = scope["state"]["stopping"]
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


async def begun(app: App) -> None:
    """Wait until a request has got to the app."""
    await asyncio.wait_for(app.is_asked.wait(), 10)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_stop_waits_for_what_may_change_something_and_refuses_the_rest(method: str) -> None:
    """Whoever is refused is told that nothing was done."""
    app = App()
    requests = RequestSteps(app)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(requests), base_url="http://here"
    ) as http:
        first = asyncio.create_task(http.request(method, "/"))
        await begun(app)
        requests.stopping.set()
        rest = asyncio.create_task(requests.steps.at_rest().__aenter__())
        refused = await http.request(method, "/")
        assert (refused.status_code, refused.json()["error"]) == (503, "stopping")
        assert "Nothing was done" in refused.json()["message"]
        await asyncio.sleep(0.01)
        assert not rest.done()
        app.may_answer.set()
        assert (await first).text == "done"
        await asyncio.wait_for(rest, 1)
    assert app.asked == [method]


POST = {"type": "http", "method": "POST"}


async def refusal(requests: RequestSteps, *messages: dict[str, Any]) -> int | None:
    """The status that a request is refused with of which only `messages` arrive."""
    sent: list[Any] = []
    arriving = iter(messages)

    async def receive() -> Any:
        return next(arriving, None) or await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(2):
        await requests({**POST}, receive, send)
    return sent[0]["status"] if sent else None


HALF = {"type": "http.request", "body": b"half", "more_body": True}


async def test_a_stop_does_not_wait_for_a_request_that_does_not_arrive() -> None:
    """Or whoever sends the half of one decides when a service stops, and with which exit code."""
    app = App()
    requests = RequestSteps(app)
    half = asyncio.create_task(refusal(requests, HALF))
    await asyncio.sleep(0.01)
    requests.stopping.set()
    async with asyncio.timeout(1), requests.steps.at_rest():
        assert await half == 503
    assert app.asked == []


async def test_a_request_that_takes_too_long_to_arrive_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is done by it."""
    monkeypatch.setattr(web, "BODY_SECONDS", 0.05)
    app = App()
    assert await refusal(RequestSteps(app), HALF) == 408
    assert app.asked == []


async def test_a_request_that_is_too_large_is_refused_before_it_is_there() -> None:
    """It would fill the memory of the process otherwise."""
    part = {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}
    app = App()
    assert await refusal(RequestSteps(app), *[part] * 5) == 413
    assert app.asked == []


async def test_a_request_whose_client_is_gone_is_not_begun() -> None:
    """Half of it is no request."""
    app = App()
    assert await refusal(RequestSteps(app), HALF, {"type": "http.disconnect"}) is None
    assert app.asked == []


async def test_what_arrives_is_what_was_sent_and_then_that_the_client_is_gone() -> None:
    """In as many parts as it may have come."""
    received: list[Any] = []

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        received.extend([await receive(), await receive()])

    last = {"type": "http.request", "body": b"!", "more_body": False}
    gone = {"type": "http.disconnect"}
    assert await refusal(RequestSteps(app), HALF, last, gone) is None
    assert received == [{"type": "http.request", "body": b"half!", "more_body": False}, gone]


async def test_a_port_that_is_taken_is_said_plainly() -> None:
    """With an exit code that is not one of an operation's, as uvicorn's own is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PlainError, match=f"127.0.0.1:{port} cannot be listened on"):
            await serve_until_stopped(App(), "127.0.0.1", port, within=timedelta(seconds=1))


async def test_a_stop_does_not_wait_for_who_only_reads() -> None:
    """A stream of news is told, and ends by itself."""
    app = App()
    requests = RequestSteps(app)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(requests), base_url="http://here"
    ) as http:
        reading = asyncio.create_task(http.get("/"))
        await begun(app)
        async with asyncio.timeout(1), requests.steps.at_rest():
            assert app.stopping is requests.stopping
            app.may_answer.set()
            assert (await reading).status_code == 200
