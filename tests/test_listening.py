"""An address that nobody can listen at is said in a line, whatever it is."""

from __future__ import annotations

import socket

import pytest

from nexus_bounty.listening import listening
from nexus_bounty.mock import MockNexus
from nexus_bounty.outcomes import PlainError
from nexus_bounty_otel.prometheus import watched
from tests.cli.conftest import environment, mock, shell, url
from tests.cli.shell import Shell

__all__ = ["environment", "mock", "shell", "url"]  # fixtures

NO_HOSTS = ["\x00", "a" * 100_000, "\udce9", "256.1.1.1", "a b"]


@pytest.mark.parametrize("host", NO_HOSTS, ids=ascii)
async def test_a_host_that_there_cannot_be_is_said_plainly(host: str) -> None:
    """Python says it in four different ways."""
    with pytest.raises(PlainError, match="cannot be listened on") as caught:
        listening(host, 2026)
    assert len(str(caught.value)) < 600
    with pytest.raises(PlainError, match="cannot be listened on"):
        async with watched(f"{host}:2026"):
            pass


def test_what_listens_is_reached() -> None:
    """At a port that was free."""
    with listening("127.0.0.1", 0) as made:
        socket.create_connection(made.getsockname()).close()


@pytest.mark.parametrize(
    "line",
    [
        ("mock-server", "--host", "\x00"),
        ("mcp", "--agent", "bob", "--health", "\x00:9"),
        ("console", "--health", "\x00:9"),
        ("reconcile", "--watch", "--health", "\x00:9"),
        ("reconcile", "--watch", "--metrics", "\x00:9"),
    ],
    ids=" ".join,
)
def test_no_service_begins_where_it_cannot_be_reached(
    shell: Shell, mock: MockNexus, line: tuple[str, ...]
) -> None:
    """It ends in a line, and nothing was sent."""
    ended = shell(*line)
    assert ended.code == 1
    assert "cannot be listened on" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert mock.request_count == 0


@pytest.mark.parametrize("option", ["--health", "--metrics"])
@pytest.mark.parametrize("port", ["9" * 5_000, "١٢", "99999"])
def test_a_port_that_is_none_is_wrong_usage(shell: Shell, option: str, port: str) -> None:
    """However many digits it has, of whatever script."""
    ended = shell("reconcile", "--watch", option, f"127.0.0.1:{port}")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
