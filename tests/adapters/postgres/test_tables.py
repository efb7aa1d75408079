"""What the database itself forbids, and what is said of what it cannot."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import NullPool, create_engine

from nexus_bounty import (
    BountyOperations,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusContributionStore,
    Reconciler,
)
from nexus_bounty.events.types import told_as
from nexus_bounty.mock import MockNexus
from nexus_bounty.outcomes import CommitUnknownError, PaymentError
from nexus_bounty_postgres import PostgresCredits
from nexus_bounty_postgres.connections import Connections
from nexus_bounty_postgres.rows import ENTRY, OF_SOURCE
from nexus_bounty_postgres.schema import _WHERE, VERSION, TablesError, prepare
from tests.cli.program import run
from tests.support.ledgers import lived
from tests.support.served import served

GRANTS = """
    GRANT USAGE ON SCHEMA nexus_bounty TO {role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA nexus_bounty TO {role};
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA nexus_bounty TO {role};
"""
FORBIDDEN = {
    "UPDATE nexus_bounty.entries SET amount = 1": "only ever appended to",
    "DELETE FROM nexus_bounty.entries": "only ever appended to",
    "TRUNCATE nexus_bounty.entries": "only ever appended to",
    "DELETE FROM nexus_bounty.reservations": "reservations are kept",
    "UPDATE nexus_bounty.reservations SET status = 'voided' WHERE reservation_id = 'r1'": "once",
    "UPDATE nexus_bounty.ledger SET identity = 'another'": "name their ledger by this",
    "UPDATE nexus_bounty.accounts SET balance = -1 WHERE name = 'carol'": "no_overdraft",
}
TAMPERED = {
    "UPDATE nexus_bounty.accounts SET balance = 5 WHERE name = 'carol'": "carol has 5",
    "INSERT INTO nexus_bounty.accounts VALUES ('eve', 7)": "eve has 7",
    "DELETE FROM nexus_bounty.entries WHERE kind = 'capture'": "r1 does not follow",
    "UPDATE nexus_bounty.reservations SET amount = 21 WHERE reservation_id = 'r2'": "r2 does not",
    "DELETE FROM nexus_bounty.reservations WHERE reservation_id = 'r2'": "which is no reservation",
    "UPDATE nexus_bounty.entries SET amount = 101 WHERE kind = 'reserve' AND source_id = 'r1'": (
        "was below zero"
    ),
}


@pytest.fixture
async def ledger(postgres_url, clock):
    async with PostgresCredits(postgres_url, clock=clock) as service:
        await lived(service)
        yield service


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_no_program_can_write_what_breaks_a_rule(statement, ledger, postgres_url):
    """Whoever has the database's password included."""
    with (
        psycopg.connect(postgres_url) as connection,
        pytest.raises(psycopg.IntegrityError, match=FORBIDDEN[statement]),
    ):
        connection.execute(statement.encode())
    assert (await ledger.verify()).ok


@pytest.mark.parametrize("statement", TAMPERED)
async def test_the_audit_tells_what_was_changed_past_all_rules(statement, ledger, postgres_url):
    """By one who may switch the rules off."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())
    audit = await ledger.verify()
    assert any(TAMPERED[statement] in each for each in audit.problems), audit.problems


async def test_a_page_of_the_journal_waits_for_numbers_that_are_still_being_written(
    ledger, postgres_url
):
    """An entry that is committed after a later one is not left out of the history."""
    slow = psycopg.connect(postgres_url)
    slow.execute("SELECT pg_advisory_xact_lock_shared(%s)", [0x4E58424D])
    slow.execute(
        "INSERT INTO nexus_bounty.entries (kind, source_id, debit, credit, amount, at, memo)"
        " VALUES ('transfer', 'slow', 'bob', 'dave', 1, now(), '')"
    )
    await ledger.transfer("quick", from_account="alice", to_account="erin", amount=1)

    async def read() -> list[str]:
        return [entry.source_id async for entry in ledger.history()]

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    assert not reading.done()
    slow.commit()
    slow.close()
    assert (await asyncio.wait_for(reading, 10))[-2:] == ["slow", "quick"]


async def test_a_number_that_was_given_up_is_not_waited_for_again(ledger, postgres_url):
    """It is missing for good."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SELECT nextval('nexus_bounty.entries_entry_id_seq')")
    await ledger.transfer("next", from_account="alice", to_account="erin", amount=1)
    assert [entry.source_id async for entry in ledger.history()][-1] == "next"


