"""The splice of a snapshot and its changes, case by case."""

from __future__ import annotations

from producers.splice import Diff, Snapshot, Splice, Spliced
from schemas.enums import Side


def diff(first_id: int, last_id: int) -> Diff:
    """A change of the ids first to last, with one level."""
    return Diff(first_id - 1, last_id, ((Side.BUY, last_id, 1),), None, last_id)


def snapshot(last_id: int) -> Snapshot:
    """A book as of an id."""
    return Snapshot(last_id, (), None, last_id)


def test_nothing_is_applied_before_a_snapshot() -> None:
    """Changes wait, and ask for a snapshot."""
    splice = Splice()

    assert not splice.needs_snapshot
    assert splice.diff(diff(5, 7)) == Spliced()
    assert splice.needs_snapshot
    assert not splice.is_live


def test_changes_that_the_snapshot_holds_are_dropped() -> None:
    """The snapshot comes first, then the buffered changes from the one that goes beyond it."""
    splice = Splice()
    for change in (diff(1, 3), diff(4, 6), diff(7, 9)):
        splice.diff(change)

    assert splice.snapshot(snapshot(5)).apply == [snapshot(5), diff(4, 6), diff(7, 9)]
    assert splice.diff(diff(10, 10)).apply == [diff(10, 10)]


def test_a_snapshot_newer_than_all_changes_is_live_at_once() -> None:
    """The dropped changes show that the stream was on when it was taken; the next one may begin before it."""
    splice = Splice()
    splice.diff(diff(1, 3))

    assert splice.snapshot(snapshot(5)).apply == [snapshot(5)]
    assert splice.is_live
    assert splice.diff(diff(4, 8)).apply == [diff(4, 8)]


def test_a_snapshot_before_any_change_waits_for_one() -> None:
    """Without a change nothing shows that the stream was already on."""
    splice = Splice()

    assert splice.snapshot(snapshot(5)) == Spliced()
    assert not splice.is_live
    assert splice.diff(diff(4, 6)).apply == [snapshot(5), diff(4, 6)]


def test_a_snapshot_older_than_the_buffer_is_asked_for_again() -> None:
    """The updates between them are lost."""
    splice = Splice()
    splice.diff(diff(10, 12))

    assert splice.snapshot(snapshot(8)) == Spliced()
    assert splice.needs_snapshot
    assert splice.snapshot(snapshot(9)).apply == [snapshot(9), diff(10, 12)]


def test_a_gap_starts_the_book_anew() -> None:
    """The change after the gap is the first of the new buffer."""
    splice = Splice()
    splice.diff(diff(1, 3))
    splice.snapshot(snapshot(3))

    assert splice.diff(diff(5, 6)) == Spliced(gapped=True)
    assert splice.needs_snapshot
    assert splice.snapshot(snapshot(5)).apply == [snapshot(5), diff(5, 6)]


def test_an_overlap_is_a_gap_once_joined() -> None:
    """Each change must begin exactly where the one before ended."""
    splice = Splice()
    splice.diff(diff(1, 3))
    splice.snapshot(snapshot(2))

    assert splice.diff(diff(3, 4)).gapped


def test_a_duplicate_change_is_left_out() -> None:
    """The book already holds it."""
    splice = Splice()
    splice.diff(diff(1, 3))
    splice.snapshot(snapshot(2))

    assert splice.diff(diff(1, 3)) == Spliced()
    assert splice.is_live


def test_a_snapshot_that_came_before_the_gap_mends_it() -> None:
    """A recorder that reconnects may fetch its snapshot before the first change after the hole."""
    splice = Splice()
    splice.diff(diff(1, 3))
    splice.snapshot(snapshot(2))

    assert splice.snapshot(snapshot(20)) == Spliced()
    assert splice.diff(diff(19, 22)) == Spliced(gapped=True, apply=[snapshot(20), diff(19, 22)])
    assert splice.is_live


def test_a_kept_snapshot_is_of_no_use_once_passed() -> None:
    """An older state must not come back after a later gap."""
    splice = Splice()
    splice.diff(diff(1, 3))
    splice.snapshot(snapshot(2))
    splice.snapshot(snapshot(5))
    splice.diff(diff(4, 6))

    assert splice.diff(diff(9, 9)) == Spliced(gapped=True)
    assert splice.needs_snapshot


def test_a_lost_change_needs_a_snapshot_beyond_it() -> None:
    """One of before it does not reach the next change."""
    splice = Splice()
    splice.diff(diff(1, 3))
    splice.snapshot(snapshot(3))

    assert splice.lose().gapped
    splice.diff(diff(7, 8))
    splice.snapshot(snapshot(4))
    assert not splice.is_live
    splice.snapshot(snapshot(6))
    assert splice.is_live


def test_a_hole_in_the_buffer_drops_what_is_before_it() -> None:
    """Only what follows the hole can be spliced."""
    splice = Splice()
    splice.diff(diff(1, 3))
    splice.diff(diff(6, 7))

    splice.snapshot(snapshot(2))
    assert not splice.is_live
    assert splice.snapshot(snapshot(5)).apply == [snapshot(5), diff(6, 7)]


def test_the_buffer_is_bounded() -> None:
    """The oldest changes go; a snapshot must then be newer than they were."""
    splice = Splice(max_diffs=2)
    for last_id in (1, 2, 3):
        splice.diff(diff(last_id, last_id))

    splice.snapshot(snapshot(0))
    assert not splice.is_live
    assert splice.snapshot(snapshot(1)).apply == [snapshot(1), diff(2, 2), diff(3, 3)]


def test_the_buffer_is_bounded_in_levels() -> None:
    """A few enormous changes are bounded like many small ones."""
    splice = Splice(max_levels=2)
    for last_id in (1, 2, 3):
        splice.diff(diff(last_id, last_id))

    assert splice.snapshot(snapshot(1)).apply == [snapshot(1), diff(2, 2), diff(3, 3)]


def test_a_new_connection_forgets_the_old_one() -> None:
    """Neither changes nor snapshots of before are used."""
    splice = Splice()
    splice.diff(diff(1, 3))
    splice.snapshot(snapshot(2))
    splice.reset()

    assert not splice.is_live
    assert splice.diff(diff(4, 5)) == Spliced()


def test_changes_numbered_with_holes_follow_the_id_that_they_name() -> None:
    """Futures say after which change each one comes; the first may end at the snapshot or go beyond it."""
    splice = Splice()
    changes = [Diff(after, last, (), None, 0) for after, last in ((90, 100), (100, 117), (117, 130))]
    splice.diff(changes[0])

    assert splice.snapshot(snapshot(100)).apply == [snapshot(100)]
    assert splice.diff(changes[1]).apply == [changes[1]]
    assert splice.diff(changes[2]).apply == [changes[2]]
