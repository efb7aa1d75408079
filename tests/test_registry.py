"""Adapters are found by the scheme of a URL."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from nexus_bounty.memory import MemoryClaimStore, MemoryCredits
from nexus_bounty.models import AgentIdentity
from nexus_bounty.outcomes import InvalidInputError
from nexus_bounty.registry import open_claims, open_credits
from nexus_bounty.testing import ManualClock
from nexus_bounty_sqlite import SqliteClaimStore, SqliteCredits
from nexus_bounty_sqlite.urls import path_of

ENTRY_POINTS = """
[nexus_bounty.credits]
test-sqlite = nexus_bounty_sqlite.urls:open_credits
sqlite = nexus_bounty_sqlite.urls:open_credits

[nexus_bounty.claims]
sqlite = nexus_bounty_sqlite.urls:open_claims
"""


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution that registers the adapters, as an installed one does."""
    metadata = tmp_path / "site" / "an_adapter-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: an-adapter\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.setattr(sys, "path", [str(metadata.parent), *sys.path])


async def test_memory_needs_no_adapter(clock):
    """Options go to what is opened."""
    assert isinstance(open_credits("memory:", clock=clock), MemoryCredits)
    assert isinstance(open_claims("memory:", clock=clock), MemoryClaimStore)


async def test_an_installed_adapter_is_found_by_its_scheme(installed, path, clock):
    """The URL names the file; credits and claims may be the same one."""
    credits_there = open_credits(f"sqlite:///{path}", clock=clock)
    claims_there = open_claims(f"sqlite:///{path}", clock=clock)
    assert isinstance(credits_there, SqliteCredits)
    assert isinstance(claims_there, SqliteClaimStore)
    await credits_there.top_up("t", account="alice", amount=1)
    agent = AgentIdentity(agent_id="alice")
    claim = await claims_there.claim_or_renew("b", agent, claim_id="c", lease=timedelta(hours=1))
    assert claim.created_at == clock.now
    await credits_there.close()
    await claims_there.close()
    assert path.exists()


async def test_an_unknown_scheme_names_what_is_known_and_the_extra_to_install(installed):
    """The message is enough to go on."""
    with pytest.raises(InvalidInputError, match=r"memory.*test-sqlite.*nexus-bounty\[paypal\]"):
        open_credits("paypal+http://host")
    with pytest.raises(InvalidInputError, match=r"nexus-bounty\[redis\]"):
        open_claims("redis://host")


async def test_an_error_does_not_show_the_password_in_a_url():
    """Only the scheme is repeated."""
    with pytest.raises(InvalidInputError) as error:
        open_credits("paypal+http://user:secret@host")
    assert "secret" not in f"{error.value} {error.value.details()}"


@pytest.mark.parametrize("url", ["", "ledger.db", "sqlite"])
async def test_a_url_without_a_scheme_is_refused(url):
    """A bare path is not guessed at."""
    with pytest.raises(InvalidInputError, match="scheme"):
        open_credits(url)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///ledger.db", "ledger.db"),
        ("sqlite:////tmp/ledger.db", "/tmp/ledger.db"),
        ("sqlite:///~/ledger.db", "~/ledger.db"),
        ("sqlite:///50%.db", "50%.db"),
    ],
)
def test_three_slashes_are_relative_and_four_absolute(url, path):
    """As SQLAlchemy reads it."""
    assert path_of(url) == Path(path).expanduser()


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqlite:///", "path of a file"),
        ("sqlite:ledger.db", "path of a file"),
        ("sqlite://host/ledger.db", "path of a file"),
        ("sqlite:///:memory:", "use memory:"),
        ("sqlite:///missing/ledger.db", "sqlite:////missing/ledger.db"),
        ("sqlite:////missing/ledger.db", "needs the directory /missing to exist"),
    ],
)
def test_a_url_that_names_no_usable_file_says_what_to_write(url, hint):
    """Nothing is made by mistake."""
    with pytest.raises(InvalidInputError, match=hint):
        path_of(url)


@pytest.mark.parametrize("opened", [open_credits, open_claims])
def test_an_adapter_whose_libraries_are_missing_says_what_to_install(opened, monkeypatch):
    """Not with an import error out of the middle of it."""
    for name in [each for each in sys.modules if each.startswith("nexus_bounty_postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'nexus-bounty\[postgres\]'"):
        opened("postgresql://host/bounties")


@pytest.mark.parametrize("url", ["host=h password=hunter2", "host=h password=hunter2 a:b"])
def test_what_is_no_url_at_all_is_not_repeated(url):
    """It may be how another program is told a password."""
    with pytest.raises(InvalidInputError) as caught:
        open_credits(url)
    assert "hunter2" not in str(caught.value)
