"""Exit codes: what became of a commit, each really provoked by faults on the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from tests.cli.shell import Ended, Life, Shell, on

OTHER_ERROR, USAGE, PRE_COMMIT, POST_COMMIT, UNKNOWN = 1, 2, 3, 4, 5
DOCUMENT = "/zones/default/bounties/*"
MARKERS = "/zones/default/indexes/bounties/status/*"


def both_ways(shell: Shell, *arguments: object) -> tuple[Ended, dict[str, object]]:
    """What a person and a program get for the same mistake."""
    told, shown = shell(*arguments), shell(*arguments, "--json")
    assert told.code == shown.code == shown.document["exitCode"]
    assert not told.out
    assert "Traceback" not in told.err + shown.err
    return told, shown.document


CREATE = ("create", "Sort it", "--creator", "alice", "--amount")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*CREATE, "5.5"), "--amount"),
        ((*CREATE, "0"), "amount must be between 1 and"),
        ((*CREATE, "5", "--deadline", "soon"), "--deadline must be"),
        ((*CREATE, "5", "--deadline", "2030-01-01T00:00:00"), "with its zone"),
        ((*CREATE, "5", "--deadline", "99999999999w"), "too long"),
        ((*CREATE, "5", "--context", "[1]"), "--context must be JSON"),
        ((*CREATE, "5", "--bounty-id", "a/b"), "bounty_id must not contain"),
        ((*CREATE, "5", "--threshold", "1"), "is needed with a metric_threshold"),
        ((*CREATE, "5", "--key", "k" * 300), "idempotency_key must be at most"),
        (("create", "Sort it", "--amount", "5"), "--creator"),
        (("claim", "b-1", "--agent", "bob", "--lease", "long"), "--lease must be a number"),
        (("settle", "b-1", "c-1", "--contribution-file", "nowhere.json"), "cannot be read"),
        (("list", "--status", "lost"), "--status"),
        (("list", "--url", "http://me:secret@nexus"), "must not hold credentials"),
        (("balance", "alice", "--credits", "paypal://x"), "nexus-bounty[paypal]"),
        (("explain", "k-1", "--resolve"), "say with --bounty and --operation"),
        (("nonsense",), "nonsense"),
    ],
)
def test_2_is_wrong_usage_or_input(
    shell: Shell, mock: MockNexus, arguments: tuple[str, ...], said: str
) -> None:
    """It is named, no bounty was written, and a program gets it as JSON."""
    told, document = both_ways(shell, *arguments)
    assert told.code == USAGE
    assert said in told.said
    assert said in str(document["message"])
    assert not [path for path in mock.files if path.startswith("/zones/default/bounties/")]


def test_2_also_for_a_variable_that_makes_no_sense(shell: Shell) -> None:
    """The variable is named, its value is not shown."""
    shell.setenv("NEXUS_REQUEST_TIMEOUT", "quick")
    told, _ = both_ways(shell, "list")
    assert told.code == USAGE
    assert "NEXUS_REQUEST_TIMEOUT" in told.said


def test_1_is_a_read_that_failed(shell: Shell) -> None:
    """Nothing was changed; the advice is to look at the address."""
    told, document = both_ways(shell, "list", "--url", "http://127.0.0.1:9")
    assert told.code == OTHER_ERROR
    assert "Check --url" in told.said
    assert document["error"] == "NexusError"


def test_3_is_a_refusal_for_want_of_credits(shell: Shell) -> None:
    """Nothing is posted and nothing is held."""
    told, document = both_ways(shell, *CREATE, "5")
    assert told.code == PRE_COMMIT
    assert "holds no credits" in told.said
    assert "top up the account" in told.said
    assert document["error"] == "InsufficientCreditsError"
    assert document["outcome"] == "pre_commit"
    assert shell.json("list", "--status", "open")["total"] == 0


def test_3_is_a_bounty_that_somebody_else_holds(shell: Shell, life: Life) -> None:
    """The loser is told who has it."""
    bounty_id = life.post()
    life.claim(bounty_id, "bob")
    told, document = both_ways(shell, "claim", bounty_id, "--agent", "carol")
    assert told.code == PRE_COMMIT
    assert "claimed by 'bob'" in told.said
    assert "stays there" in str(document["money"])


@pytest.mark.parametrize("command", ["show", "history"])
def test_3_is_a_bounty_that_is_not_there(shell: Shell, command: str) -> None:
    """Reading says it, too."""
    told, document = both_ways(shell, command, "b-none")
    assert told.code == PRE_COMMIT
    assert document["error"] == "BountyNotFoundError"


def test_3_is_a_write_that_provably_never_left(shell: Shell, life: Life, mock: MockNexus) -> None:
    """A server that refuses connections has committed nothing."""
    bounty_id = life.post()
    mock.inject(on(FaultKind.STATUS_BEFORE, "write", "*", times=None, status=403))
    ended = shell("cancel", bounty_id, "--json")
    assert ended.code == PRE_COMMIT
    assert ended.document["evidence"]["proof"] in ("refused", "never_sent")
    mock.clear_faults()
    assert life.status(bounty_id) == "open"
    assert life.reserved("alice") == 100


@pytest.mark.parametrize("kind", [FaultKind.DROP_AFTER, FaultKind.TRUNCATE, FaultKind.GARBAGE])
def test_0_is_a_commit_whose_answer_was_lost(
    shell: Shell, life: Life, mock: MockNexus, kind: FaultKind
) -> None:
    """Read back and found in the history: it happened, and once."""
    bounty_id = life.post()
    mock.inject(on(kind, "write", DOCUMENT))
    assert life.claim(bounty_id)["bounty"]["status"] == "claimed"
    assert [each.fault.kind for each in mock.requests if each.fault] == [kind]
    keys = [each["key"] for each in shell.json("history", bounty_id)["operations"]]
    assert keys.count("k-claim:claim") == 1


def test_0_is_a_commit_that_was_dropped_and_repeated(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """Not in the history: the same conditional write is its own fence."""
    bounty_id = life.post()
    mock.inject(on(FaultKind.DROP_BEFORE, "write", DOCUMENT))
    assert life.claim(bounty_id)["bounty"]["status"] == "claimed"


def test_0_with_what_is_owed_when_only_a_lease_could_not_be_ended(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """Cleaning up is the reconciler's; the operation stands."""
    bounty_id = life.post()
    life.claim(bounty_id)
    mock.inject(on(FaultKind.STATUS_BEFORE, "write", "*/claims/*", times=None, status=403))
    told = shell("cancel", bounty_id)
    assert told.code == 0
    assert "release_lease" in told.said
    assert "the reconciler sees to it" in told.said


