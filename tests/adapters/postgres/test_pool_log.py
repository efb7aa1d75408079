"""A database that is down fills no log: it is said once, where and why, and when it is over."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from nexus_bounty_postgres import absence, connections
from nexus_bounty_postgres.connections import Connections

NOBODY = "postgresql://127.0.0.1:1/x"


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """All that was said."""
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def ask(pool: Connections) -> None:
    with pytest.raises(psycopg.Error), pool.use():
        pass


def test_while_a_database_is_down_its_pool_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """However long is waited, and however often it is asked for."""
    pool = Connections(NOBODY, most=2, wait=timedelta(seconds=1))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            ask(pool)
    pool.close()
    (line,) = said(caplog)
    assert line.startswith("PostgreSQL at 127.0.0.1/x cannot be reached: connection failed: ")
    assert line.endswith("Connection refused. It is tried again by itself")
    assert "\n" not in line


def test_it_is_said_again_once_there_was_a_connection(
    postgres_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is another time that it is down, and so is its end, and no connection is named."""

    def away(*_: object, **__: object) -> Any:
        raise psycopg.OperationalError("it is down")

    monkeypatch.setattr(absence, "SAME_WITHIN", 0.0)
    pool = Connections(postgres_url, most=2, wait=timedelta(seconds=1))
    with caplog.at_level(logging.WARNING):
        for times in (1, 2):
            with monkeypatch.context() as patch:
                patch.setattr(connections.BoundedConnection, "connect", away)
                ask(pool)
            assert len(said(caplog)) == 2 * times - 1
            assert "cannot be reached: it is down" in said(caplog)[-1]
            with pool.use() as connection:
                cut(postgres_url, connection)
            assert said(caplog)[-1].endswith("can be reached again")
    pool.close()
    assert len(said(caplog)) == 2 * times


def cut(url: str, connection: psycopg.Connection[Any]) -> None:
    """End a connection from the other side; who uses it sees that."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")


def test_a_server_that_lets_some_in_and_others_not_is_away_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As while it starts, or has too many connections; what lasts is told all the same."""
    away = absence.Absence("it", "It is waited for")
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            away.began("starting up\nand more")
            away.ended()
        assert said(caplog) == [
            "it cannot be reached: starting up. It is waited for",
            "it can be reached again",
        ]
        away._ended_at -= absence.SAME_WITHIN
        away.began("gone")
    assert said(caplog)[2:] == ["it cannot be reached: gone. It is waited for"]


def test_pools_of_other_programs_say_what_they_like(caplog: pytest.LogCaptureFixture) -> None:
    """Theirs is none of our business."""
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            absence._pool_log.warning("error connecting in %r: %s", "another", "down")
            absence._pool_log.warning("discarding closed connection: %s", object())
    assert len(said(caplog)) == 4


def test_what_is_no_warning_is_there_for_who_wants_it(caplog: pytest.LogCaptureFixture) -> None:
    """Of our pools, too."""
    pool = Connections(NOBODY, most=2)
    with caplog.at_level(logging.DEBUG, "psycopg.pool"):
        absence._pool_log.info("waiting for %r", pool._pool.name)
    pool.close()
    assert "waiting" in caplog.text
