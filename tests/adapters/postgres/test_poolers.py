"""Through a pooler of transactions, which keeps nothing of a session, all is the same.

`exhaustive` runs whole contract suites, and PgBouncer itself (Debian's package `pgbouncer`).
"""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from nexus_bounty.models import AgentIdentity
from nexus_bounty.testing import ClaimStoreContract, CreditsServiceContract
from nexus_bounty_postgres import PostgresClaimStore, PostgresCredits
from tests.support.ledgers import lived
from tests.support.postgres_proxy import COMMITTING, Loss, PostgresProxy
from tests.support.transaction_pooler import TransactionPooler

HOUR = timedelta(hours=1)


@contextmanager
def pgbouncer(target: str):
    """PgBouncer before the server of `target`, with two sessions."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "PgBouncer is not installed: apt-get install pgbouncer"
    parts = conninfo_to_dict(target)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    directory = Path(tempfile.mkdtemp(prefix="nexus-bounty-pgbouncer-"))
    directory.chmod(0o755)  # it runs as somebody else
    config = directory / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host={parts['host']} port={parts['port']} user={parts['user']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        "pool_mode = transaction\nauth_type = any\ndefault_pool_size = 2\n"
    )
    user = "nobody" if os.geteuid() == 0 else None
    process = subprocess.Popen([program, "-q", str(config)], user=user, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not _listens(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"postgresql://{parts['user']}@127.0.0.1:{port}/{parts['dbname']}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory)


def _listens(port: int) -> bool:
    with socket.socket() as knocking:
        return knocking.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["ours", pytest.param("pgbouncer", marks=pytest.mark.exhaustive)])
def pooled_url(request, postgres_url):
    if request.param == "ours":
        with TransactionPooler(postgres_url) as pooler:
            yield pooler.url
    else:
        with pgbouncer(postgres_url) as url:
            yield url


@pytest.mark.thorough
async def test_a_ledger_lives_behind_a_pooler(pooled_url, clock):
    """Movements, reads, listings and the audit, several at a time."""
    async with (
        PostgresCredits(pooled_url, clock=clock) as one,
        PostgresCredits(pooled_url, clock=clock) as other,
    ):
        await lived(one)
        await asyncio.gather(
            *(
                each.reserve(f"r{n}", account="alice", amount=1)
                for n in range(5, 25)
                for each in (one, other)
            )
        )
        assert (await one.balance("alice")).available == 50
        assert len([each async for each in other.history()]) == 25
        assert len([each async for each in other.reservations()]) == 22
        assert (await other.verify()).ok


async def test_claims_live_behind_a_pooler(pooled_url):
    """Of two agents who claim at once one wins."""
    agents = [AgentIdentity(agent_id=name) for name in ("alice", "bob")]
    async with PostgresClaimStore(pooled_url) as claims:
        wins = await asyncio.gather(
            *(
                claims.claim_or_renew("t", agent, claim_id=agent.agent_id, lease=HOUR)
                for agent in agents
            ),
            return_exceptions=True,
        )
        won = [each for each in wins if not isinstance(each, BaseException)]
        assert await claims.active_claims("t") == won


@pytest.mark.parametrize("loss", [Loss.QUERY, Loss.ANSWER])
async def test_a_lost_commit_is_found_out_behind_a_pooler(loss, pooled_url, postgres_url):
    """The network breaks before the pooler: the backend to end is one that it holds."""
    with PostgresProxy(pooled_url) as proxy:
        async with PostgresCredits(proxy.url) as ledger:
            await ledger.top_up("t", account="alice", amount=10)
            proxy.arm(COMMITTING, loss)
            await ledger.reserve("r", account="alice", amount=4)
            assert proxy.happened.is_set()
    with psycopg.connect(postgres_url) as connection:
        counted = connection.execute("SELECT count(*) FROM nexus_bounty.entries").fetchone()
    assert counted == (2,)


@pytest.mark.exhaustive
class TestPooledCredits(CreditsServiceContract):
    @pytest.fixture
    async def credits(self, clock, pooled_url):
        async with PostgresCredits(pooled_url, clock=clock) as service:
            yield service
            assert (await service.verify()).ok


@pytest.mark.exhaustive
class TestPooledClaims(ClaimStoreContract):
    @pytest.fixture
    async def claims(self, clock, pooled_url):
        async with PostgresClaimStore(pooled_url, clock=clock) as claims:
            yield claims
