"""Every command, for people and for programs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from nexus_bounty.mock import PERSONALITIES, MockNexus
from tests.cli.conftest import API_KEY
from tests.cli.shell import Life, Shell

DEADLINE = "2100-01-01T00:00:00Z"


def test_people_read_what_happened_where_the_money_is_and_what_is_next(
    shell: Shell, life: Life, work: str
) -> None:
    """Each step of a bounty's life says so in words."""
    assert "Added 500 credits to alice" in shell("top-up", "alice", 500).said
    posted = shell("create", "Sort it", "--amount", 100, "--creator", "alice", "--key", "k-1")
    assert posted.code == 0
    assert "Posted 'Sort it' for 100 credits" in posted.said
    assert "100 held in escrow" in posted.said
    bounty_id = shell.json("list")["bounties"][0]["bountyId"]
    assert f"nexus-bounty claim {bounty_id}" in posted.said
    assert "bob has claimed 'Sort it'" in shell("claim", bounty_id, "--agent", "bob").said
    assert "bob keeps 'Sort it'" in shell("renew", bounty_id, "--agent", "bob").said
    assert "is open again" in shell("release", bounty_id, "--agent", "bob").said
    assert shell("claim", bounty_id, "--agent", "carol").code == 0
    settled = shell("settle", *life.settling(bounty_id))
    assert "Paid 100 credits to carol" in settled.said
    assert "100 paid to carol" in settled.said
    assert "400 free, 0 in escrow" in shell("balance", "alice").said
    assert "100 free" in shell("balance", "carol").said


def test_every_command_answers_a_program_with_one_document(shell: Shell, life: Life) -> None:
    """`--json` is on all of them, and stdout holds nothing else."""
    bounty_id = life.post("--tag", "sorted", "--deadline", DEADLINE)
    assert life.claim(bounty_id)["operation"] == "claim"
    assert shell.json("renew", bounty_id, "--agent", "bob")["claim"]["revision"] == 2
    assert shell.json("release", bounty_id, "--agent", "bob")["bounty"]["status"] == "open"
    assert life.claim(bounty_id, key="k-again")["bounty"]["claimedBy"] == {"agentId": "bob"}
    assert life.settle(bounty_id)["bounty"]["status"] == "settled"
    other = life.post(key="k-other")
    assert shell.json("cancel", other)["bounty"]["status"] == "cancelled"
    assert shell.json("show", bounty_id)["bountyId"] == bounty_id
    assert shell.json("list")["total"] == 2
    assert shell.json("expire")["expired"] == []
    assert shell.json("balance", "alice") == {"account": "alice", "available": 1900, "reserved": 0}
    assert shell.json("reconcile", "--dry-run")["dryRun"] is True
    assert shell.json("history", bounty_id)["bounty"]["status"] == "settled"
    assert shell.json("explain", "k-post")["outcome"] == "committed"
    assert shell.json("demo")["final_status"] == "settled"


def test_what_is_created_is_what_was_asked_for(shell: Shell, life: Life) -> None:
    """Every option of `create` is in the document."""
    bounty_id = life.post(
        *("--description", "fast", "--criteria", "must be fast", "--deadline", DEADLINE),
        *("--tag", "sorted", "--tag", "tested", "--bounty-id", "b-7", "--context", '{"a": 1}'),
        *("--metric", "speed", "--threshold", "1.5", "--direction", "maximize"),
    )
    stored = shell.json("show", bounty_id)
    assert stored["bountyId"] == "b-7"
    assert stored["description"] == "fast"
    assert stored["context"] == {"a": 1}
    assert stored["deadline"] == DEADLINE
    assert stored["criteria"] == {
        "description": "must be fast",
        "metricName": "speed",
        "metricThreshold": 1.5,
        "metricDirection": "maximize",
        "requiredTags": ["sorted", "tested"],
    }
    assert "must be fast; tag sorted; tag tested; speed at least 1.5" in shell("show", "b-7").said


def test_a_create_repeated_with_its_key_posts_one_bounty_and_holds_its_credits_once(
    shell: Shell, life: Life
) -> None:
    """The same key and the same deadline are the same operation."""
    first = life.post("--deadline", DEADLINE)
    again = shell.json(
        *("create", "Sort it", "--amount", 100, "--creator", "alice"),
        *("--key", "k-post", "--deadline", DEADLINE),
    )
    assert again["bounty"]["bountyId"] == first
    assert shell.json("list")["total"] == 1
    assert life.reserved("alice") == 100


