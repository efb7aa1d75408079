"""`history`, `explain` and `reconcile`: what became of things, and how that is known."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_bounty.idempotency import derived_id
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from tests.cli.shell import Life, Shell, on

DOCUMENT = "/zones/default/bounties/*"
LEFT, FAILED, YOUNG = 9, 10, 11


def strand_a_create(shell: Shell, life: Life, mock: MockNexus) -> str:
    """A create that got no further than its draft, as if its process had died."""
    life.funds()
    mock.inject(
        Fault(
            FaultKind.DROP_BEFORE,
            match=RequestMatch("write", DOCUMENT, nth=2),
            times=None,
        ),
        # the first read is a look before anything is written
        Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("read", DOCUMENT, nth=2), times=None),
    )
    ended = shell("create", "Sort it", "--amount", 100, "--creator", "alice", "--key", "k-post")
    assert ended.code == 5
    mock.clear_faults()
    return derived_id("bounty", "k-post")


def test_history_draws_every_operation_and_says_where_the_money_is(
    shell: Shell, life: Life
) -> None:
    """From the draft to the payment, each with its key."""
    bounty_id = life.post()
    life.claim(bounty_id)
    held = shell("history", bounty_id)
    assert f"100 held in escrow for {bounty_id}" in held.said
    assert "900 free, 100 in escrow" in held.said
    life.settle(bounty_id)
    told = shell("history", bounty_id)
    for key in ("k-post:draft", "k-post:open", "k-claim:claim", "k-settle:begin"):
        assert key in told.said
    assert "100 paid to bob" in told.said
    document = shell.json("history", bounty_id)
    assert [each["kind"] for each in document["operations"]] == [
        *("create", "fund", "claim", "begin_settlement", "settle")
    ]
    assert {each["outcome"] for each in document["operations"]} == {"committed"}
    assert document["operations"][2]["operationKey"] == "k-claim"
    assert document["money"]["reservation"]["status"] == "captured"
    assert document["money"]["balances"][1] == {"account": "bob", "available": 100, "reserved": 0}


def test_history_tells_of_credits_that_came_back(shell: Shell, life: Life) -> None:
    """A cancelled bounty holds nothing."""
    bounty_id = life.post()
    shell.json("cancel", bounty_id)
    assert "100 given back to alice" in shell("history", bounty_id).said


def test_history_asks_whether_it_is_the_right_ledger(
    shell: Shell, life: Life, tmp_path: Any
) -> None:
    """A ledger that never heard of the reservation is not taken for an empty escrow."""
    bounty_id = life.post()
    told = shell("history", bounty_id, "--credits", f"sqlite:///{tmp_path / 'other.db'}")
    assert "is it the right --credits?" in told.said


def test_explain_finds_an_operation_by_its_key_alone(shell: Shell, life: Life) -> None:
    """By the id that derives from it, by its lease, by its reservation, or by looking."""
    bounty_id = life.post("--bounty-id", "b-1")
    life.claim(bounty_id)
    life.settle(bounty_id)
    for key, operation in (("k-post", "create"), ("k-claim", "claim"), ("k-settle", "settle")):
        found = shell.json("explain", key)
        assert (found["operation"], found["outcome"]) == (operation, "committed")
        assert found["bountyId"] == "b-1"
        assert shell.json("explain", key, "--bounty", "b-1")["outcome"] == "committed"
    told = shell("explain", "k-settle").said
    assert "settle k-settle: happened" in told
    assert "write 4 of the document was made by it" in told


def test_explain_takes_the_key_of_a_step_as_history_shows_it(shell: Shell, life: Life) -> None:
    """What can be copied can be asked about."""
    life.claim(life.post())
    for key in ("k-claim:claim", "k-claim:lease", "k-claim"):
        assert shell.json("explain", key)["key"] == "k-claim"


def test_explain_says_that_a_create_was_given_up(shell: Shell) -> None:
    """Refused for want of credits: its draft is cancelled and holds nothing."""
    shell("create", "Sort it", "--amount", 100, "--creator", "alice", "--key", "k-poor")
    assert shell.json("explain", "k-poor")["outcome"] == "pre_commit"
    assert "it was given up" in shell("explain", "k-poor").said


def test_explain_never_takes_silence_for_proof(shell: Shell, life: Life, mock: MockNexus) -> None:
    """A key that left no trace may still be under way; nothing is written to find out."""
    life.post()
    applied = len(mock.log)
    told = shell("explain", "k-unheard")
    assert "not known" in told.said
    assert "still under way" in told.said
    assert shell.json("explain", "k-unheard")["outcome"] == "unknown"
    assert len(mock.log) == applied


def test_resolve_makes_it_definite_for_good(shell: Shell, life: Life) -> None:
    """A fence is in its place: the same key can no longer claim."""
    bounty_id = life.post()
    resolve = ("--bounty", bounty_id, "--operation", "claim", "--resolve")
    assert "never happened, and never will" in shell("explain", "k-claim", *resolve).said
    assert shell.json("explain", "k-claim")["outcome"] == "pre_commit"
    assert shell("claim", bounty_id, "--agent", "bob", "--key", "k-claim").code == 3
    assert "fenced: never happened" in shell("history", bounty_id).said
    assert life.status(bounty_id) == "open"


def test_resolve_leaves_what_has_happened_as_it_is(shell: Shell, life: Life) -> None:
    """Asking is harmless when the answer is yes."""
    bounty_id = life.post()
    life.claim(bounty_id)
    before = shell.json("history", bounty_id)["operations"]
    assert shell.json("explain", "k-claim", "--resolve")["outcome"] == "committed"
    assert shell.json("history", bounty_id)["operations"] == before


def test_resolve_fences_off_a_create_that_never_arrived(shell: Shell, life: Life) -> None:
    """The bounty's id derives from the key, so that the key is enough."""
    life.funds()
    found = shell.json("explain", "k-late", "--resolve", "--operation", "create")
    assert found["outcome"] == "pre_commit"
    late = shell("create", "Sort it", "--amount", 1, "--creator", "alice", "--key", "k-late")
    assert late.code == 3
    told = shell("history", derived_id("bounty", "k-late"))
    assert "never came to be" in told.said


