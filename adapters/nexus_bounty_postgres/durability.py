"""Whether a server keeps the commits that it has acknowledged, by its settings and its standbys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg

from nexus_bounty.ports import Durability

_SETTINGS: Final = ("fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names")
_ASK: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
_STANDBYS: Final = """
    SELECT count(*), count(*) FILTER (WHERE sync_state IN ('sync', 'quorum'))
    FROM pg_stat_replication WHERE state IS NULL OR state = 'streaming'
"""


def durability(connection: psycopg.Connection[Any]) -> Durability:
    """Ask the server, as the user that the ledger works as."""
    asked = [*_SETTINGS, "server_encoding"]
    settings = dict(connection.execute(_ASK, [asked]).fetchall())
    standbys, synchronous = connection.execute(_STANDBYS).fetchall()[0]
    info = connection.info
    major, minor = divmod(info.server_version, 10_000)
    return Durability(
        place=f"{info.host}:{info.port}/{info.dbname}",
        settings={
            "server": f"PostgreSQL {major}.{minor}",
            **{name: settings[name] or "(none)" for name in _SETTINGS},
            "encoding": settings["server_encoding"],
            "standbys": f"{standbys}, {synchronous} of them synchronous",
        },
        problems=list(_problems(settings, synchronous)),
        advice=[*_advice(settings, standbys), *_about_texts(settings["server_encoding"])],
    )


def _problems(settings: Mapping[str, str], synchronous: int) -> Iterator[str]:
    if settings["fsync"] == "off":
        yield "with fsync off a crash of the machine loses commits, or the whole database"
    if settings["full_page_writes"] == "off":
        yield "with full_page_writes off a crash of the machine may damage the database"
    if settings["synchronous_commit"] == "off":
        yield "with synchronous_commit off a crash loses the commits of its last moments"
    if not settings["synchronous_standby_names"]:
        return
    if settings["synchronous_commit"] == "local":
        yield "with synchronous_commit local a fail-over loses what no standby has received"
    elif not synchronous:
        yield "no synchronous standby is connected: commits wait for one, and end in doubt"


def _advice(settings: Mapping[str, str], standbys: int) -> Iterator[str]:
    if settings["synchronous_standby_names"]:
        return
    if standbys:
        yield "the standbys are asynchronous: a fail-over loses what they have not received yet"
    else:
        yield "there is no standby: what is lost with this server is in its back-ups only"


def _about_texts(encoding: str) -> Iterator[str]:
    if encoding == "SQL_ASCII":
        yield (
            "the database's encoding is SQL_ASCII, which checks no text: what another program "
            "writes in it may be unreadable"
        )
    elif encoding != "UTF8":
        yield (
            f"the database's encoding is {encoding}: calls with names or notes that it has no "
            "signs for are refused, and move nothing; make one with ENCODING 'UTF8', and move "
            "there by `nexus-bounty ledger copy`"
        )
