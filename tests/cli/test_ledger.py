"""`ledger copy` and `doctor` on a ledger that is on a server."""

import pytest

from tests.support.postgres import _migrated, postgres_server, postgres_url

__all__ = ["_migrated", "postgres_server", "postgres_url"]


@pytest.fixture
def file_url(environment: dict[str, str]) -> str:
    """The ledger of the shell's user."""
    return environment["NEXUS_BOUNTY_CREDITS"]


def test_a_ledger_moves_from_a_file_to_a_server(shell, life, file_url, postgres_url):
    """A bounty that was made with the one is settled with the other."""
    bounty_id = life.post()
    life.claim(bounty_id)
    copy = ("ledger", "copy", "--from", file_url, "--to", postgres_url)
    copied = shell(*copy)
    assert (copied.code, "Both places have the same ledger." in copied.said) == (0, True)
    again = shell(*copy, "--json")
    assert (again.code, again.document["copied"]) == (0, 0)
    shell.setenv("NEXUS_BOUNTY_CREDITS", postgres_url)
    life.settle(bounty_id)
    assert (life.free("bob"), life.reserved("alice")) == (100, 0)


def test_leases_beside_the_ledger_move_with_it(shell, life, file_url, postgres_url):
    """Who has claimed a bounty in the file holds it on the server, and settles it there."""
    shell.setenv("NEXUS_BOUNTY_CLAIMS", file_url)
    bounty_id = life.post()
    life.claim(bounty_id)
    copied = shell("ledger", "copy", "--from", file_url, "--to", postgres_url, "--json")
    assert (copied.code, copied.document["claims"]["copied"]) == (0, 1)
    for name in ("NEXUS_BOUNTY_CLAIMS", "NEXUS_BOUNTY_CREDITS"):
        shell.setenv(name, postgres_url)
    assert shell("claim", bounty_id, "--agent", "carol").code == 3
    life.settle(bounty_id)
    assert life.free("bob") == 100


def test_a_copy_that_is_not_the_same_ends_with_nine(shell, file_url, postgres_url):
    """Whoever went on with both is told."""
    shell("top-up", "alice", 5)
    copy = ("ledger", "copy", "--from", file_url, "--to", postgres_url)
    assert shell(*copy).code == 0
    assert shell("top-up", "bob", 5, "--credits", postgres_url).code == 0
    differs = shell(*copy)
    assert (differs.code, "movements" in differs.said) == (9, True)
    assert "gone on by itself" in differs.said
    assert shell(*copy, "--json").document["claims"] is None


def test_a_source_that_is_empty_is_not_called_copied(shell, tmp_path):
    """Its URL was mistyped: a file that is not there is like an empty one, and is not made."""
    copy = ("ledger", "copy", "--from", f"sqlite:///{tmp_path}/lodger.db")
    refused = shell(*copy, "--to", f"sqlite:///{tmp_path}/new.db")
    assert (refused.code, "see whether its URL is right" in refused.said) == (3, True)
    assert not list(tmp_path.glob("*odger.db*")) + list(tmp_path.glob("new.db*"))


READING = [
    ("balance", "alice"),
    ("audit",),
    ("doubts",),
    ("reconcile", "--dry-run"),
    ("list",),
    ("explain", "some-key"),
    ("doctor",),
    ("show", "b"),
    ("history", "b"),
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_what_only_reads_makes_no_ledger(shell, tmp_path, words):
    """A URL that was mistyped leaves nothing behind, whichever option has it."""
    for name in ("NEXUS_BOUNTY_CREDITS", "NEXUS_BOUNTY_CLAIMS"):
        shell.setenv(name, f"sqlite:///{tmp_path}/lodger.db")
    assert shell(*words).code not in (1, 2)
    assert not list(tmp_path.glob("lodger.db*"))


def test_only_a_ledger_by_our_rules_can_be_copied(shell, file_url):
    """NexusPay has its own books."""
    refused = shell("ledger", "copy", "--from", "nexuspay+http://127.0.0.1:1", "--to", file_url)
    assert (refused.code, "nexuspay+http" in refused.said) == (2, True)


def test_the_doctor_looks_at_the_ledgers_server_too(shell, url, postgres_url):
    """A server that does not sync to its disk, as the tests' own, is not fit for a ledger."""
    ended = shell("doctor", url, "--credits", postgres_url, "--json")
    is_sick = ended.document["ledger"]["settings"]["fsync"] == "off"
    assert ended.code == (7 if is_sick else 0)
    said = shell("doctor", url, "--credits", postgres_url).said
    assert ("fsync off" in said, "may lose" in said) == (is_sick, is_sick)
    assert "ledger" not in shell("doctor", url, "--json").document
