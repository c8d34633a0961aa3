"""The splice against a naive oracle, over streams that are cut, doubled, reordered and full of holes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producers.splice import Diff, Snapshot, Splice
from schemas.enums import Side

PRICES = 6


def book_at(sizes: list[tuple[int, int]], last_id: int) -> dict[int, int]:
    """The oracle: the first `last_id` updates, one at a time."""
    return {price: size for price, size in dict(sizes[:last_id]).items() if size}


def applied(book: dict[int, int], change: Diff | Snapshot) -> dict[int, int]:
    """Apply what the splice gave out."""
    after = {} if isinstance(change, Snapshot) else dict(book)
    for _, price, size in change.levels:
        after[price] = size
    return {price: size for price, size in after.items() if size}


@given(st.data())
def test_a_live_book_is_always_the_venues(data: st.DataObject) -> None:
    """Whatever is lost, doubled or swapped, a book that is live equals the true one at its id."""
    sizes = data.draw(st.lists(st.tuples(st.integers(1, PRICES), st.integers(0, 3)), min_size=1, max_size=40))
    splice = Splice(max_diffs=data.draw(st.integers(1, 8)))
    book: dict[int, int] = {}
    at = 0
    for event in data.draw(mangled(sizes)):
        was_live = splice.is_live
        spliced = splice.diff(event) if isinstance(event, Diff) else splice.snapshot(event)
        for change in spliced.apply:
            book, at = applied(book, change), change.last_id

        assert not spliced.gapped or was_live
        assert not (was_live and not splice.is_live) or spliced.gapped
        assert not spliced.apply or splice.is_live
        if splice.is_live:
            assert book == book_at(sizes, at)


@st.composite
def mangled(draw: st.DrawFn, sizes: list[tuple[int, int]]) -> list[Diff | Snapshot]:
    """The true history as changes and snapshots, with some dropped, doubled or swapped."""
    cuts = sorted(draw(st.sets(st.integers(1, len(sizes)), max_size=12)) | {len(sizes)})
    events: list[Diff | Snapshot] = []
    for start, cut in zip([0, *cuts], cuts, strict=False):
        levels = tuple((Side.BUY, price, size) for price, size in dict(sizes[start:cut]).items())
        events.append(Diff(start, cut, levels, None, cut))
    for last_id in draw(st.lists(st.integers(0, len(sizes)), max_size=4)):
        levels = tuple((Side.BUY, price, size) for price, size in book_at(sizes, last_id).items())
        events.insert(draw(st.integers(0, len(events))), Snapshot(last_id, levels, None, last_id))
    copies = draw(st.lists(st.sampled_from([1, 1, 1, 0, 2]), min_size=len(events), max_size=len(events)))
    told = [event for event, count in zip(events, copies, strict=True) for _ in range(count)]
    for at in draw(st.lists(st.integers(0, max(len(told) - 2, 0)), max_size=2)):
        told[at : at + 2] = reversed(told[at : at + 2])
    return told


@given(st.data())
def test_an_undisturbed_stream_needs_one_snapshot(data: st.DataObject) -> None:
    """From a snapshot of any moment since the first change on, the book is live to the end, wherever the line came."""
    sizes = data.draw(st.lists(st.tuples(st.integers(1, PRICES), st.integers(0, 3)), min_size=1, max_size=40))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sizes)), max_size=12)) | {len(sizes)})
    diffs = [
        Diff(start, cut, tuple((Side.BUY, price, size) for price, size in dict(sizes[start:cut]).items()), None, cut)
        for start, cut in zip([0, *cuts], cuts, strict=False)
    ]
    last_id = data.draw(st.integers(0, len(sizes)))
    snapshot = Snapshot(last_id, tuple((Side.BUY, p, s) for p, s in book_at(sizes, last_id).items()), None, 0)
    position = data.draw(st.integers(0, len(diffs)))
    splice = Splice()
    book: dict[int, int] = {}
    for event in (*diffs[:position], snapshot, *diffs[position:]):
        spliced = splice.diff(event) if isinstance(event, Diff) else splice.snapshot(event)
        for change in spliced.apply:
            book = applied(book, change)

        assert not spliced.gapped
    assert splice.is_live
    assert book == book_at(sizes, len(sizes))
