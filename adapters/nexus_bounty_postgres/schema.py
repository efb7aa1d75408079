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
_OPEN_AS_OWNER: Final = (
    "open it once as the owner of its tables, for instance by `nexus-bounty balance NAME "
    "--credits …` with a URL that names that user"
)
"""What to do about tables of an earlier release."""
_OPEN_AS_MAKER: Final = (
    f"open it once as the owner of the schema {SCHEMA}, or as a user with CREATE on the database, "
    "and grant this one what it needs"
)
"""What to do about tables that are not there."""
_LOCK: Final = 0x4E58424C  # "NXBL"
_WHERE: Final = Path(__file__).parent / "migrations"


class TablesError(psycopg.DatabaseError):
    """The tables are missing or of another release, and stay so.

    Args:
        what: What is wrong.
        to_do: What is to be done about it, in words that quote nobody.
    """

    def __init__(self, what: str, to_do: str) -> None:
        super().__init__(f"{what}: {to_do}")
        self.to_do = to_do


def prepare(connection: psycopg.Connection[Any], conninfo: str) -> None:
    """Make the tables in a database that has none, or bring those of an earlier release up to date.

    Raises:
        TablesError: The tables are of a later release, or this user may not make or change them.
        psycopg.Error: They could not be made.
    """
    version = version_of(connection)
    if version == VERSION:
        return
    if version > VERSION:
        raise TablesError(
            f"the database has schema {version}, this release knows up to {VERSION}", UPGRADE
        )
    try:
        _migrate(conninfo)
    except psycopg.errors.InsufficientPrivilege as why:
        raise _not_allowed(version, why) from why


def version_of(connection: psycopg.Connection[Any]) -> str:
    """The last migration that was made; empty if there was none."""
    try:
        row = connection.execute("SELECT version_num FROM nexus_bounty.schema_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return ""
    return "" if row is None else str(row[0])


def _not_allowed(version: str, why: psycopg.Error) -> TablesError:
    """The error for a user whose rights are enough to work on the tables, at most."""
    said = str(why).partition("\n")[0]
    if not version:
        return TablesError(
            f"it has no tables yet, and this user may not make them ({said})", _OPEN_AS_MAKER
        )
    return TablesError(
        f"its tables are of an earlier release (schema {version}, this one works with {VERSION}), "
        f"and this user may not bring them up to date ({said}); nothing was written",
        _OPEN_AS_OWNER,
    )


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
            # To make it if it does not exist takes a right on the database, though it exists.
            if shared.exec_driver_sql(f"SELECT to_regnamespace('{SCHEMA}')").scalar() is None:
                shared.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
            config.attributes["connection"] = shared
            command.upgrade(config, "head")
    except DBAPIError as wrapped:
        raise (wrapped.orig or wrapped) from None
