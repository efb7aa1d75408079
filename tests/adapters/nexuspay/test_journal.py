"""What a list of transfers means, whatever its order, and whoever wrote to it."""

from __future__ import annotations

import itertools
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_bounty.ledger import MINT, EntryKind, JournalEntry
from nexus_bounty_nexuspay.amounts import cut_in_floats, exact, units_in
from nexus_bounty_nexuspay.entries import START, Entry, Names
from nexus_bounty_nexuspay.journal import Journal, Transaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = Names("default")


def entry(entry_id: str, after: str, amount: int = 1) -> Entry:
    """A top-up of alice."""
    movement = JournalEntry(
        kind=EntryKind.TOP_UP,
        source_id=entry_id,
        debit=MINT,
        credit="alice",
        amount=amount,
        at=NOW,
    )
    return Entry(
        entry_id=entry_id, after=after, operation="top_up", key=entry_id, moved=(movement,)
    )


def listed(number: int, recipient: str | Entry, amount: str = "0.01") -> Transaction:
    """The transfer that was stored as the `number`-th."""
    name = NAMES.of(recipient) if isinstance(recipient, Entry) else recipient
    at = NOW + timedelta(microseconds=number)
    return Transaction(id=f"tx-{number:04}", created_at=at, seller_agent_id=name, amount=amount)


def journal_of(*transactions: Transaction) -> Journal:
    journal = Journal(NAMES)
    journal.add(transactions)
    return journal


def state(journal: Journal) -> tuple[object, ...]:
    return (
        journal.head,
        dict(journal.book.accounts()),
        journal.deposited,
        [each.source_id for each in journal.book.entries()],
    )


def test_what_a_process_keeps_of_a_transfer_is_what_the_page_says() -> None:
    """About 2 kB each, and no more for each the more there are."""
    transactions = [
        listed(number, entry(f"{number:032}", f"{number - 1:032}" if number else START))
        for number in range(2_000)
    ]
    journal = Journal(NAMES)
    tracemalloc.start()
    try:
        kept = []
        for begin in (0, 1_000):
            journal.add(transactions[begin : begin + 1_000])
            kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert len(journal.book.entries()) == 2_000
    assert kept[1] - kept[0] < 2_500 * 1_000


@given(
    parents=st.lists(st.integers(0, 5), min_size=1, max_size=9), order=st.randoms(), data=st.data()
)
def test_every_reader_of_the_same_list_sees_the_same_ledger(parents, order, data) -> None:
    """In whatever pieces it is read, in whatever order, and however often."""
    ids = [START, *(f"e{number}" for number in range(len(parents)))]
    transactions = [
        listed(number, entry(f"e{number}", ids[min(parent, number)], number + 1))
        for number, parent in enumerate(parents)
    ]
    again = data.draw(st.lists(st.sampled_from(transactions)))
    duplicates = [listed(100 + number, each.seller_agent_id) for number, each in enumerate(again)]
    whole = journal_of(*transactions, *duplicates)
    pieces = Journal(NAMES)
    shuffled = [*transactions, *duplicates]
    order.shuffle(shuffled)
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        pieces.add(shuffled[:size])
        pieces.add(shuffled[: size // 2])
        del shuffled[:size]
    assert state(pieces) == state(whole)


def test_of_two_that_follow_the_same_entry_the_first_stored_counts() -> None:
    """And the other one's credits are nobody's."""
    journal = journal_of(listed(1, entry("a", START, 1)), listed(2, entry("b", START, 5), "0.05"))
    assert (journal.head, journal.book.balance("alice")) == ("a", 1)
    assert (journal.deposited, journal.unassigned) == (6, 5)
    assert journal.follower(START) == "a"


def test_a_straggler_counts_only_where_nothing_has_followed() -> None:
    """Which is why any entry fences off all that may still be under way."""
    journal = journal_of(listed(1, entry("a", START)), listed(2, entry("b", "a")))
    journal.add([listed(3, entry("late", "a")), listed(4, entry("c", "b"))])
    assert [each.source_id for each in journal.book.entries()] == ["a", "b", "c"]


def test_a_list_whose_clock_went_back_is_counted_anew_and_told_of(caplog) -> None:
    """All readers agree again, and somebody hears of it."""
    journal = journal_of(listed(5, entry("a", START)), listed(6, entry("b", "a")))
    journal.add([listed(4, entry("earlier", START))])
    assert state(journal)[0] == "earlier"
    assert "clock" in caplog.text
    in_order = journal_of(
        listed(4, entry("earlier", START)), listed(5, entry("a", START)), listed(6, entry("b", "a"))
    )
    assert state(journal) == state(in_order)


def test_an_earlier_copy_of_what_counts_changes_nothing(caplog) -> None:
    """A duplicate is the same entry, whichever of the two the list shows first."""
    journal = journal_of(listed(5, entry("a", START)))
    journal.add([listed(4, entry("a", START))])
    assert [each.source_id for each in journal.book.entries()] == ["a"]
    assert caplog.text == ""


@pytest.mark.parametrize("ring", [("a",), ("a", "b"), ("a", "b", "c")], ids=len)
def test_entries_in_a_circle_do_not_keep_a_reader_for_ever(ring: tuple[str, ...]) -> None:
    """Only a forger can write them."""
    first = listed(1, entry(ring[0], START))
    pairs = itertools.pairwise([*ring, ring[0]])
    rest = [listed(2 + n, entry(each, after)) for n, (after, each) in enumerate(pairs)]
    assert [each.source_id for each in journal_of(first, *rest).book.entries()] == list(ring)


@pytest.mark.parametrize(
    ("recipient", "deposited"),
    [
        ("bob", 0),
        ("nexus-bounty:default", 7),
        ("nexus-bounty:default:", 7),
        ("nexus-bounty:default:{not json", 7),
        ('nexus-bounty:default:{"entryId":1}', 7),
        ("nexus-bounty:defaults", 0),
        ("nexus-bounty:other:{}", 0),
    ],
)
def test_what_is_no_entry_is_a_deposit_at_most(recipient: str, deposited: int) -> None:
    """Transfers of others, and to other ledgers, are left alone."""
    journal = journal_of(listed(1, recipient, "0.07"))
    assert (journal.head, journal.deposited, journal.size) == (START, deposited, 1)


@given(st.integers(1, 10**12))
def test_0_9_stores_exactly_the_units_it_is_told(units: int) -> None:
    """By its own formula, which cuts off in floats what it should not."""
    assert int(float(cut_in_floats(units)) * 100) == units


def test_0_9_would_cut_amounts_short() -> None:
    """Which is why some are sent with half a unit more."""
    assert int(float(exact(29)) * 100) == 28
    assert (exact(29), cut_in_floats(29), cut_in_floats(30)) == ("0.29", "0.295", "0.30")


@given(st.integers(0, 10**15))
def test_units_survive_being_written_and_read(units: int) -> None:
    """Both releases list them with two places at least."""
    assert units_in(exact(units)) == units


def test_what_is_less_than_a_unit_is_none() -> None:
    """0.10.1 takes a millionth for an entry that carries nothing."""
    assert units_in("0.000001") == 0
    assert units_in("1.009999") == 100
