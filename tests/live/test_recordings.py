"""Real servers still answer as recorded, and our code still asks as it did."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.contract import conversation  # noqa: F401 - registers its scenarios
from tests.contract.scenarios import SCENARIOS
from tests.contract.scene import Recorder, Scene, play
from tests.contract.tape import Tape, tape_path
from tests.live.servers import RACING, RELEASES, live_server

pytestmark = pytest.mark.live

NEEDS_ANOTHER_SERVER = "auth_failure"
"""Which knows no key; newer releases want one anyway."""
TAKES_LONG = ("0.5.6", "raw_renames")

EVERY = [
    (release, name)
    for name, (_, releases) in SCENARIOS.items()
    for release in releases
    if release in RELEASES
    and (name != NEEDS_ANOTHER_SERVER or release not in RACING)
    and (release, name) != TAKES_LONG
]


@pytest.mark.parametrize(("release", "name"), EVERY)
async def test_a_real_server_answers_as_recorded(
    release: str, name: str, note: Callable[[str], None]
) -> None:
    """Request by request, what is volatile aside; on a server that was started for this run."""
    server = live_server(release)
    scenario, _ = SCENARIOS[name]
    async with httpx.AsyncHTTPTransport() as transport:
        line = Recorder(transport)
        await play(scenario, Scene(release, line, server.url, server.url))
    assert line.recorded() == Tape.load(tape_path(release, name)).exchanges