async def test_tables_of_a_later_release_are_left_alone(empty_postgres_url):
    """Whoever opens them is told to upgrade; nothing is read or written by rules of old."""
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        prepare(connection, make_conninfo(empty_postgres_url))
        connection.execute("UPDATE nexus_bounty.schema_version SET version_num = '9999'")
        with pytest.raises(TablesError, match="upgrade nexus-bounty"):
            prepare(connection, make_conninfo(empty_postgres_url))
    ledger = PostgresCredits(empty_postgres_url)
    with pytest.raises(PaymentError, match="upgrade nexus-bounty"):
        await ledger.top_up("t", account="alice", amount=1)
    with pytest.raises(CommitUnknownError, match="upgrade nexus-bounty") as unreadable:
        await ledger.balance("alice")
    await ledger.close()
    assert told_as(unreadable.value) == "CommitUnknownError: upgrade nexus-bounty"


async def test_a_reconciler_beside_tables_of_a_later_release_logs_what_to_do(
    empty_postgres_url, caplog
):
    """Each of its sweeps, or nobody knows why nothing is repaired any more."""
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        prepare(connection, make_conninfo(empty_postgres_url))
        connection.execute("UPDATE nexus_bounty.schema_version SET version_num = '9999'")
    ledger = PostgresCredits(empty_postgres_url)
    async with NexusClient(transport=MockNexus().transport()) as client:
        operations = BountyOperations(
            NexusBountyStore(client),
            credits=ledger,
            claims=NexusClaimStore(client),
            contributions=NexusContributionStore(client),
        )
        report = await Reconciler(operations).run_once()
    await ledger.close()
    assert report.errors
    said = [each.getMessage() for each in caplog.records if "cut short" in each.getMessage()]
    assert len(said) == len(report.errors)
    assert {each.partition(": ")[2].partition(": ")[2] for each in said} == {"upgrade nexus-bounty"}


def test_the_version_that_this_release_wants_is_the_last_that_there_is():
    """Or a new database would be migrated at each start."""
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_WHERE))
    assert ScriptDirectory.from_config(config).get_current_head() == VERSION


async def test_a_server_that_is_not_there_is_named_and_nothing_moved():
    """Before anything was sent it is a refusal; a read says that it could not look."""
    url = "postgresql://user:secret@127.0.0.1:1/bounties"
    ledger = PostgresCredits(url, wait=timedelta(seconds=0.1))
    with pytest.raises(PaymentError, match="did not commit") as refused:
        await ledger.top_up("t", account="alice", amount=1)
    with pytest.raises(CommitUnknownError, match="cannot be read"):
        await ledger.balance("alice")
    assert "127.0.0.1" in str(refused.value)
    assert "secret" not in str(refused.value)
    await ledger.close()
    with pytest.raises(PaymentError, match="closed"):
        await ledger.top_up("t", account="alice", amount=1)


async def test_a_read_waits_once_for_a_server_that_is_not_there(monkeypatch):
    """Another look is for a connection that has gone stale, not for one that could not be had."""
    tries = []
    get = Connections._get

    def counted(self: Connections) -> psycopg.Connection:
        tries.append(self)
        return get(self)

    monkeypatch.setattr(Connections, "_get", counted)
    ledger = PostgresCredits("postgresql://127.0.0.1:1/x", wait=timedelta(seconds=0.1))
    with pytest.raises(CommitUnknownError, match="cannot be read"):
        await ledger.balance("alice")
    await ledger.close()
    assert len(tries) == 1


async def test_who_may_not_make_the_tables_is_told_so(empty_postgres_url):
    """By the error of the port, with the server's words; one who may work on them can."""
    role = f"worker_{uuid4().hex[:8]}"
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
        poor = PostgresCredits(make_conninfo(empty_postgres_url, user=role))
        with pytest.raises(PaymentError, match="permission denied"):
            await poor.top_up("t", account="alice", amount=1)
        prepare(connection, make_conninfo(empty_postgres_url))
        connection.execute(GRANTS.format(role=role).encode())
        await poor.top_up("t", account="alice", amount=1)
        assert (await poor.verify()).ok
        await poor.close()
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


@pytest.fixture
def low_role(empty_postgres_url):
    """A user who may do nothing in an empty database but what is granted."""
    role = f"low_{uuid4().hex[:8]}"
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
        yield role
        connection.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


def make_as_of(revision: str, url: str) -> None:
    """Make the tables as an earlier release did."""
    config = Config()
    config.set_main_option("script_location", str(_WHERE))
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool
    )
    with engine.begin() as shared:
        shared.exec_driver_sql("CREATE SCHEMA nexus_bounty")
        config.attributes["connection"] = shared
        command.upgrade(config, revision)


