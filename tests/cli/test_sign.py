"""What an operator sees of a zone that is signed, and how what is not signed gets its signature."""

from __future__ import annotations

import json

import pytest

from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents.paths import ZonePaths
from tests.cli.shell import Life, Shell

LEFT, USAGE, PRE_COMMIT, UNKNOWN = 9, 2, 3, 5
KEY = "0123456789abcdef" * 2
ZONE = ZonePaths("default")


def forge(mock: MockNexus, bounty_id: str, **changes: object) -> None:
    """Change a bounty as anybody can who may write to the zone."""
    path = ZONE.bounty(bounty_id)
    value = json.loads(mock.read_file(path) or b"") | changes
    mock.core.table.write(path, json.dumps(value).encode())


@pytest.fixture
def signing(shell: Shell) -> None:
    """The zone is signed."""
    shell.setenv("NEXUS_SIGNING_KEYS", KEY)


@pytest.mark.usefixtures("signing")
def test_what_a_stranger_has_changed_is_shown_as_not_to_be_trusted(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """By `show`, `history`, `explain` and `reconcile`; and no money moves on it."""
    bounty_id = life.post()
    assert "Not trusted" not in shell("show", bounty_id).said
    assert "Not to be trusted" not in shell("history", bounty_id).said
    forge(mock, bounty_id, amount=1)
    assert "changed without a key after write 2" in shell("show", bounty_id).said
    assert "changed without a key" in shell.json("show", bounty_id)["untrusted"]
    assert "Not to be trusted" in shell("history", bounty_id).said
    refused = shell("cancel", bounty_id)
    assert refused.code == PRE_COMMIT
    assert "nexus-bounty sign" in refused.said
    assert shell("cancel", bounty_id, "--key", "k-cancel").code == UNKNOWN  # it may be a repeat
    assert "proves nothing" in shell("explain", "k-cancel").said
    found = shell("reconcile", "--grace", "0s")
    assert found.code == LEFT
    assert "sign it or restore it" in found.said
    assert shell.json("balance", "alice")["reserved"] == 100


@pytest.mark.usefixtures("signing")
def test_a_record_that_is_not_signed_is_shown_as_such(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """It proves nothing, and is there to be seen all the same."""
    bounty_id = life.post()
    value = json.loads(mock.read_file(ZONE.bounty(bounty_id)) or b"")
    history = value["nexusBounty"]
    history["ops"].append(history["ops"][-1] | {"key": "forged:claim", "seq": 3})
    forge(mock, bounty_id, nexusBounty=history | {"seq": 3})
    entries = shell.json("history", bounty_id)["operations"]
    assert {each["outcome"] for each in entries} == {"untrusted"}
    assert entries[-1]["key"] == "forged:claim"
    assert "not signed: proves nothing" in shell("history", bounty_id).said


def test_a_zone_from_before_is_signed_by_its_operator(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """All of it that the ledger does not contradict; what it does is named and left."""
    kept, lied = life.post(), life.post(key="k-2")
    shell.setenv("NEXUS_SIGNING_KEYS", KEY)
    forge(mock, lied, amount=1)
    looked = shell("sign", "--all", "--dry-run")
    assert looked.code == LEFT
    assert "would be signed" in looked.said
    assert "not signed" in shell.json("show", kept)["untrusted"]
    signed = shell("sign", "--all", "--json")
    assert signed.code == LEFT
    left = {each["bountyId"]: each.get("left") for each in signed.document["documents"]}
    assert left[kept] is None
    assert "is 100 of alice" in (left[lied] or "")
    assert "untrusted" not in shell.json("show", kept)
    forge(mock, lied, amount=100)
    assert shell("sign", lied).code == 0
    assert "All of it is signed" in shell("sign", "--all").said
    shell.json("cancel", kept)


def test_to_sign_needs_a_key_and_something_to_sign(shell: Shell) -> None:
    """Otherwise it says what is missing."""
    without = shell("sign", "--all")
    assert (without.code, "NEXUS_SIGNING_KEYS" in without.said) == (USAGE, True)
    shell.setenv("NEXUS_SIGNING_KEYS", KEY)
    assert shell("sign").code == USAGE
    assert shell("sign", "b-1", "--all").code == USAGE
    assert shell("sign", "nobody").code == PRE_COMMIT


def test_a_key_that_is_too_short_is_refused_and_not_shown(shell: Shell) -> None:
    """Before anything is sent."""
    shell.setenv("NEXUS_SIGNING_KEYS", "sk-short")
    refused = shell("list")
    assert refused.code == USAGE
    assert "at least 32 characters" in refused.said
    assert "sk-short" not in refused.said
