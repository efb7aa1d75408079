"""The page on sharing a zone: each thing that it says happens is held by a test, named here.

Sentence by sentence and row by row: a claim with several parts has a phrase for each.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from tests.contract.grove.on_servers import ROWS

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
BOTH, SERVERS = "tests.contract.grove.test_both_ways", "tests.contract.grove.test_on_servers"
LAYOUT = "tests.cli.test_zone_layout"
LISTINGS = "tests.nexus.bounties.test_listings"
LOCKS = "tests.nexus.claims.test_stored_locks"
SWEEPS = "tests.nexus.bounties.test_foreign_sweeps"
CREDITS = "CreditsServiceContract"
SUITE = "nexus_bounty.testing.claims_suite"
KEEPING = "nexus_bounty.testing.claims_keeping"

HELD_BY: Final[dict[str, tuple[str, str]]] = {
    # how things look
    "lie where": (
        "tests.nexus.documents.test_documents",
        "test_everything_lives_where_the_peer_expects_it",
    ),
    "target locks and contributions": (
        "tests.nexus.test_contributions",
        "test_what_is_delivered_is_found_and_where_grove_looks_for_it",
    ),
    "look as it expects": (SHARED, "test_all_that_we_left_is_what_grove_needs"),
    "that it and we write in turns": (SHARED, "test_the_recording_is_of_the_play_as_it_stands"),
    "Its documents are fixtures": (CLAIMS, "test_what_grove_wrote_is_read_byte_for_byte"),
    "Each sentence below": (__name__, "test_each_claim_of_the_page_names_its_test"),
    # settings
    "Both encodings are read": (
        "tests.nexus.documents.test_documents",
        "test_a_document_is_read_as_it_was_written_in_either_encoding",
    ),
    "a document keeps the one it has": (
        LISTINGS,
        "test_what_the_peer_created_is_moved_on_and_stays_readable_to_it",
    ),
    "new ones are raw JSON otherwise": (LISTINGS, "test_what_we_created_raw_stays_raw"),
    "makes every listing of Grove fail": (
        SHARED,
        "test_one_document_in_raw_json_breaks_every_listing_of_grove",
    ),
    "which both Groves read": (
        CLAIMS,
        "test_our_claims_are_flat_so_that_every_grove_reads_them",
    ),
    "`split` where every Grove": (
        CLAIMS,
        "test_our_claims_are_split_where_that_is_set_and_newer_groves_read_them",
    ),
    "it keeps our evidence in a split claim": (
        CLAIMS,
        "test_what_grove_renewed_is_still_ours_to_renew_and_end",
    ),
    "drops it from a flat one": (
        CLAIMS,
        "test_of_a_flat_claim_that_grove_renewed_the_evidence_is_gone_and_we_say_so",
    ),
    "as it stands when a call returns": (
        BOTH,
        "test_where_commits_are_by_name_grove_reads_them_at_once_only_if_that_is_set",
    ),
    "or three round trips": (
        "tests.nexus.commit.test_following_far_away",
        "test_other_programs_see_a_commit_within_the_delay_or_three_round_trips",
    ),
    "a new zone is laid out flat": (
        "tests.nexus.selection.test_zone_layout",
        "test_a_new_zone_is_pinned_as_its_first_writer_is_set",
    ),
    "`nexus-bounty layout` and `doctor` say": (
        LAYOUT,
        "test_doctor_and_layout_say_how_a_zone_is_laid_out",
    ),
    "which names these directories": (
        BOTH,
        "test_where_listings_name_directories_grove_cannot_list_what_ended_in_a_dated_zone",
    ),
    "mark it flat as well": (LAYOUT, "test_a_zone_that_is_made_flat_keeps_the_markers_of_hours"),
    "it then does so twice": (
        BOTH,
        "test_in_a_zone_that_was_dated_grove_lists_what_ended_twice_or_not_at_all",
    ),
    "says with them who acts": (
        "tests.cli.test_agents",
        "test_the_variables_of_grove_say_who_acts",
    ),
    # a zone that has documents
    "before the first document": (
        LIMITS,
        "test_what_is_raw_stays_so_whatever_is_set_and_grove_cannot_read_it",
    ),
    "stays so through every transition": (
        LIMITS,
        "test_what_is_raw_stays_so_whatever_is_set_and_grove_cannot_read_it",
    ),
    "No command converts them": (
        LIMITS,
        "test_what_is_raw_stays_so_whatever_is_set_and_grove_cannot_read_it",
    ),
    "A zone with such documents cannot be shared": (
        SHARED,
        "test_one_document_in_raw_json_breaks_every_listing_of_grove",
    ),
    "that begins with `{`": (
        LIMITS,
        "test_what_is_raw_stays_so_whatever_is_set_and_grove_cannot_read_it",
    ),
    # servers
    "Recorded from the older one's own code": (SERVERS, "test_each_cell_is_what_grove_does_there"),
    "is acknowledged all the same": (SERVERS, "test_each_cell_is_what_grove_does_there"),
    "lack `sys_read`": (BOTH, "test_the_oldest_releases_lack_what_grove_asks_for"),
    "takes what is missing for an error": (
        BOTH,
        "test_on_the_newest_release_grove_understands_no_stat_and_no_missing_file",
    ),
    "its listings by status do not work there": (
        BOTH,
        "test_what_has_gone_back_to_open_breaks_grove_s_listing_where_missing_is_an_error",
    ),
    "which Grove takes for an id": (
        BOTH,
        "test_what_has_gone_back_to_open_breaks_grove_s_listing_where_missing_is_an_error",
    ),
    "refuses nobody": (
        BOTH,
        "test_on_the_newest_release_the_condition_of_a_write_over_a_file_refuses_nobody",
    ),
    "Both can write safely where": (
        BOTH,
        "test_grove_does_not_overwrite_what_we_wrote_since_it_read",
    ),
    "Grove knows nothing": (
        BOTH,
        "test_where_commits_are_by_name_grove_reads_them_at_once_only_if_that_is_set",
    ),
    "No release that was measured is one": (
        "tests.nexus.probe.test_probe",
        "test_the_verdict_is_right_on_every_kind_of_server",
    ),
    "`doctor` says whether yours is": (
        "tests.cli.test_doctor",
        "test_the_verdict_is_right_in_words_in_json_and_as_an_exit_code",
    ),
    # documents
    "read, listed and moved on by the other": (
        SHARED,
        "test_in_each_turn_we_find_what_grove_left_and_leave_what_grove_read",
    ),
    "listed and moved on by the other": (
        BOTH,
        "test_each_reads_lists_and_moves_on_what_the_other_created",
    ),
    "Unknown keys": (SHARED, "test_what_grove_knows_and_we_do_not_survives_every_transition"),
    "Neither overwrites": (BOTH, "test_we_do_not_overwrite_what_grove_wrote_since_we_read"),
    "both write under the etag": (
        BOTH,
        "test_grove_does_not_overwrite_what_we_wrote_since_it_read",
    ),
    "a repeat with its key still finds out": (
        BOTH,
        "test_a_repeat_with_its_key_finds_out_after_grove_has_moved_the_bounty_on",
    ),
    "leave our evidence in a bounty": (
        SHARED,
        "test_what_we_know_and_grove_does_not_survives_its_transitions",
    ),
    "A `null` description": (ODD, "test_a_null_description_is_an_empty_one"),
    "`500.0` is an amount": (ODD, "test_a_whole_amount_in_float_form_is_an_amount"),
    "A date is understood": (ODD, "test_a_date_as_javascript_reads_it_is_understood_in_utc"),
    "as JavaScript reads it": (
        "tests.nexus.documents.test_javascript_dates",
        "test_what_javascript_reads_as_a_date_is_that_moment",
    ),
    "Years are those from 1 to 9999": (
        "tests.nexus.documents.test_javascript_dates",
        "test_anything_else_is_no_date",
    ),
    "A status that we do not know": (
        ODD,
        "test_a_bounty_in_a_status_of_another_program_is_listed_as_it_stands",
    ),
    "nothing of ours moves such a bounty": (ODD, "test_such_a_bounty_is_never_moved"),
    "or its credits": (ODD, "test_no_operation_and_no_reconciler_moves_it_or_its_credits"),
    "What cannot be understood": (
        ODD,
        "test_what_cannot_be_understood_is_left_out_counted_and_named",
    ),
    # claims
    "A claim in a phase that we do not know": (
        CLAIMS,
        "test_a_phase_that_we_do_not_know_holds_its_target_for_as_long_as_its_lease",
    ),
    "A lease of either is respected": (
        CLAIMS,
        "test_a_live_lease_of_grove_is_respected_and_the_refusal_says_whose_it_is",
    ),
    "respected by the other while its lock": (
        BOTH,
        "test_grove_respects_a_lease_of_ours_while_its_lock_is_in_place",
    ),
    "The refusal says who": (
        CLAIMS,
        "test_a_live_lease_of_grove_is_respected_and_the_refusal_says_whose_it_is",
    ),
    "in its own shape": (CLAIMS, "test_a_claim_of_grove_is_ended_in_its_own_shape"),
    "is renewed, completed and released": (
        CLAIMS,
        "test_a_claim_of_grove_is_renewed_in_its_own_shape_and_keeps_what_we_do_not_know",
    ),
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
        "test_a_claim_that_grove_moved_holds_its_new_target_alone",
    ),
    "that it was on is free to be claimed": (
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
    "A lease that cannot be understood": (
        "tests.reconcile.test_unreadable_leases",
        "test_the_reconciler_names_it_and_reopens_only_the_other_one",
    ),
    "A claim keeps its context": (SUITE, "ClaimStoreContract.test_a_claim_keeps_its_context"),
    # markers
    "swept away before its commit": (
        "tests.nexus.bounties.test_swept_ahead",
        "test_what_was_swept_away_ahead_of_its_commit_is_listed_a_moment_after",
    ),
    "marked again with its file": (
        "tests.nexus.bounties.test_swept_ahead",
        "test_what_is_swept_away_after_an_operation_has_returned_is_listed_a_moment_after",
    ),
    "takes nothing from a bounty that was given back": (
        "tests.nexus.bounties.test_peers_marker",
        "test_what_a_claim_leaves_behind_takes_no_marker_that_is_needed_again",
    ),
    "a delete arrives later than anybody looks": (
        "tests.nexus.bounties.test_peers_marker",
        "test_a_delete_that_arrives_long_after_is_made_good_by_the_reconciler",
    ),
    "did not get is passed over": (
        SHARED,
        "test_grove_passes_over_the_marker_of_a_lease_that_we_did_not_get",
    ),
    "the reconciler, or `clean_completed`": (
        "tests.reconcile.test_sweeps",
        "test_the_marker_of_a_lease_taken_in_vain_is_removed_once_no_repeat_needs_it",
    ),
    "`collect_leftovers` of the claim store": (
        "tests.nexus.claims.test_retention",
        "test_markers_written_ahead_of_claims_that_were_never_made_are_removed_in_time",
    ),
    "What a process that died left unlisted": (
        SWEEPS,
        "test_what_a_process_that_died_did_not_look_at_the_reconciler_finds",
    ),
    # credits
    "What Grove completed": (
        "tests.operations.test_completed",
        "test_a_settle_pays_what_another_program_completed",
    ),
    "began to settle, or": (
        "tests.operations.test_resume",
        "test_what_another_program_has_begun_is_paid_once_its_work_was_looked_at",
    ),
    "or settled while our ledger": (
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
    "and leave others alone": (
        "tests.operations.test_without_credits",
        "test_whose_credits_are_in_a_ledger_is_refused_before_anything_is_written",
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
    "nor whose claim it is": (BOTH, "test_grove_ends_a_lease_whosever_it_is"),
    "does not know `pending_settlement`": (SHARED, "test_one_status_is_unknown_to_grove"),
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
    "until an operator signs it": (
        "tests.operations.test_signed_zone",
        "test_what_was_not_signed_is_left_alone_until_somebody_signs_it",
    ),
    "makes ids with `/`": (LISTINGS, "test_ids_that_only_the_peer_allows_are_listed"),
    "refuse the ids as arguments": (LIMITS, "test_ids_that_grove_makes_are_refused_as_arguments"),
    # coming from Grove
    "`NexusClaimStore.create_claim`": (
        KEEPING,
        "ClaimKeeping.test_a_free_target_can_be_claimed_without_the_wish_to_renew",
    ),
    "`claim_or_renew`, …": (SUITE, "ClaimStoreContract.test_the_same_agent_renews_its_claim"),
    "`list_claims`": (KEEPING, "ClaimKeeping.test_claims_are_listed_whatever_became_of_them"),
    "`clean_completed`, `detect_stalled`": (
        KEEPING,
        "ClaimKeeping.test_claims_that_ended_long_ago_are_deleted",
    ),
    "`expire_stale(stalled_for=…)`": (
        KEEPING,
        "ClaimKeeping.test_a_lease_whose_agent_is_not_heard_of_is_stalled",
    ),
    "`is_bounty_expired`": (
        "tests.test_lifecycle",
        "test_a_bounty_is_expired_once_its_deadline_is_over",
    ),
    "`is_bounty_terminal`": ("tests.test_lifecycle", "test_nothing_leaves_a_terminal_status"),
    "`evaluate_bounty_criteria`": (
        "tests.test_criteria",
        "test_whether_criteria_are_met_can_be_asked_under_the_peers_name",
    ),
    "`credits.reserve(…, timeout=…)`": (
        "nexus_bounty.testing.credits_suite",
        f"{CREDITS}.test_a_reservation_with_a_timeout_is_the_same_when_it_is_asked_for_again_later",
    ),
    "`BountyOperations(…, same_content_once=True)`": (
        "tests.operations.test_without_credits",
        "test_equal_offers_without_keys_are_one_where_that_is_wished",
    ),
    "the same is posted again with a key of its own": (
        "tests.operations.test_same_content",
        "test_what_has_ended_is_named_and_not_passed_off_as_posted",
    ),
    "`nexus-bounty list --mine`": (
        "tests.cli.test_agents",
        "test_mine_are_those_that_the_agent_has_posted",
    ),
    # stricter
    "one that has ended is not claimed again": (
        SUITE,
        "ClaimStoreContract.test_the_id_of_an_ended_claim_is_not_used_again",
    ),
    "until that is cleaned away": (
        "tests.nexus.claims.test_retention",
        "test_once_a_claim_is_cleaned_away_its_id_can_be_another_ones",
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
    "released ones stay released": (
        SUITE,
        "ClaimStoreContract.test_a_released_claim_cannot_be_completed",
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


HEADS: Final = ("variable", "to", "Grove")
CLAIMS_NOTHING: Final = (
    "There are two of it to reckon with:",
    "There, what follows holds.",
    "Documents:",
    "Claims:",
    "Markers:",
    "Credits and settling:",
    "The other eight, and what else differs, on purpose:",
)
"""They lead to what is claimed."""
MEASURED: Final = ("Grove's own suites, run from outside",)
"""What was seen once, by Grove's code and not by ours."""


