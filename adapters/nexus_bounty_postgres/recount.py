"""Whether balances and reservations are what the journal says: counted where they are.

The same questions as `nexus_bounty.ledger.audit` asks, in SQL, so that nothing but what is wrong
travels. An account is checked entry by entry in the order of their numbers, which for one account
is the order in which they were committed.
"""

from __future__ import annotations

from typing import Any, Final, LiteralString

import psycopg

from nexus_bounty.ledger import Audit, escrow_of
from nexus_bounty_postgres.ledger_tables import LedgerTables

_MOST: Final = 1_000
"""How many problems of a kind are told."""

_POSTINGS: Final = """
    WITH postings AS (
        SELECT entry_id, debit AS name, -amount AS change FROM nexus_bounty.entries
        UNION ALL SELECT entry_id, credit, amount FROM nexus_bounty.entries
    )
"""
_BELOW_ZERO: Final = """
    SELECT name || ' was below zero after entry ' || entry_id FROM (
        SELECT name, entry_id, sum(change) OVER (PARTITION BY name ORDER BY entry_id) AS balance
        FROM postings WHERE name <> 'system:mint'
    ) AS running WHERE balance < 0 ORDER BY entry_id
"""
_WRONG_BALANCES: Final = """
    , counted AS (SELECT name, sum(change) AS balance FROM postings GROUP BY name)
    SELECT name || ' has ' || coalesce(accounts.balance, 0) || ', its postings add up to '
        || coalesce(counted.balance, 0)
    FROM nexus_bounty.accounts FULL JOIN counted USING (name)
    WHERE coalesce(accounts.balance, 0) <> coalesce(counted.balance, 0) ORDER BY name
"""
_WRONG_RESERVATIONS: Final = """
    WITH written AS (
        SELECT source_id, string_agg(
            kind || ' ' || amount || ' from ' || debit || ' to ' || credit, ', ' ORDER BY entry_id
        ) AS moves
        FROM nexus_bounty.entries WHERE kind NOT IN ('top_up', 'transfer') GROUP BY source_id
    ), expected AS (
        SELECT reservation_id AS source_id,
            'reserve ' || amount || ' from ' || account || ' to ' || %(escrow)s || account
            || CASE status
                WHEN 'held' THEN ''
                WHEN 'captured' THEN ', capture ' || amount || ' from ' || %(escrow)s || account
                    || ' to ' || captured_to
                ELSE ', ' || CASE status WHEN 'voided' THEN 'void ' ELSE 'expire ' END || amount
                    || ' from ' || %(escrow)s || account || ' to ' || account
            END AS moves
        FROM nexus_bounty.reservations
    )
    SELECT CASE WHEN expected.moves IS NULL
        THEN 'the journal names ' || source_id || ', which is no reservation'
        ELSE 'reservation ' || source_id || ' does not follow from '
            || coalesce(written.moves, 'nothing')
        END
    FROM expected FULL JOIN written USING (source_id)
    WHERE expected.moves IS DISTINCT FROM written.moves ORDER BY source_id
"""
_WRONG_ESCROW: Final = """
    WITH held AS (
        SELECT %(escrow)s || account AS name, sum(amount) AS amount
        FROM nexus_bounty.reservations WHERE status = 'held' GROUP BY account
    ), escrow AS (
        SELECT name, balance FROM nexus_bounty.accounts WHERE starts_with(name, %(escrow)s)
    )
    SELECT name || ' has ' || coalesce(balance, 0) || ', held reservations need '
        || coalesce(amount, 0)
    FROM escrow FULL JOIN held USING (name)
    WHERE coalesce(balance, 0) <> coalesce(amount, 0) ORDER BY name
"""
_COUNTS: Final = """
    SELECT (SELECT count(*) FROM nexus_bounty.entries),
           (SELECT count(*) FROM nexus_bounty.accounts
            WHERE name <> 'system:mint' OR balance <> 0),
           (SELECT count(*) FROM nexus_bounty.reservations)
"""


def recount(connection: psycopg.Connection[Any]) -> Audit:
    """Recount everything from the journal and compare."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        entries, accounts, reservations = connection.execute(_COUNTS).fetchall()[0]
        problems = [
            *_found(connection, _POSTINGS + _BELOW_ZERO),
            *_found(connection, _POSTINGS + _WRONG_BALANCES),
            *_found(connection, _WRONG_RESERVATIONS),
            *_found(connection, _WRONG_ESCROW),
        ]
        sums = LedgerTables(connection).sums()
    return Audit(
        entries=entries,
        accounts=accounts,
        reservations=reservations,
        sums=sums,
        problems=problems,
    )


def _found(connection: psycopg.Connection[Any], query: LiteralString) -> list[str]:
    rows = connection.execute(f"{query} LIMIT {_MOST}", {"escrow": escrow_of("")}).fetchall()
    return [text for (text,) in rows]
