"""What somebody has set for a role or a database changes nothing, or is refused in plain words."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from nexus_bounty.events.types import told_as
from nexus_bounty.models import AgentIdentity
from nexus_bounty.outcomes import (
    CommitUnknownError,
    Outcome,
    OutcomeError,
    PaymentError,
    PreCommitError,
)
from nexus_bounty.ports import Assignment, JournaledOperation
from nexus_bounty_postgres import PostgresClaimStore, PostgresCredits
from tests.adapters.postgres.test_poolers import pgbouncer
from tests.support.postgres import new_database
from tests.support.transaction_pooler import TransactionPooler

HOUR = timedelta(hours=1)
LAST_DAY = datetime.max.replace(tzinfo=UTC)
NAME = 'Łucja\'s \\ "desk" 🦉'
SETTINGS = {
    "TimeZone": "Pacific/Kiritimati",
    "DateStyle": "German, DMY",
    "DateStyle ": "SQL, MDY",
    "DateStyle  ": "Postgres, YMD",
    "IntervalStyle": "sql_standard",
    "client_encoding": "LATIN1",
    "client_encoding ": "SQL_ASCII",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "array_nulls": "off",
    "default_transaction_isolation": "serializable",
    "search_path": "",
}


def set_for_all(url: str, settings: Mapping[str, str]) -> None:
    """Whoever connects to the database has them, unless it asks for something else."""
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, autocommit=True) as connection:
        for setting, value in settings.items():
            words = ", ".join(f"'{each.strip()}'" for each in value.split(","))
            connection.execute(f"ALTER DATABASE {name} SET {setting.strip()} TO {words}".encode())


@pytest.fixture
def to_be_set(postgres_url: str) -> Iterator[str]:
    """A database with the tables, of which all settings are put back for the tests after this."""
    yield postgres_url
    name = conninfo_to_dict(postgres_url)["dbname"]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} RESET ALL".encode())


@pytest.fixture
def odd_url(to_be_set: str, setting: str) -> str:
    """A database with the tables, and that setting; several may be named."""
    names = [setting] if setting in SETTINGS else setting.split()
    set_for_all(to_be_set, {each: SETTINGS[each] for each in names})
    return to_be_set


async def live(url: str, name: str = NAME) -> None:
    """Everything that a ledger, a journal and a claim store do, with that name in it."""
    operation = JournaledOperation(
        key=name, zone_id="z", kind="claim", bounty_id="b", fingerprint="f", decided_by="k"
    )
    async with PostgresCredits(url) as one, PostgresCredits(url) as other:
        await one.top_up("fund", account=name, amount=100)
        await one.transfer("memo", from_account=name, to_account="bob", amount=1, memo=name)
        await one.reserve("last", account=name, amount=1, expires_at=LAST_DAY, reference=name)
        await one.reserve("soon", account=name, amount=1, timeout=HOUR)
        await other.assign("last", Assignment(payee="bob", work=name, key=name))
        again = await other.reserve(
            "last", account=name, amount=1, expires_at=LAST_DAY, reference=name
        )
        assert (again.expires_at, again.reference) == (LAST_DAY, name)
        await other.capture("soon", to_account="bob")
        listed = {each.reservation_id: each async for each in one.reservations()}
        assert listed["last"].expires_at == LAST_DAY
        assert listed["last"] == await other.get_reservation("last")
        history = [each async for each in one.history(account=name)]
        assert [each.source_id for each in history] == ["fund", "memo", "last", "soon", "soon"]
        assert abs(history[0].at - datetime.now(UTC)) < HOUR
        assert [(each.source_id, each.memo) for each in history][1] == ("memo", name)
        await one.begin_operation(operation)
        assert [each.key async for each in one.open_operations("z")] == [name]
        await one.end_operation("z", name, Outcome.COMMITTED, name)
        assert await one.expire_due() == 0
        assert (await other.verify()).ok
    await claim(url, name)


async def claim(url: str, name: str) -> None:
    agent = AgentIdentity(agent_id="bob", agent_name=name)
    how: dict[str, Any] = {"claim_id": "c", "lease": HOUR, "idempotency_key": name}
    async with PostgresClaimStore(url) as claims:
        first = await claims.claim_or_renew("t", agent, context={"name": name}, **how)
        assert await claims.claim_or_renew("t", agent, context={"name": name}, **how) == first
        assert await claims.active_claims("t") == [first]
        assert await claims.list_claims() == [first]
        (uses,) = [page async for page in claims.key_use_pages()]
        assert [(each.key, each.claim_id) for each in uses] == [(name, "c")]


@pytest.mark.parametrize("setting", SETTINGS)
async def test_a_setting_of_the_database_changes_nothing(odd_url):
    """Times, names and amounts come back as they went in."""
    await live(odd_url)


@pytest.mark.parametrize("setting", ["TimeZone DateStyle standard_conforming_strings"])
async def test_nor_does_it_behind_a_pooler(odd_url):
    """Where a session keeps nothing, and nothing that a client asks for is passed on."""
    with TransactionPooler(odd_url) as pooler:
        await live(pooler.url)


async def test_tables_are_made_whatever_is_set(empty_postgres_url):
    """All of it at once."""
    set_for_all(empty_postgres_url, {each.strip(): value for each, value in SETTINGS.items()})
    await live(empty_postgres_url)


@pytest.mark.parametrize("setting", ["client_encoding"])
async def test_a_pooler_that_does_not_pass_the_encoding_on_is_refused(odd_url):
    """Before anything is sent: half of the names would be lost on the way."""
    with TransactionPooler(odd_url) as pooler:
        ledger = PostgresCredits(pooler.url)
        with pytest.raises(PaymentError, match=r"nothing has changed.*client_encoding"):
            await ledger.top_up("t", account="alice", amount=1)
        with pytest.raises(CommitUnknownError, match="Let it pass client_encoding on"):
            await ledger.balance("alice")
        await ledger.close()


@pytest.mark.exhaustive
@pytest.mark.parametrize("setting", ["client_encoding TimeZone DateStyle"])
async def test_pgbouncer_passes_on_what_is_asked_for(odd_url):
    """So that whatever is set for the database does no harm."""
    with pgbouncer(odd_url) as url:
        await live(url)


async def test_a_database_of_bytes_keeps_every_text(postgres_server):
    """It holds UTF-8 without knowing."""
    with new_database(postgres_server, "SQL_ASCII") as url:
        await live(url)
        async with PostgresCredits(url) as ledger:
            found = await ledger.durability()
        assert found.settings["encoding"] == "SQL_ASCII"
        assert any("checks no text" in each for each in found.advice)


async def test_a_database_that_lacks_letters_refuses_what_it_cannot_hold(postgres_server):
    """Before anything moves, in words that say what to do; all else works in it."""
    with new_database(postgres_server, "LATIN1") as url:
        await live(url, 'Zoë\'s \\ "desk"')
        async with PostgresCredits(url) as ledger, PostgresClaimStore(url) as claims:
            with pytest.raises(PaymentError, match=r"nothing has changed.*ledger copy"):
                await ledger.top_up("t", account=NAME, amount=1)
            with pytest.raises(CommitUnknownError, match="ledger copy"):
                await ledger.balance(NAME)
            agent = AgentIdentity(agent_id="eve", agent_name=NAME)
            with pytest.raises(PreCommitError, match=r"nothing has changed.*ledger copy"):
                await claims.claim_or_renew("u", agent, claim_id="u", lease=HOUR)
            assert await claims.active_claims("u") == []
            assert (await ledger.verify()).ok
            found = await ledger.durability()
        assert found.settings["encoding"] == "LATIN1"
        assert any("LATIN1" in each and "refused" in each for each in found.advice)


async def test_a_time_that_there_is_not_is_told(postgres_url):
    """Of a reservation that another program has changed: what is about others goes on."""
    async with PostgresCredits(postgres_url) as ledger:
        await ledger.top_up("fund", account="alice", amount=10)
        await ledger.reserve("r", account="alice", amount=1)
        await ledger.reserve("other", account="alice", amount=1)
        with psycopg.connect(postgres_url) as connection:
            connection.execute(
                "UPDATE nexus_bounty.reservations SET expires_at = '12345-01-01 00:00Z'"
                " WHERE reservation_id = 'r'"
            )
        for call in (ledger.get_reservation("r"), anext(ledger.reservations())):
            with pytest.raises(CommitUnknownError, match="no time that a ledger writes"):
                await call
        with pytest.raises(PaymentError, match="no time that a ledger writes"):
            await ledger.void("r")
        assert (await ledger.void("other")).status == "voided"


@pytest.mark.parametrize("setting", ["statement_timeout", "transaction_timeout"])
async def test_a_time_limit_of_somebody_elses_is_named_by_what_it_stops(to_be_set, setting):
    """Whether it ends the statement alone or the connection as well, before COMMIT or at it."""
    with psycopg.connect(to_be_set) as connection:
        if connection.info.server_version < 170000 and setting == "transaction_timeout":
            pytest.skip("PostgreSQL has it from 17 on")
    async with PostgresCredits(to_be_set) as ledger:
        await ledger.top_up("t", account="alice", amount=100)
        await ledger.reserve("r", account="alice", amount=1)
    set_for_all(to_be_set, {setting: "100ms"})
    with psycopg.connect(to_be_set) as other:
        other.execute("SET statement_timeout = 0")
        if setting == "transaction_timeout":
            other.execute("SET transaction_timeout = 0")
        other.execute("SELECT FROM nexus_bounty.accounts FOR UPDATE")
        ledger = PostgresCredits(to_be_set, resolve_within=timedelta(seconds=0.5))
        with pytest.raises(OutcomeError, match=f"raise {setting} for this role") as told:
            await ledger.transfer("x", from_account="alice", to_account="bob", amount=1)
        await ledger.close()
    assert setting in told.value.to_do
    assert told_as(told.value) == f"{type(told.value).__name__}: {told.value.to_do}"
