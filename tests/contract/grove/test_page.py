"""The page on sharing a zone: each thing that it says happens is held by a test, named here."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

PAGE: Final = (Path(__file__).parents[3] / "docs/how-to/share-a-zone-with-grove.md").read_text()

SHARED, CLAIMS, MOVED, ODD, LIMITS, SETTLING = (
    f"tests.contract.grove.test_{name}"
    for name in (
        "shared_zone",
        "newer_claims",
        "moved_claims",
        "odd_documents",
        "limits",
        "settlement_sweep",
    )
)
LISTINGS = "tests.nexus.bounties.test_listings"
LOCKS = "tests.nexus.claims.test_stored_locks"
SWEEPS = "tests.nexus.bounties.test_foreign_sweeps"
SUITE = "nexus_bounty.testing.claims_suite"
KEEPING = "nexus_bounty.testing.claims_keeping"

HELD_BY: Final[dict[str, tuple[str, str]]] = {
    # documents
    "read, listed and moved on by the other": (
        SHARED,
        "test_in_each_turn_we_find_what_grove_left_and_leave_what_grove_read",
    ),
    "Unknown keys": (SHARED, "test_what_grove_knows_and_we_do_not_survives_every_transition"),
    "Neither overwrites": (LISTINGS, "test_what_the_peer_did_meanwhile_is_not_overwritten"),
    "leave our evidence in a bounty": (
        SHARED,
        "test_what_we_know_and_grove_does_not_survives_its_transitions",
    ),
    "A `null` description": (ODD, "test_a_null_description_is_an_empty_one"),
    "`500.0` is an amount": (ODD, "test_a_whole_amount_in_float_form_is_an_amount"),
    "A date is understood": (ODD, "test_a_date_as_javascript_reads_it_is_understood_in_utc"),
    "A status that we do not know": (
        ODD,
        "test_no_operation_and_no_reconciler_moves_it_or_its_credits",
    ),
    "What cannot be understood": (
        ODD,
        "test_what_cannot_be_understood_is_left_out_counted_and_named",
    ),
    # claims
    "A lease of either is respected": (
        CLAIMS,
        "test_a_live_lease_of_grove_is_respected_and_the_refusal_says_whose_it_is",
    ),
    "The refusal says who": (
        CLAIMS,
        "test_a_live_lease_of_grove_is_respected_and_the_refusal_says_whose_it_is",
    ),
    "in its own shape": (CLAIMS, "test_a_claim_of_grove_is_ended_in_its_own_shape"),
    "A lease that has run out": (
        CLAIMS,
        "test_a_lease_of_grove_that_has_run_out_frees_its_target",
    ),
    "An emptied lock": (CLAIMS, "test_an_emptied_lock_is_a_free_lock"),
    "one of white space": (LOCKS, "test_a_lock_of_white_space_is_a_free_lock"),
    "A lock is understood": (
        LOCKS,
        "test_a_live_lease_is_respected_however_its_lock_is_stored",
    ),
    "names no claim": (LOCKS, "test_a_lock_that_names_no_claim_is_taken_from_nobody"),
    "moved to another target": (
        MOVED,
        "test_a_bounty_whose_lease_grove_moved_away_can_be_claimed",
    ),
    "However that bounty ends": (
        MOVED,
        "test_what_ends_a_bounty_leaves_the_lease_alone_that_grove_moved_away",
    ),
    "repeated with its key after that": (
        "tests.operations.test_repeated_claims",
        "test_a_claim_is_found_after_grove_has_moved_its_lease_to_something_else",
    ),
    "A claim keeps its context": (SUITE, "ClaimStoreContract.test_a_claim_keeps_its_context"),
    # markers
    "swept away before its commit": (
        "tests.nexus.bounties.test_swept_ahead",
        "test_what_was_swept_away_ahead_of_its_commit_is_listed_a_moment_after",
    ),
    "did not get is passed over": (
        SHARED,
        "test_grove_passes_over_the_marker_of_a_lease_that_we_did_not_get",
    ),
    "What a process that died left unlisted": (
        SWEEPS,
        "test_what_a_process_that_died_did_not_look_at_the_reconciler_finds",
    ),
    # credits
    "began to settle, or settled": (
        SETTLING,
        "test_what_grove_alone_settled_is_reported_and_paid_once_its_work_was_looked_at",
    ),
    "Grove's sweep took to its end": (
        SETTLING,
        "test_what_we_began_to_settle_is_paid_whoever_took_it_to_its_end",
    ),
    "The reconciler reports it until then": (
        "tests.reconcile.test_sweeps",
        "test_each_sweep_brings_what_it_finds_to_its_right_end_or_says_why_not",
    ),
    "`credits=None`": (
        "tests.operations.test_without_credits",
        "test_a_whole_life_needs_no_ledger",
    ),
    "of whose lease there is no record": (
        "tests.reconcile.test_leases_gone",
        "test_somebody_else_can_claim_it_as_soon_as_it_is_reopened",
    ),
    "treasury": (
        "nexus_bounty.testing.credits_suite",
        "CreditsServiceContract.test_rewards_can_be_paid_from_the_treasury_of_the_peer",
    ),
    # limits
    "which transitions are legal": (LIMITS, "test_grove_cancels_a_bounty_that_is_being_paid"),
    "its status marker after its commit": (
        LISTINGS,
        "test_a_marker_that_the_peer_lost_is_found_missing_and_repaired",
    ),
    "deletes lock files without a condition": (
        SHARED,
        "test_a_lease_of_ours_can_be_lost_to_a_late_clean_up_of_grove",
    ),
    "cannot lease a target again": (
        SHARED,
        "test_grove_cannot_take_a_target_that_we_have_leased_before",
    ),
    "takes a lock for abandoned": (
        LIMITS,
        "test_the_newer_grove_takes_a_lock_whose_claim_is_not_written_yet",
    ),
    "our evidence is gone": (
        CLAIMS,
        "test_of_a_flat_claim_that_grove_renewed_the_evidence_is_gone_and_we_say_so",
    ),
    "no record of operations": (LIMITS, "test_nothing_tells_what_became_of_a_request_of_grove"),
    "It has no key": (
        "tests.operations.test_signed_zone",
        "test_our_commit_stays_proven_when_another_program_moves_the_bounty_on",
    ),
    "makes ids with `/`": (LISTINGS, "test_ids_that_only_the_peer_allows_are_listed"),
    # stricter
    "An id stands for one claim": (
        SUITE,
        "ClaimStoreContract.test_the_id_of_an_ended_claim_is_not_used_again",
    ),
    "A bounty that nobody has claimed": (
        "tests.operations.test_settle",
        "test_what_nobody_has_claimed_is_not_settled_whoever_claims_it_meanwhile",
    ),
    "Ending a claim again": (SUITE, "ClaimStoreContract.test_ending_a_claim_again_changes_nothing"),
    "`expire_stale` does not find it": (
        SUITE,
        "ClaimStoreContract.test_a_lease_run_out_lets_another_agent_in",
    ),
    "however old their heartbeats": (
        "tests.nexus.claims.test_retention",
        "test_a_claim_that_ended_lately_stays_however_old_its_heartbeat",
    ),
    "Only a claim that still holds": (
        SUITE,
        "ClaimStoreContract.test_a_claim_whose_lease_has_run_out_cannot_be_completed",
    ),
    "kept for a day": (
        KEEPING,
        "ClaimKeeping.test_what_a_repeat_may_still_have_to_find_is_not_deleted",
    ),
    "Where colons": (
        "tests.test_models",
        "test_a_reward_id_has_the_form_of_the_peer_where_that_has_one_meaning",
    ),
    "Ids with": (LIMITS, "test_ids_that_grove_makes_are_refused_as_arguments"),
}


def _claims() -> list[str]:
    """What the page says happens: the bullets after its tables of servers."""
    return re.findall(r"^- (.+)$", PAGE[PAGE.index("## What holds") :], re.MULTILINE)


def test_each_claim_of_the_page_names_its_test() -> None:
    """And no test is named for a claim that is not made."""
    for claim in _claims():
        assert [each for each in HELD_BY if each in claim], claim
    for phrase in HELD_BY:
        assert [claim for claim in _claims() if phrase in claim], phrase


@pytest.mark.parametrize("phrase", HELD_BY)
def test_each_test_that_is_named_exists(phrase: str) -> None:
    """By its module and name."""
    module, name = HELD_BY[phrase]
    found: object = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
