"""`doctor` says whether a server keeps what it has acknowledged."""

import psycopg
import pytest

from nexus_bounty_postgres import PostgresCredits
from nexus_bounty_postgres.durability import _advice, _problems

SAFE = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "synchronous_standby_names": "",
}


async def test_the_servers_own_settings_are_told(postgres_url):
    """The tests' server does not keep anything through the death of its machine, and says so."""
    with psycopg.connect(postgres_url) as connection:
        (fsync,) = connection.execute("SHOW fsync").fetchone() or ("",)
    async with PostgresCredits(postgres_url) as ledger:
        found = await ledger.durability()
    assert found.settings["fsync"] == fsync
    assert any("fsync off" in each for each in found.problems) == (fsync == "off")
    assert found.settings["server"].startswith("PostgreSQL ")


def test_a_server_that_keeps_everything_has_no_problem():
    assert list(_problems(SAFE, 0)) == []
    assert list(_problems(SAFE | {"synchronous_standby_names": "ANY 1 (b, c)"}, 2)) == []


@pytest.mark.parametrize(
    ("changed", "synchronous", "said"),
    [
        ({"fsync": "off"}, 0, "fsync off"),
        ({"full_page_writes": "off"}, 0, "full_page_writes"),
        ({"synchronous_commit": "off"}, 0, "last moments"),
        ({"synchronous_commit": "local", "synchronous_standby_names": "b"}, 1, "fail-over"),
        ({"synchronous_standby_names": "b"}, 0, "no synchronous standby"),
    ],
)
def test_each_way_to_lose_a_commit_is_named(changed, synchronous, said):
    (problem,) = _problems(SAFE | changed, synchronous)
    assert said in problem


def test_what_standbys_are_worth_is_said():
    assert "asynchronous" in "".join(_advice(SAFE, 2))
    assert "back-ups" in "".join(_advice(SAFE, 0))
    assert list(_advice(SAFE | {"synchronous_standby_names": "b"}, 1)) == []
