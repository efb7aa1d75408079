"""What an operator has when money is in doubt: `doubts`, `audit`, `rescue`, and other ledgers."""

from __future__ import annotations

from pathlib import Path

from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty.mock.oracle import ReceivedRequest
from nexus_bounty.nexus.documents.paths import ZonePaths
from tests.cli.shell import Life, Shell

LEFT, PRE_COMMIT, UNKNOWN = 9, 3, 5
ZONE = ZonePaths("default")


def test_what_is_in_doubt_is_listed_until_it_is_resolved(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """With its key and why; `explain` needs no search, and closes it."""
    shell.setenv("NEXUS_OPERATION_TIMEOUT", "4")
    shell.setenv("NEXUS_REQUEST_TIMEOUT", "1")
    bounty_id = life.post()
    assert "Nothing is in doubt" in shell("doubts").said
    write = RequestMatch(method="write", path=f"*/bounties/{bounty_id}.json")
    mock.inject(Fault(FaultKind.TIMEOUT_BEFORE, match=write, times=None))
    lost = shell("cancel", bounty_id, "--key", "k-lost")
    assert lost.code == UNKNOWN, lost.said
    mock.clear_faults()
    (doubt,) = shell.json("doubts")["operations"]
    assert (doubt["key"], doubt["kind"], doubt["bountyId"]) == ("k-lost", "cancel", bounty_id)
    assert "k-lost" in shell("doubts").said
    before = len(mock.requests)
    assert shell.json("explain", "k-lost")["bountyId"] == bounty_id
    listed = [each for each in list(mock.requests)[before:] if each.method == "list"]
    assert not listed
    assert shell.json("explain", "k-lost", "--resolve")["outcome"] == "pre_commit"
    assert shell.json("doubts")["operations"] == []


class _DeafAfterCommit:
    """The first write of a document is carried out, and nothing about it is answered any more."""

    def __init__(self, document: str) -> None:
        self._document = document
        self._committed = False

    def choose(self, request: ReceivedRequest) -> Fault | None:
        """Say how this request fails."""
        if self._committed:
            return Fault(FaultKind.DROP_BEFORE)
        if request.method == "write" and (request.path or "").endswith(self._document):
            self._committed = True
            return Fault(FaultKind.DROP_AFTER)
        return None


def test_a_doubt_is_not_closed_by_looking_where_its_key_was_not_used(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """A fence on another bounty, or for another operation, says nothing of what happened."""
    shell.setenv("NEXUS_OPERATION_TIMEOUT", "2")
    shell.setenv("NEXUS_REQUEST_TIMEOUT", "0.5")
    bounty_id, other = life.post(), life.post(key="k-2")
    mock.faults_from(_DeafAfterCommit(f"/bounties/{bounty_id}.json"))
    assert shell("cancel", bounty_id, "--key", "k-lost").code == UNKNOWN
    mock.clear_faults()
    for wrong in (["--bounty", other], ["--operation", "claim"]):
        refused = shell("explain", "k-lost", "--resolve", *wrong)
        assert refused.code == 2, refused.said
        assert "which the key was used for" in refused.said
    assert [each["key"] for each in shell.json("doubts")["operations"]] == ["k-lost"]
    assert shell.json("explain", "k-lost", "--resolve")["outcome"] == "committed"


def test_an_audit_compares_every_reservation_with_every_bounty(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """Both ways, and changes nothing; what no rule can free a rescue does."""
    kept, gone = life.post(), life.post(key="k-2")
    assert "problems" not in shell.json("audit")["ledger"]
    mock.core.table.remove(ZONE.bounty(gone))
    reservation = shell.json("explain", "k-2")["reservation"]
    assert reservation["reference"] == f"zone:default/bounty:{gone}"
    found = shell("audit", "--grace", "0s")
    assert found.code == LEFT, found.said
    assert reservation["reservationId"] in found.said
    assert kept not in found.said
    assert shell.json("balance", "alice")["reserved"] == 200
    wanted = [*("rescue", reservation["reservationId"], "--give-back"), "--because", "it is gone"]
    assert "are with alice now" in shell(*wanted).said
    assert "are with alice now" in shell(*wanted).said
    assert shell.json("balance", "alice")["reserved"] == 100


def test_a_rescue_says_to_whom_and_why(shell: Shell) -> None:
    """One of the two, and a reason."""
    for wrong in (
        ["rescue", "r-1", "--because", "x"],
        ["rescue", "r-1", "--give-back", "--pay", "bob", "--because", "x"],
        ["rescue", "r-1", "--give-back"],
    ):
        assert shell(*wrong).code == 2
    assert shell("rescue", "r-1", "--give-back", "--because", "x").code == PRE_COMMIT


def test_a_rescue_that_is_repeated_says_the_reason_that_is_on_record(
    shell: Shell, life: Life
) -> None:
    """What is given the second time is not written anywhere."""
    life.post(key="k-1")
    reservation = shell.json("explain", "k-1")["reservation"]["reservationId"]
    wanted = ("rescue", reservation, "--give-back", "--because")
    assert "it is gone" in shell(*wanted, "it is gone").said
    again = shell(*wanted, "another reason").said
    assert "it is gone" in again
    assert "another" not in again


def test_a_cancel_with_another_ledger_is_refused_and_names_the_right_one(
    shell: Shell, life: Life, tmp_path: Path
) -> None:
    """Nothing is called given back."""
    bounty_id = life.post()
    other = f"sqlite:///{tmp_path / 'other.db'}"
    refused = shell("cancel", bounty_id, "--credits", other, "--json")
    assert refused.code == PRE_COMMIT
    assert shell.json("audit")["ledgerId"] in refused.said
    assert shell.json("show", bounty_id)["status"] == "open"
    assert shell.json("cancel", bounty_id)["creditsWith"] == "alice"


def test_a_stranger_may_neither_settle_nor_cancel(shell: Shell, life: Life) -> None:
    """Who says who asks is held to it."""
    bounty_id = life.post("--tag", "sorted")
    life.claim(bounty_id)
    for command in (["cancel", bounty_id], ["settle", *life.settling(bounty_id)]):
        refused = shell(*command, "--agent", "mallory")
        assert refused.code == PRE_COMMIT
        assert "alice" in refused.said
    assert shell("cancel", bounty_id, "--agent", "alice").code == 0


def test_one_key_posts_one_bounty(shell: Shell) -> None:
    """The second is refused, and told of the first."""
    shell("top-up", "alice", 100)
    offer = ["create", "Sort it", "--amount", 10, "--creator", "alice", "--key", "k"]
    assert shell(*offer, "--bounty-id", "a").code == 0
    refused = shell(*offer, "--bounty-id", "b")
    assert refused.code == 8
    assert "create of a" in refused.said
    assert shell.json("balance", "alice")["reserved"] == 10


def test_a_refused_create_can_be_tried_again_after_the_top_up(shell: Shell) -> None:
    """With its key or another; until then nobody sees it, and `explain` says why."""
    offer = ["create", "Sort it", "--amount", 100, "--creator", "alice"]
    for bounty_id, key in (("a", "k-a"), ("b", "k-other")):
        named = [*offer, "--bounty-id", bounty_id]
        refused = shell(*named, "--key", f"k-{bounty_id}")
        assert refused.code == PRE_COMMIT
        assert shell.json("explain", f"k-{bounty_id}")["outcome"] == "pre_commit"
        assert bounty_id not in [each["bountyId"] for each in shell.json("list")["bounties"]]
        shell.json("top-up", "alice", 100, "--key", f"funds for {bounty_id}")
        assert shell.json(*named, "--key", key)["bounty"]["status"] == "open"
        assert shell.json("explain", key)["outcome"] == "committed"
        assert shell.json("list", "--status", "open")["bounties"][-1]["status"] == "open"
    assert shell.json("balance", "alice")["reserved"] == 200
