"""The page on many workers: its settings start a worker, and its query finds what it says."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest

from nexus_bounty.mock import MockNexus
from tests.adapters.procrastinate.test_workers import free_port, rows
from tests.cli.program import started, until
from tests.docs.pages import ROOT, Page
from tests.support.served import served

pytestmark = pytest.mark.thorough

PAGE = Page(ROOT / "docs/how-to/many-workers.md")


def block(language: str, begins: str = "") -> str:
    texts = [each.text for each in PAGE.blocks if each.language == language]
    (found,) = [each for each in texts if each.startswith(begins)]
    return found


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_the_settings_of_the_page_start_a_worker_that_says_how_its_ranges_are(
    jobs_url: str, tmp_path: Path
) -> None:
    """With the addresses of this machine in them."""
    port = free_port()
    config = tmp_path / "worker.toml"
    with served(MockNexus("0.10-hypothetical")) as server:
        here = {
            "http://nexus.internal:2026": server,
            "postgresql://bounties@postgres.internal/bounties": jobs_url,
            "127.0.0.1:9466": f"127.0.0.1:{port}",
        }
        text = block("toml")
        for there, place in here.items():
            assert there in text
            text = text.replace(there, place)
        config.write_text(text)
        config.chmod(0o600)
        with started("worker", "--config", config, "--commit", "conditional", env={}) as process:
            until(lambda: is_ready(port), seconds=60)
            places = {(server, "east"), (server, "west")}
            until(lambda: {row[:2] for row in rows(jobs_url, block("sql", "SELECT"))} == places)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert "Stopped after" in out