def _claims() -> list[str]:
    """What the page says happens: its sentences, bullets and rows, but for faults that are known.

    The table of servers has a test for each of its cells.
    """
    page = re.sub(r"\n## Known faults\n.*?(?=\n## )", "", PAGE, flags=re.DOTALL)
    blocks = re.split(r"\n\n+|\n(?=- |\| )", page)
    return [claim for block in blocks for claim in _claims_of(" ".join(block.split()))]


def _claims_of(block: str) -> list[str]:
    if block.startswith(("- ", "| ")):
        head = block[2:].partition(" |")[0]
        return [] if head in HEADS or head in ROWS else [block[2:]]
    sentences = re.split(r"(?<=[.:])\s+(?=[A-Z`0-9])", block)
    return [each for each in sentences if not each.startswith((*CLAIMS_NOTHING, *MEASURED, "#"))]


def test_each_claim_of_the_page_names_its_test() -> None:
    """And no test is named for a claim that is not made, nor a sentence that is not there."""
    claims = _claims()
    assert [claim for claim in claims if not any(each in claim for each in HELD_BY)] == []
    assert [each for each in HELD_BY if not any(each in claim for claim in claims)] == []
    flat = " ".join(PAGE.split())
    assert [each for each in (*CLAIMS_NOTHING, *MEASURED) if each not in flat] == []


def test_a_claim_that_is_added_anywhere_is_seen() -> None:
    """In prose, in a list, in a table."""
    for added in ("Grove sings.", "- It sings.", "| Sing | sings |"):
        for section in ("## Settings", "## What holds", "## Coming from Grove"):
            page = PAGE.replace(f"{section}\n", f"{section}\n\n{added}\n\n")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(f"{__name__}.PAGE", page)
                assert any("ing" in each and "sings" in each for each in _claims())


@pytest.mark.parametrize("phrase", HELD_BY)
def test_each_test_that_is_named_exists(phrase: str) -> None:
    """By its module and name."""
    module, name = HELD_BY[phrase]
    found: object = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
