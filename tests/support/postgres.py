"""A database for each test, on one server, or on the one that NEXUS_TEST_POSTGRES_URL names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from nexus_bounty_postgres.schema import prepare
from tests.support.postgres_server import shared_server

_CLEAN = """
    SET session_replication_role = replica;
    TRUNCATE nexus_bounty.accounts, nexus_bounty.entries, nexus_bounty.reservations,
        nexus_bounty.operations, nexus_bounty.claims, nexus_bounty.claim_keys,
        nexus_bounty.commits, nexus_bounty.range_memories RESTART IDENTITY;
    INSERT INTO nexus_bounty.accounts (name) VALUES ('system:mint');
"""

_AS = "TEMPLATE template0 ENCODING '{}' LC_COLLATE 'C' LC_CTYPE 'C'"


def in_database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    parts = conninfo_to_dict(url)
    port, user = parts.get("port", 5432), parts.get("user", "postgres")
    password = f":{parts['password']}" if "password" in parts else ""
    return f"postgresql://{user}{password}@{parts.get('host', '127.0.0.1')}:{port}/{name}"


@contextmanager
def new_database(server: str, encoding: str = "UTF8") -> Iterator[str]:
    """The URL of an empty database, which is dropped after use."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {_AS.format(encoding)}".encode())
        try:
            yield in_database(server, name)
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory) -> str:
    """The URL of a server, as one who may make databases; fails where none can be started."""
    if named := os.environ.get("NEXUS_TEST_POSTGRES_URL"):
        return named
    directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        directory = directory.parent
    return shared_server(directory / "postgres")


@pytest.fixture(scope="session")
def _migrated(postgres_server) -> Iterator[str]:
    with new_database(postgres_server) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            prepare(connection, make_conninfo(url))
        yield url


def clean(url: str) -> str:
    """Empty the tables, past what forbids it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_CLEAN)
    return url


@pytest.fixture
def postgres_url(_migrated: str) -> str:
    """The URL of a database with the tables, all of them empty."""
    return clean(_migrated)


@pytest.fixture
def empty_postgres_url(postgres_server) -> Iterator[str]:
    """The URL of a database without tables."""
    with new_database(postgres_server) as url:
        yield url