def test_0_when_only_a_marker_could_not_be_removed_which_the_log_says(
    shell: Shell, life: Life, mock: MockNexus, caplog: pytest.LogCaptureFixture
) -> None:
    """It misleads nobody, and the reconciler finds it."""
    bounty_id = life.post()
    mock.inject(on(FaultKind.STATUS_BEFORE, "delete", MARKERS, times=None, status=403))
    assert shell("cancel", bounty_id).code == 0
    assert "still to be removed" in caplog.text
    mock.clear_faults()
    assert "missing or stale open marker" in shell("reconcile", "--grace", "0s").said


def test_4_is_a_payment_under_way_whose_end_is_still_owed(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """Past the pivot: the owed steps are named, and the reconciler does them."""
    bounty_id = life.post()
    life.claim(bounty_id)
    second = RequestMatch(method="write", path=DOCUMENT, nth=2)  # the first is the pivot
    mock.inject(Fault(FaultKind.STATUS_BEFORE, match=second, times=None, status=403))
    settle = ("settle", *life.settling(bounty_id), "--key", "k-settle")
    told = shell(*settle)
    assert told.code == POST_COMMIT
    assert "happened, and steps are still owed" in told.said
    assert "commit_settled" in told.said
    assert "`nexus-bounty reconcile` does what is owed" in told.said
    shown = shell(*settle, "--json")
    assert shown.code == POST_COMMIT
    assert shown.document["pending"][0] == "commit_settled"
    assert shown.document["bounty"]["status"] == "pending_settlement"
    mock.clear_faults()
    assert "repaired" in shell("reconcile", "--grace", "0s").said
    assert life.status(bounty_id) == "settled"
    assert life.free("bob") == 100


def test_5_is_a_commit_of_which_nothing_can_be_proven(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """The key is in the answer, and both ways to find out."""
    bounty_id = life.post()
    _make_it_unknowable(mock)
    told = shell("claim", bounty_id, "--agent", "bob", "--key", "k-claim")
    assert told.code == UNKNOWN
    assert "may have happened: nothing proves either yet" in told.said
    assert "Repeat the command with --key k-claim --lease 30m to finish it" in told.said
    assert f"nexus-bounty explain k-claim --bounty {bounty_id}" in told.said
    mock.clear_faults()
    assert shell.json("explain", "k-claim")["outcome"] == "committed"
    assert life.claim(bounty_id)["bounty"]["status"] == "claimed"


def test_5_tells_a_program_the_key_and_the_evidence(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """All that is needed to go on without a person."""
    bounty_id = life.post()
    _make_it_unknowable(mock)
    ended = shell("cancel", bounty_id, "--key", "k-cancel", "--json")
    assert ended.code == UNKNOWN
    document = ended.document
    assert document["outcome"] == "unknown"
    assert document["idempotencyKey"] == "k-cancel"
    assert document["bountyId"] == bounty_id
    assert document["evidence"]["observations"]
    assert document["money"] == "The credits are held until it is known."


def _make_it_unknowable(mock: MockNexus) -> None:
    """The next commit is applied; no answer, and no read after it, comes through."""
    mock.reset_counts()
    mock.inject(
        on(FaultKind.DROP_AFTER, "write", DOCUMENT, times=None),
        Fault(
            FaultKind.STATUS_BEFORE,
            match=RequestMatch(
                "read", DOCUMENT, predicate=lambda _: any(each.fault for each in mock.requests)
            ),
            times=None,
        ),
    )


def test_5_not_3_when_a_repeat_of_what_may_have_happened_cannot_be_sent(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """Another process was told "unknown" under this key; this one cannot know, and says so."""
    bounty_id = life.post()
    _make_it_unknowable(mock)
    claim = ("claim", bounty_id, "--agent", "bob", "--key", "k-claim")
    assert shell(*claim).code == UNKNOWN
    mock.clear_faults()
    mock.inject(Fault(FaultKind.DROP_BEFORE, match=RequestMatch(), times=None))
    for again in (shell(*claim), shell(*claim, "--url", "http://127.0.0.1:9")):
        assert again.code == UNKNOWN
        assert "may have happened" in again.said
        assert "explain k-claim" in again.said


def test_5_not_3_when_a_repeat_of_a_top_up_cannot_reach_its_ledger(
    shell: Shell, tmp_path: Path
) -> None:
    """An earlier command with its key may well have; with a new key, nobody can have."""
    file = tmp_path / "odd.db"
    file.write_bytes(b"no database, but long enough to be read as one" * 40)
    top_up = ("top-up", "bob", 5, "--credits", f"sqlite:///{file}")
    repeated = shell(*top_up, "--key", "k-pay")
    assert repeated.code == UNKNOWN
    assert "whether an earlier command with this key did it is not known" in repeated.said
    assert shell(*top_up).code == PRE_COMMIT


def test_3_when_nothing_of_a_new_operation_can_be_sent(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """Its key is new, so that nobody can have used it before."""
    bounty_id = life.post()
    mock.inject(Fault(FaultKind.DROP_BEFORE, match=RequestMatch(), times=None))
    assert shell("claim", bounty_id, "--agent", "bob").code == PRE_COMMIT


def test_the_same_command_twice_is_the_same_operation(shell: Shell, life: Life) -> None:
    """Its default deadline is a new moment; the posting is not a new one."""
    shell("top-up", "alice", 1000)
    command = ("create", "Sort it", "--amount", 10, "--creator", "alice", "--key", "post-43")
    first, again = shell.json(*command), shell.json(*command)
    assert again["bounty"] == first["bounty"]
    assert shell.json("balance", "alice")["reserved"] == 10


def test_a_key_that_stands_for_something_else_has_an_exit_code_of_its_own(shell: Shell) -> None:
    """It does not say that it never happened: what the key stands for did."""
    shell("top-up", "alice", 1000)
    command = ("create", "Sort it", "--creator", "alice", "--key", "post-43", "--json")
    shell(*command, "--amount", 10)
    told = shell(*command, "--amount", 11)
    assert told.code == 8
    assert told.document["outcome"] == "other_operation"
    assert told.document["other"]["kind"] == "create"
    assert "explain post-43" in told.document["next"]
