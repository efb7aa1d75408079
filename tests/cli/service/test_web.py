"""Requests that may change something are steps: a stop waits for them, and refuses new ones."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from typing import Any

import httpx
import pytest

from nexus_bounty.cli.service.web import RequestSteps, serve_until_stopped
from nexus_bounty.outcomes import PlainError


class App:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked: list[str] = []
        self.stopping: asyncio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["method"])
        self.stopping = scope["state"]["stopping"]
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_stop_waits_for_what_may_change_something_and_refuses_the_rest(method: str) -> None:
    """Whoever is refused is told that nothing was done."""
    app = App()
    requests = RequestSteps(app)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(requests), base_url="http://here"
    ) as http:
        first = asyncio.create_task(http.request(method, "/"))
        await asyncio.sleep(0.01)
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
        await asyncio.sleep(0.01)
        async with asyncio.timeout(1), requests.steps.at_rest():
            assert app.stopping is requests.stopping
            app.may_answer.set()
            assert (await reading).status_code == 200