def test_a_top_up_repeated_with_its_key_adds_its_credits_once(shell: Shell) -> None:
    """The key is the id of the transfer."""
    for _ in range(2):
        assert shell.json("top-up", "alice", 10, "--key", "once")["balance"]["available"] == 10


def test_listings_are_newest_first_and_cut_as_asked(shell: Shell, life: Life) -> None:
    """`--limit`, `--offset` and the filters restrict; the total counts what matches."""
    ids = [life.post(key=f"k-{number}") for number in range(4)]
    life.claim(ids[0])
    assert [each["bountyId"] for each in shell.json("list")["bounties"]] == ids[::-1]
    page = shell.json("list", "--limit", 2, "--offset", 1)
    assert [each["bountyId"] for each in page["bounties"]] == [ids[2], ids[1]]
    assert page["total"] == 4
    claimed = shell.json("list", "--status", "claimed", "--claimer", "bob")
    assert [each["bountyId"] for each in claimed["bounties"]] == [ids[0]]
    assert "2 of 4" in shell("list", "--limit", 2).said
    assert shell.json("list", "--creator", "nobody") == {"bounties": [], "total": 0}
    assert "No bounties" in shell("list", "--creator", "nobody").said


def write(url: str, path: str, text: str) -> None:
    """Write a file as another program does."""
    params = {"path": path, "content": text}
    body = {"jsonrpc": "2.0", "id": 1, "method": "write", "params": params}
    headers = {"Authorization": f"Bearer {API_KEY}"}
    answer = httpx.post(f"{url}/api/nfs/write", json=body, headers=headers)
    assert "error" not in answer.json(), answer.text


def test_a_listing_counts_and_names_what_cannot_be_understood(
    shell: Shell, life: Life, url: str
) -> None:
    """It would be missing silently otherwise."""
    life.post()
    write(url, "/zones/default/bounties/broken.json", "{}")
    write(url, "/zones/default/bounties/odd.json", "[bold]no JSON")
    listed = shell.json("list")
    assert listed["total"] == 1
    assert sorted(listed["unreadable"]) == ["broken", "odd"]
    said = shell("list").said
    assert "2 left out, which cannot be understood" in said
    assert "- broken: " in said


def test_a_bounty_past_its_deadline_is_expired_and_its_credits_come_back(
    shell: Shell, life: Life
) -> None:
    """By name, or with all that are due."""
    named, due = (
        life.post("--deadline", "4s", key="k-1"),
        life.post("--deadline", "4s", key="k-2"),
    )
    early = shell("expire", life.post(key="k-3"))
    assert early.code == 3
    assert "may be worked on until" in early.said
    ended = early
    while ended.code == 3:
        time.sleep(0.3)
        ended = shell("expire", named)
    assert "Expired 'Sort it'" in ended.said
    swept: list[Any] = []
    while not swept:
        swept = shell.json("expire")["expired"]
    assert [each["bounty"]["bountyId"] for each in swept] == [due]
    assert life.reserved("alice") == 100
    assert "None is due" in shell("expire").said


def test_leases_may_be_kept_in_a_ledger_file(
    shell: Shell, life: Life, mock: MockNexus, environment: dict[str, str]
) -> None:
    """`--claims` takes the URL of any claim store."""
    bounty_id = life.post()
    shell.setenv("NEXUS_BOUNTY_CLAIMS", environment["NEXUS_BOUNTY_CREDITS"])
    assert life.claim(bounty_id)["claim"]["status"] == "active"
    assert not [path for path in mock.files if "/claims/" in path]


def test_creators_claim_their_own_bounty_only_when_allowed(shell: Shell, life: Life) -> None:
    """A setting, off unless asked for."""
    bounty_id = life.post()
    assert shell("claim", bounty_id, "--agent", "alice").code == 3
    assert shell("claim", bounty_id, "--agent", "alice", "--allow-own").code == 0


