"""`/readyz` of a worker says within a stated time that a PostgreSQL does not answer."""

from __future__ import annotations

import signal
import time

import httpx
import pytest

from nexus_bounty.cli.service.health import READY_LASTS, READY_SECONDS
from nexus_bounty.mock import MockNexus
from tests.adapters.procrastinate.test_workers import free_port
from tests.cli.program import started, until
from tests.support.postgres_server import PostgresServer
from tests.support.served import served

pytestmark = pytest.mark.thorough

STATED = 6.0
"""Seconds, on the page."""


def status(port: int, path: str) -> int:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/{path}", timeout=10).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.parametrize("has_the_ledger", [True, False])
def test_a_worker_says_that_a_database_which_stands_still_keeps_it_from_working(
    jobs_url: str, server: PostgresServer, *, has_the_ledger: bool
) -> None:
    """That of the jobs, be the ledger there or elsewhere; it lives, and is ready afterwards."""
    port, ledger = free_port(), server.url if has_the_ledger else jobs_url
    assert STATED == READY_SECONDS + READY_LASTS
    with (
        served(MockNexus("0.10-hypothetical")) as nexus,
        started(
            *("worker", "--zones", "z", "--url", nexus, "--commit", "conditional"),
            *("--credits", ledger, "--jobs", server.url, "--health", f"127.0.0.1:{port}"),
            env={},
        ) as process,
    ):
        until(lambda: status(port, "readyz") == 200, seconds=60)
        server.freeze()
        began = time.monotonic()
        until(lambda: status(port, "readyz") == 503, seconds=30)
        assert time.monotonic() - began < STATED + 3  # asked now and then, on a slow machine
        assert status(port, "healthz") == 200
        server.thaw()
        until(lambda: status(port, "readyz") == 200, seconds=60)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err
