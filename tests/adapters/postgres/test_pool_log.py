"""A database that is down fills no log: its pool says so once, and the call says why."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from nexus_bounty_postgres import connections
from nexus_bounty_postgres.connections import Connections

NOBODY = "postgresql://127.0.0.1:1/x"


def said(caplog: pytest.LogCaptureFixture) -> int:
    """How often a pool has said that it gets no connection."""
    return sum("error connecting" in each.getMessage() for each in caplog.records)


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
    assert said(caplog) == 1


def test_it_is_said_again_once_there_was_a_connection(
    postgres_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is another time that it is down."""

    def away(*_: object, **__: object) -> Any:
        raise psycopg.OperationalError("it is down")

    pool = Connections(postgres_url, most=2, wait=timedelta(seconds=1))
    with caplog.at_level(logging.WARNING):
        for times in (1, 2):
            with monkeypatch.context() as patch:
                patch.setattr(connections.BoundedConnection, "connect", away)
                ask(pool)
            assert said(caplog) == times
            with pool.use() as connection:
                connection.close()
    pool.close()


def test_pools_of_other_programs_say_what_they_like(caplog: pytest.LogCaptureFixture) -> None:
    """Theirs is none of our business."""
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            connections._pool_log.warning("error connecting in %r: %s", "another", "down")
    assert said(caplog) == 2
