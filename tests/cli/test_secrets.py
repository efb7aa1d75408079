"""The API key is in no output, whatever happens."""

from __future__ import annotations

import pytest

from nexus_bounty.mock import FaultKind, MockNexus
from tests.cli.conftest import API_KEY
from tests.cli.shell import Life, Shell, on

WRONG = "sk-wrong-9876543210"


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_the_key_is_in_no_output_of_any_command(
    shell: Shell, life: Life, as_json: list[str]
) -> None:
    """Neither from the environment nor from a flag."""
    bounty_id = life.post()
    for command in (
        ["list"],
        ["show", bounty_id],
        ["claim", bounty_id, "--agent", "bob", "--api-key", API_KEY],
        ["history", bounty_id],
        ["explain", "k-post"],
        ["settle", bounty_id, "cid-none"],
        ["reconcile"],
        ["show", "b-none"],
        ["claim", "--help"],
        ["demo", "--api-key", API_KEY],
        ["demo", "--help"],
    ):
        ended = shell(*command, *as_json)
        assert API_KEY not in ended.out + ended.err


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_wrong_key_is_not_repeated_and_the_advice_is_to_give_another(
    shell: Shell, as_json: list[str]
) -> None:
    """Not even when the server says it back."""
    ended = shell("list", "--api-key", WRONG, *as_json)
    assert ended.code == 1
    assert WRONG not in ended.out + ended.err
    assert "NEXUS_API_KEY" in ended.said


def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(shell: Shell) -> None:
    """The setting is named, its value is not."""
    ended = shell("list", "--api-key", "pässword")
    assert ended.code == 2
    assert "NEXUS_API_KEY" in ended.said
    assert "pässword" not in ended.said


def test_the_key_is_not_in_the_evidence_of_an_error(
    shell: Shell, life: Life, mock: MockNexus
) -> None:
    """What was sent and what came back is told without credentials."""
    bounty_id = life.post()
    mock.inject(on(FaultKind.STATUS_BEFORE, "write", "*", times=None, status=401))
    for as_json in ([], ["--json"]):
        ended = shell("cancel", bounty_id, *as_json)
        assert ended.code == 3
        assert API_KEY not in ended.out + ended.err