def revision_of(connection: psycopg.Connection) -> str:
    """The migration that the tables are at."""
    query = "SELECT version_num FROM nexus_bounty.schema_version"
    return str(connection.execute(query).fetchall()[0][0])


@pytest.mark.parametrize("revision", ["", "0001", "0005"])
async def test_the_owner_of_the_schema_needs_no_right_on_the_database(
    revision, empty_postgres_url, low_role
):
    """To make the tables in it, or to bring those of an earlier release up to date."""
    url = make_conninfo(empty_postgres_url, user=low_role)
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        right = f"CREATE ON DATABASE {connection.info.dbname}"
        if revision:
            connection.execute(f"GRANT {right} TO {low_role}".encode())
            make_as_of(revision, url)
            connection.execute(f"REVOKE {right} FROM {low_role}".encode())
        else:
            connection.execute(f"CREATE SCHEMA nexus_bounty AUTHORIZATION {low_role}".encode())
        async with PostgresCredits(url) as ledger:
            await ledger.top_up("t", account="alice", amount=1)
            assert (await ledger.verify()).ok
        assert revision_of(connection) == VERSION


async def test_who_only_works_on_tables_of_an_earlier_release_is_told_whose_turn_it_is(
    empty_postgres_url, low_role
):
    """For it is none of the rights that it lacks; nothing is written until they are as they should.

    Whoever asks `doctor` is told so, too, and what logs say, which quote no server.
    """
    owner = in_url(empty_postgres_url, "")
    with psycopg.connect(owner, autocommit=True) as connection:
        make_as_of("0005", owner)
        connection.execute(GRANTS.format(role=low_role).encode())
        poor = in_url(empty_postgres_url, low_role)
        ledger = PostgresCredits(poor)
        for _ in range(2):
            with pytest.raises(PaymentError, match=r"of an earlier release .schema 0005") as told:
                await ledger.top_up("t", account="alice", amount=1)
            assert "open it once as the owner of its tables" in told.value.message
            assert "nothing was written" in told.value.message
            assert told_as(told.value).startswith("PaymentError: open it once as the owner")
        with pytest.raises(CommitUnknownError, match="open it once as the owner of its tables"):
            await ledger.balance("alice")
        with served(MockNexus()) as nexus:
            asked = await asyncio.to_thread(run, "doctor", nexus, "--credits", poor)
        assert asked.returncode == 1
        assert "open it once as the owner of its tables" in " ".join(asked.stderr.split())
        assert revision_of(connection) == "0005"
        await asyncio.to_thread(run, "balance", "alice", "--credits", owner)  # as it says
        assert revision_of(connection) == VERSION
        await ledger.top_up("t", account="alice", amount=1)
        await ledger.close()


def in_url(conninfo: str, user: str) -> str:
    """As the command line takes it, for another user if one is named."""
    where = conninfo_to_dict(conninfo)
    user = user or str(where["user"])
    return f"postgresql://{user}@{where['host']}:{where['port']}/{where['dbname']}"


async def test_a_right_that_is_missing_is_said_with_what_to_grant(empty_postgres_url, low_role):
    """In words that logs say, too; with what is said granted it works."""
    url = make_conninfo(empty_postgres_url, user=low_role)
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        prepare(connection, make_conninfo(empty_postgres_url))
        ledger = PostgresCredits(url)
        with pytest.raises(PaymentError, match=r"permission denied for schema.*grant this user"):
            await ledger.top_up("t", account="alice", amount=1)
        with pytest.raises(CommitUnknownError, match="grant this user USAGE") as told:
            await ledger.balance("alice")
        assert told_as(told.value) == f"CommitUnknownError: {told.value.to_do}"
        connection.execute(GRANTS.format(role=low_role).encode())
        await ledger.top_up("t", account="alice", amount=1)
        await ledger.close()


async def test_the_entries_of_one_source_are_found_by_an_index(ledger, postgres_url):
    """However long the journal is."""
    assert [each.kind async for each in ledger.history(source_id="r1")] == ["reserve", "capture"]
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SET enable_seqscan = off")
        query = f"EXPLAIN {ENTRY} WHERE {OF_SOURCE}"
        lines = connection.execute(query.encode(), ["r1"] * 3).fetchall()
    plan = "".join(line for (line,) in lines)
    for index in ("one_move_per", "one_start_per", "one_end_per"):
        assert index in plan
