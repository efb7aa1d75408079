"""Who acts: by options, by our variable, and by Grove's."""

from __future__ import annotations

from tests.cli.shell import Life, Shell

POST = ("create", "Sort it", "--amount", 10, "--deadline", "7d")


def test_what_is_said_of_an_agent_is_kept_with_what_it_does(shell: Shell, life: Life) -> None:
    """The creator's with the bounty, and the claimer's; the zone, too."""
    life.funds()
    fields = ("--agent-name", "Alice", "--provider", "acme", "--model", "m-1", "--role", "lead")
    bounty = shell.json(*POST, "--creator", "alice", *fields)["bounty"]
    assert bounty["creator"] == {
        "agentId": "alice",
        "agentName": "Alice",
        "provider": "acme",
        "model": "m-1",
        "role": "lead",
    }
    assert bounty["zoneId"] == "default"
    claimed = shell.json("claim", bounty["bountyId"], "--agent", "bob", "--role", "scout")
    assert claimed["bounty"]["claimedBy"] == {"agentId": "bob", "role": "scout"}


def test_the_variables_of_grove_say_who_acts(shell: Shell, life: Life) -> None:
    """All that Grove knows of an agent; an option goes before its variable."""
    life.funds()
    for name in ("NAME", "PROVIDER", "MODEL", "PLATFORM", "VERSION", "TOOLCHAIN", "RUNTIME"):
        shell.setenv(f"GROVE_AGENT_{name}", name.lower())
    shell.setenv("GROVE_AGENT_ID", "alice")
    shell.setenv("GROVE_AGENT_ROLE", "lead")
    bounty = shell.json(*POST, "--role", "boss")["bounty"]
    assert bounty["creator"] == {
        "agentId": "alice",
        "agentName": "name",
        "provider": "provider",
        "model": "model",
        "platform": "platform",
        "version": "version",
        "toolchain": "toolchain",
        "runtime": "runtime",
        "role": "boss",
    }


def test_what_the_environment_says_of_one_agent_is_not_said_of_another(
    shell: Shell, life: Life
) -> None:
    """Its variables are about the one that they name; our own variable goes first."""
    life.funds()
    shell.setenv("GROVE_AGENT_ID", "grover")
    shell.setenv("GROVE_AGENT_MODEL", "m-9")
    assert shell.json(*POST, "--creator", "alice")["bounty"]["creator"] == {"agentId": "alice"}
    shell.setenv("NEXUS_BOUNTY_AGENT", "alice")
    assert shell.json(*POST)["bounty"]["creator"] == {"agentId": "alice"}


def test_mine_are_those_that_the_agent_has_posted(shell: Shell, life: Life) -> None:
    """By its option or variable; without an agent nobody is meant."""
    mine = life.post()
    shell.json("top-up", "carol", 100)
    shell.json(*POST, "--creator", "carol")
    listed = shell.json("list", "--mine", "--agent", "alice")
    assert [each["bountyId"] for each in listed["bounties"]] == [mine]
    shell.setenv("GROVE_AGENT_ID", "alice")
    assert shell.json("list", "--mine")["total"] == 1
    assert shell.json("list")["total"] == 2
    assert shell.json("list", "--mine", "--creator", "alice")["total"] == 1
    assert shell("list", "--mine", "--creator", "carol").code == 2


def test_mine_without_an_agent_is_refused(shell: Shell) -> None:
    """Rather than listing everybody's."""
    ended = shell("list", "--mine")
    assert ended.code == 2
    assert "--agent" in ended.said


def test_an_id_is_the_same_however_its_accents_are_stored(shell: Shell) -> None:
    """By option or by variable; posting, listing and acting are by one agent."""
    composed, decomposed = "jos\u00e9", "jose\u0301"
    shell.json("top-up", decomposed, 100)
    mine = shell.json(*POST, "--creator", decomposed)["bounty"]
    assert mine["creator"]["agentId"] == composed
    for name in (composed, decomposed):
        assert shell.json("list", "--creator", name)["total"] == 1
        assert shell.json("list", "--mine", "--agent", name, "--creator", composed)["total"] == 1
        shell.setenv("GROVE_AGENT_ID", name)
        assert shell.json("list", "--mine")["total"] == 1
    worker = "rene\u0301e"
    shell.setenv("GROVE_AGENT_ID", worker)
    shell.setenv("GROVE_AGENT_MODEL", "m-1")
    claimed = shell.json("claim", mine["bountyId"], "--agent", "ren\u00e9e")["bounty"]
    assert claimed["claimedBy"] == {"agentId": "ren\u00e9e", "model": "m-1"}
    assert shell.json("list", "--claimer", worker)["total"] == 1
    shell.json("renew", mine["bountyId"], "--agent", worker)
    shell.json("release", mine["bountyId"], "--agent", worker)
    shell.json("cancel", mine["bountyId"], "--agent", decomposed)
