"""Real servers, where the environment names any: `NEXUS_LIVE_0_7_0_URL` and its like."""

from __future__ import annotations

import os
import uuid
from typing import Any, Final, NamedTuple

import httpx
import pytest

from nexus_bounty import NexusClient, NexusSettings, RenameCommit
from nexus_bounty.nexus.client.quirks import dialect_of_release
from nexus_bounty.nexus.documents.commits import CommitStrategy

RACING: Final = ("0.5.6", "0.7.0")
"""Their preconditions race."""
DROPPING: Final = ("0.9.18", "0.9.26")
"""They acknowledge conditional writes and drop them."""
CONSTANT: Final = "0.10.1"
"""Its etags never change, so that every `if_match` holds."""
RELEASES: Final = (*RACING, *DROPPING, CONSTANT)
"""The last two are in no package index: `tools/live.py --url` tests one that runs already."""
QUIRKS: Final = {release: dialect_of_release(release).rename for release in RELEASES}
"""What the probe finds, so that not every test has to ask it."""

API_KEY: Final = os.environ.get("NEXUS_LIVE_API_KEY", "sk-test")

used: Final[list[str]] = []
"""The releases that the running test has asked for."""


class LiveServer(NamedTuple):
    """One release that runs somewhere."""

    release: str
    url: str

    def client(
        self,
        *,
        url: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        **settings: Any,
    ) -> NexusClient:
        """A client with the key that the environment names."""
        return NexusClient(
            url or self.url,
            api_key=API_KEY,
            settings=NexusSettings(**settings),
            transport=transport,
        )

    def commit(self, client: NexusClient) -> CommitStrategy:
        """The strategy that fits the release."""
        return RenameCommit(client, QUIRKS[self.release])


def live_server(release: str) -> LiveServer:
    """The server of a release; skips where the environment names none."""
    name = f"NEXUS_LIVE_{release.replace('.', '_')}_URL"
    url = os.environ.get(name)
    if url is None:
        pytest.skip(f"{name} names no server")
    used.append(release)
    return LiveServer(release, url)


def fresh_zone() -> str:
    """A zone that nobody has used."""
    return f"live-{uuid.uuid4().hex[:12]}"
