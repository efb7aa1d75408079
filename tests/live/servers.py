"""Real servers, where the environment names any: `NEXUS_LIVE_0_7_0_URL` and its like."""

from __future__ import annotations

import os
from typing import NamedTuple

import pytest

from nexus_bounty import NexusClient, NexusSettings


class LiveServer(NamedTuple):
    """One release that runs somewhere."""

    release: str
    url: str

    def client(self) -> NexusClient:
        """A client with the key that the environment names."""
        api_key = os.environ.get("NEXUS_LIVE_API_KEY", "sk-test")
        return NexusClient(self.url, api_key=api_key, settings=NexusSettings())


def live_server(release: str) -> LiveServer:
    """The server of a release; skips where the environment names none."""
    name = f"NEXUS_LIVE_{release.replace('.', '_')}_URL"
    url = os.environ.get(name)
    if url is None:
        pytest.skip(f"{name} names no server")
    return LiveServer(release, url)
