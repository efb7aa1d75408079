"""The fixtures of the workers: a server with the jobs and the ledger."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.postgres import (
    _migrated,
    empty_postgres_url,
    postgres_server,
    postgres_url,
)
from tests.support.postgres_server import FAST, PostgresServer

__all__ = ["_migrated", "empty_postgres_url", "postgres_server", "postgres_url"]

_CLEAN = b"""
    DO $$ BEGIN
        IF to_regclass('nexus_bounty_ranges') IS NOT NULL THEN
            TRUNCATE nexus_bounty_ranges, procrastinate_jobs, procrastinate_workers CASCADE;
        END IF;
    END $$
"""


@pytest.fixture
def jobs_url(postgres_url):
    """The URL of a database with an empty ledger and without a job."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(_CLEAN)
    return postgres_url


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One of the test's own, which may be killed or frozen."""
    postgres = PostgresServer(*FAST)
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.remove()
