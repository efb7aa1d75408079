"""The console on a port, and Chromium in front of it; imported by the tests that need one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.types import ASGIApp

from tools import chromium

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"]
"""A container is sandbox enough, has little shared memory, and no graphics."""
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 400, "height": 800}


@asynccontextmanager
async def served_at(app: ASGIApp) -> AsyncIterator[str]:
    """`app` on a free port of this machine; gives its address."""
    config = uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # who comes before it serves waits
        serving = asyncio.ensure_future(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def a_chromium() -> AsyncIterator[Browser]:
    """A headless Chromium.

    Raises:
        AssertionError: There is none.
    """
    from playwright.async_api import async_playwright

    where = chromium.found()
    assert where, "there is no Chromium: `make console-test` says what to install"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=where, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def a_page(browser: Browser, base: str, **options: Any) -> AsyncIterator[Page]:
    """A page of somebody who has never been here; what its scripts complain of fails the test."""
    context = await browser.new_context(base_url=base, **({"viewport": WIDE} | options))
    context.set_default_timeout(20_000)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
    yield page
    await context.close()
    assert complaints == []
