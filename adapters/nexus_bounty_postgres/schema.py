"""Makes the tables, or brings them up to date, whoever comes first.

Alembic carries the migrations; it is imported only where there is something to do. All of them
run in one transaction that holds a lock: of several processes that start at once, one makes the
tables and the others find them, and one that is killed leaves nothing behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psycopg

SCHEMA: Final = "nexus_bounty"
VERSION_TABLE: Final = "schema_version"
VERSION: Final = "0006"
"""The migration that this release works with."""
UPGRADE: Final = "upgrade nexus-bounty"
"""What to do about tables of a later release."""
_LOCK: Final = 0x4E58424C  # "NXBL"
_WHERE: Final = Path(__file__).parent / "migrations"


class TablesError(psycopg.DatabaseError):
    """The database belongs to a later release."""


def prepare(connection: psycopg.Connection[Any], conninfo: str) -> None:
    """Make the tables in a database that has none, or bring those of an earlier release up to date.

    Raises:
        TablesError: The tables are of a later release.
        psycopg.Error: They could not be made.
    """
    version = version_of(connection)
    if version == VERSION:
        return
    if version > VERSION:
        raise TablesError(
            f"the database has schema {version}, this release knows up to {VERSION}: {UPGRADE}"
        )
    _migrate(conninfo)


def version_of(connection: psycopg.Connection[Any]) -> str:
    """The last migration that was made; empty if there was none."""
    try:
        row = connection.execute("SELECT version_num FROM nexus_bounty.schema_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return ""
    return "" if row is None else str(row[0])


def _migrate(conninfo: str) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import NullPool, create_engine
    from sqlalchemy.exc import DBAPIError

    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(conninfo, prepare_threshold=None),
        poolclass=NullPool,
    )
    config = Config()
    config.set_main_option("script_location", str(_WHERE).replace("%", "%%"))
    try:
        with engine.begin() as shared:
            shared.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            shared.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            config.attributes["connection"] = shared
            command.upgrade(config, "head")
    except DBAPIError as wrapped:
        raise (wrapped.orig or wrapped) from None