def test_the_contribution_is_looked_up_in_the_zone_unless_a_file_is_given(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """What the peer has published counts as it stands."""
    bounty_id = life.post("--tag", "sorted")
    life.claim(bounty_id)
    missing = shell("settle", bounty_id, "cid-1")
    assert missing.code == 3
    assert "there is no such contribution" in missing.said


def test_the_ledger_is_in_the_data_directory_unless_it_is_named(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A newcomer needs no option, and finds one ledger from every directory."""
    monkeypatch.delenv("NEXUS_BOUNTY_CREDITS")
    shell.json("top-up", "alice", 10)
    assert (tmp_path / "nexus-bounty" / "nexus-bounty.db").exists()


@pytest.mark.parametrize("choice", ["auto", "conditional", "rename", "single-writer"])
def test_every_way_to_commit_leads_through_a_whole_life(
    shell: Shell, life: Life, choice: str
) -> None:
    """Each command is a process of its own: what one holds, the next one gets."""
    shell.setenv("NEXUS_BOUNTY_COMMIT", choice)
    bounty_id = life.post()
    life.claim(bounty_id)
    assert life.settle(bounty_id)["bounty"]["status"] == "settled"


@pytest.mark.parametrize("mock", [MockNexus("0.9", etag="version")], ids=["0.9"])
def test_a_server_on_which_nothing_is_safe_is_refused_before_money_moves(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """The release is named, with what was observed and the way out."""
    shell.setenv("NEXUS_BOUNTY_COMMIT", "auto")
    life.funds()
    refused = shell("create", "Sort it", "--amount", 100, "--creator", "alice")
    assert refused.code == 3
    assert "acknowledged and never stored" in refused.said
    assert "nexus-bounty doctor" in refused.said
    assert life.reserved("alice") == 0


@pytest.mark.parametrize("mock", [MockNexus("0.9.20-without-kernel")], ids=["no kernel"])
def test_a_server_without_a_kernel_is_refused_before_money_moves(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """It would take every write and show none; what is missing is named."""
    shell.setenv("NEXUS_BOUNTY_COMMIT", "auto")
    life.funds()
    refused = shell("create", "Sort it", "--amount", 100, "--creator", "alice")
    assert refused.code == 3
    assert "its kernel is missing" in refused.said
    assert life.reserved("alice") == 0
    assert not mock.files


@pytest.mark.parametrize("mock", [MockNexus("0.9.20-without-kernel")], ids=["no kernel"])
@pytest.mark.parametrize("command", [("list",), ("show", "b-1"), ("history", "b-1")])
def test_who_reads_from_a_server_without_a_kernel_is_told_what_finds_that_out(
    shell: Shell, command: tuple[str, ...]
) -> None:
    """The server itself speaks of an internal error; an answer that asks `doctor` names it."""
    shell.setenv("NEXUS_BOUNTY_COMMIT", "auto")
    refused = shell(*command)
    assert refused.code == 1
    assert "`nexus-bounty doctor` says what the server lacks, such as a kernel" in refused.said
    assert "its kernel is missing" in shell("doctor").said


def test_a_person_is_told_what_takes_long(shell: Shell, life: Life) -> None:
    """On stderr, and only if somebody is looking."""
    shell.setenv("FORCE_COLOR", "1")
    shell.setenv("NEXUS_BOUNTY_COMMIT", "auto")
    life.funds()
    created = shell("create", "Sort it", "--amount", 100, "--creator", "alice", "--json")
    assert created.code == 0
    assert "finding out how commits are safe" in created.err
    assert "finding out" not in shell("cancel", created.document["bounty"]["bountyId"]).err


@pytest.mark.parametrize("mock", [MockNexus("0.9")], ids=["0.9"])
def test_reads_and_dry_runs_write_nothing(shell: Shell, mock: MockNexus) -> None:
    """Nothing is tried out for them either."""
    shell.setenv("NEXUS_BOUNTY_COMMIT", "auto")
    shell("list")
    shell("explain", "key-1")
    shell("reconcile", "--dry-run")
    assert not mock.log


def test_the_mock_server_offers_every_personality_there_is() -> None:
    """The list in the help is the mock's own."""
    from nexus_bounty.mock.personality import Release

    assert [each.value for each in Release] == list(PERSONALITIES)


def test_text_from_the_server_cannot_steer_the_terminal(shell: Shell, life: Life) -> None:
    """Neither markup nor escape sequences of a title have any effect."""
    life.funds()
    shell.json("create", "[red]\x1b[31mboo", "--amount", 1, "--creator", "alice")
    for command in ("list",):
        said = shell(command)
        assert "\x1b" not in said.out
        assert "[red]" in said.out
