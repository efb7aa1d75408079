"""The program itself: what it takes, who it lets in, and how it stops."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from nexus_bounty.mock import MockNexus
from nexus_bounty.mock.personality import Release
from tests.cli.program import run, started, until
from tests.support.served import served

PEOPLE = {"otto": {"token": "operator-0123456789abcdef", "role": "operate"}}


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with served(MockNexus(Release.HYPOTHETICAL)) as url:
        yield {
            "NEXUS_URL": url,
            "NEXUS_BOUNTY_CREDITS": f"sqlite:///{tmp_path / 'ledger.db'}",
            "NEXUS_BOUNTY_COMMIT": "conditional",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answers(url: str, **headers: str) -> int:
    try:
        return httpx.get(url, headers=headers).status_code
    except httpx.TransportError:
        return 0


def test_it_serves_those_who_have_a_token_and_stops_at_once_when_it_is_told_to(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    """A browser that listens for news does not hold it up."""
    tokens = tmp_path / "people.json"
    tokens.write_text(json.dumps(PEOPLE))
    tokens.chmod(0o600)
    url = f"http://127.0.0.1:{free_port()}"
    arguments = ["console", "--port", url.rpartition(":")[2], "--tokens", tokens]
    with started(*arguments, env=environment) as process:
        until(lambda: answers(f"{url}/readyz") == 200)
        assert answers(f"{url}/api/bounties") == 401
        token = f"Bearer {PEOPLE['otto']['token']}"
        assert answers(f"{url}/api/bounties", authorization=token) == 200
        headers = {"authorization": token}
        with httpx.stream("GET", f"{url}/live?topic=bounties", headers=headers) as news:
            assert next(news.iter_lines()) == "retry: 2000"
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        said, complained = process.communicate()
    assert said == ""
    assert f"The console is at {url}/" in complained
    assert "Traceback" not in complained


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--host", "0.0.0.0"], "can be reached by others: it needs --tokens"),
        (["--tokens", "{folder}/none.json"], "cannot be read"),
        (["--tokens", "{folder}/open.json"], "can be read by others: chmod 600"),
        (["--tokens", "{folder}/other.json"], "must be JSON"),
        (["--tokens", "{folder}/empty.json"], "has no tokens"),
        (["--tokens", "{folder}/short.json"], "at least 16 printable ASCII"),
        (["--tokens", "{folder}/right.json", "--read-only"], "--read-only goes without"),
    ],
)
def test_what_would_let_in_the_wrong_people_is_refused(
    environment: Mapping[str, str], tmp_path: Path, arguments: list[str], why: str
) -> None:
    """In one line that shows no token."""
    contents = {
        "open.json": json.dumps(PEOPLE),
        "other.json": '{"otto": {"token": "operator-0123456789abcdef", "rôle": 1}}',
        "empty.json": "{}",
        "short.json": '{"otto": {"token": "short"}}',
        "right.json": json.dumps(PEOPLE),
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o644 if name == "open.json" else 0o600)
    asked = [each.replace("{folder}", str(tmp_path)) for each in arguments]
    ended = run("console", *asked, env=environment)
    assert ended.returncode == 2, ended.stderr
    assert why in ended.stderr
    assert "operator-0123456789abcdef" not in ended.stderr