def test_a_stranded_create_is_half_way_until_it_is_resolved_or_reconciled(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """Both lead to an end in which the credits are where they belong."""
    bounty_id = strand_a_create(shell, life, mock)
    assert "half-way" in shell("explain", "k-post").said
    assert shell.json("explain", "k-post")["outcome"] == "unknown"
    assert shell.json("explain", "k-post", "--resolve")["outcome"] == "pre_commit"
    shell.json("reconcile", "--grace", "0s")
    assert "never came to be" in shell("history", bounty_id).said
    assert life.free("alice") == 1000


def test_reconcile_says_what_it_found_and_did_and_a_dry_run_only_the_first(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """What it repaired it finds no more."""
    bounty_id = strand_a_create(shell, life, mock)
    young = shell("reconcile")
    assert young.code == YOUNG
    assert "may still be under way" in young.said
    assert "All is well" not in young.said
    dry = shell("reconcile", "--dry-run", "--grace", "0s")
    assert dry.code == LEFT
    assert "2 to repair; nothing was changed" in dry.said  # the bounty, and its key in doubt
    assert life.status(bounty_id) == "draft"
    told = shell("reconcile", "--grace", "0s")
    assert told.code == 0
    assert "2 found, 2 repaired, 0 left" in told.said  # the draft, and the doubt in the journal
    assert "is a draft whose credits are held → opened" in told.said
    assert life.status(bounty_id) == "open"
    assert "All is well" in shell("reconcile", "--grace", "0s").said


def test_reconcile_ends_with_1_when_it_could_not_look_everywhere(
    shell: Shell, mock: MockNexus
) -> None:
    """What cut a sweep short is named."""
    mock.inject(on(FaultKind.STATUS_BEFORE, None, "*", times=None, status=403))
    for options in ((), ("--dry-run",), ("--json",)):
        ended = shell("reconcile", *options)
        assert ended.code == 1
        assert "not permitted" in ended.said
        assert "All is well" not in ended.said


def test_reconcile_ends_with_9_when_a_person_has_to_decide(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """As long as it is so, and after whatever else was repaired."""
    life.post("--bounty-id", "b-1")
    mock.core.table.write("/zones/default/bounties/b-1.json", b"{")
    for _ in range(2):
        ended = shell("reconcile", "--grace", "0s")
        assert ended.code == LEFT
        assert "left: another program wrote it" in ended.said


def test_reconcile_ends_with_10_when_somebody_is_not_paid(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """A payment that is still owed is no success, and is made by the next run that can."""
    bounty_id = life.post()
    life.claim(bounty_id)
    second = RequestMatch(method="write", path=DOCUMENT, nth=2)  # the first is the pivot
    mock.inject(Fault(FaultKind.STATUS_BEFORE, match=second, times=None, status=403))
    assert shell("settle", *life.settling(bounty_id)).code == 4
    mock.clear_faults()
    mock.inject(on(FaultKind.STATUS_BEFORE, "write", DOCUMENT, times=None, status=403))
    ended = shell("reconcile", "--grace", "0s")
    assert ended.code == FAILED
    assert "because a repair failed" in ended.said
    mock.clear_faults()
    assert shell("reconcile", "--grace", "0s").code == 0
    assert life.free("bob") == 100


@pytest.mark.parametrize("kind", [FaultKind.STATUS_BEFORE, FaultKind.RPC_ERROR_BEFORE])
def test_resolve_that_cannot_prove_either_says_so(
    shell: Shell, life: Life, mock: MockNexus, kind: FaultKind
) -> None:
    """Exit code 5, as for every commit of which nothing is known."""
    bounty_id = life.post()
    mock.inject(on(kind, "write", DOCUMENT, times=None))
    arguments = ("--bounty", bounty_id, "--operation", "cancel", "--resolve")
    assert shell("explain", "k-cancel", *arguments).code == 5
