"""The bars stage in compiled code: `docs/bars.md` rule by rule, over steps as rows.

Every function gets the stage's memory as one tuple, its world: see `barworld`. A step that may need more room than
there is ends the run before it, or before the market at which it stopped; the caller makes room and goes on there.
"""

from __future__ import annotations

from numba import boolean, from_dtype, int64, void

from processors.kernel.barslots import (
    CORRECTED,
    FINAL,
    FRAMES,
    LENGTHS,
    NONE,
    PARTIAL,
    array_of,
    drop_first,
    seek,
    slot_of,
)
from processors.kernel.bartrades import add_trade, merge
from processors.kernel.barworld import INNER, MAX_EMPTY_US, WORLD, emit_bar, has_room, is_final, minute_of
from processors.kernel.steprows import GAP, GRID, STEP, TRADE, WATERMARK
from schemas.compiled import Array, compiled
from schemas.enums import Flag

__all__ = ["emit_open", "run_steps"]

_MINUTE_US = LENGTHS[0]
_SECOND_US = 1_000_000
# Times are kept within three hundred years of ours, so that no sum of them exceeds 64 bits.
_LAST_US = 1 << 53
_GAPPED, _LATE, _NO_EVENT_TIME = int(Flag.GAPPED), int(Flag.LATE), int(Flag.NO_EVENT_TIME)


@compiled()
def _sane(ts_us: int) -> int:
    return min(max(ts_us, 0), _LAST_US)


@compiled()
def _note(world: Array, b: int, start: int) -> None:
    """Note news of a minute, and so of every bar that it is in."""
    _, state, _, books, slots, _, _, _, _ = world
    book = books[b]
    minute = slot_of(state, slots, book, 0, start)
    if slots[minute].is_changed:
        return
    slots[minute].is_changed = 1
    for frame in range(1, FRAMES):
        slots[slot_of(state, slots, book, frame, start - start % LENGTHS[frame])].is_changed = 1
    if not book.has_news or start < book.news_us:
        book.has_news, book.news_us = 1, start


@compiled()
def _bound(world: Array, b: int, final_us: int) -> None:
    _, state, _, books, _, bounds, _, _, _ = world
    book = books[b]
    new = state.free_bound
    state.free_bound = bounds[new].next
    state.free_bounds -= 1
    bounds[new].clock_us, bounds[new].final_us, bounds[new].next = state.clock_us, final_us, NONE
    if book.first_bound == NONE:
        book.first_bound = new
    else:
        bounds[book.last_bound].next = new
    book.last_bound = new
    book.bounds += 1


@compiled(void(INNER, int64))
def _close(world: Array, b: int) -> None:
    """Forget the bars that no trade can correct any more."""
    config, state, _, books, slots, bounds, _, _, _ = world
    book = books[b]
    is_moved = False
    while book.first_bound != NONE:
        old = book.first_bound
        if state.clock_us - bounds[old].clock_us <= config.correction_us:
            break
        book.has_closed, book.closed_us, is_moved = 1, bounds[old].final_us, True
        book.first_bound = bounds[old].next
        bounds[old].next = state.free_bound
        state.free_bound = old
        state.free_bounds += 1
        book.bounds -= 1
    if not is_moved:
        return
    for frame in range(FRAMES):
        while book.head[frame] != NONE and slots[book.head[frame]].start + LENGTHS[frame] <= book.closed_us:
            drop_first(state, slots, book, frame)


@compiled()
def _carry(world: Array, b: int, frame: int, before: int, boundary_us: int) -> None:
    """Put bars without trades where no bar is, at the close before them."""
    _, state, _, books, slots, _, _, _, _ = world
    book = books[b]
    length = LENGTHS[frame]
    price = book.last_close
    first = max(before, boundary_us - MAX_EMPTY_US) // length * length
    for start in range(first, boundary_us - length + 1, length):
        at = seek(slots, book, frame, start)
        if at != NONE and slots[at].start == start:
            if slots[at].count:
                price = slots[at].close
            continue
        if frame:
            end = start + length - _MINUTE_US
            minute = seek(slots, book, 0, end)
            price = slots[minute].carry if minute != NONE and slots[minute].start == end else 0
        if price:
            slots[slot_of(state, slots, book, frame, start)].carry = price


@compiled()
def _roll_up(world: Array, b: int, minute: int) -> None:
    _, state, _, books, slots, _, _, _, _ = world
    book = books[b]
    start = slots[minute].start
    book.last_close = slots[minute].close
    for frame in range(1, FRAMES):
        higher = slot_of(state, slots, book, frame, start - start % LENGTHS[frame])
        merge(slots[higher], slots[minute])
        slots[higher].flags |= slots[minute].flags & _GAPPED


@compiled(void(INNER, int64, int64, int64, boolean))
def _finalise(world: Array, b: int, until_us: int, ts_trigger: int, is_silent: bool) -> None:
    """Make the bars that end by a time final and emit them, shorter timeframes first, then by time."""
    config, _, sources, books, slots, _, _, _, _ = world
    book = books[b]
    boundary_us = minute_of(until_us)
    has_before, before = book.has_final, book.final_us
    if has_before and boundary_us <= before:
        return
    book.has_final, book.final_us = 1, boundary_us
    _bound(world, b, boundary_us)
    source = sources[book.source]
    for frame in range(FRAMES):
        if config.is_carrying and has_before:
            _carry(world, b, frame, before, boundary_us)
        at = book.head[frame]
        while at != NONE and slots[at].start + LENGTHS[frame] <= boundary_us:
            slot = slots[at]
            if slot.state == PARTIAL:
                slot.state = FINAL
                if is_silent:
                    slot.flags |= _GAPPED
                slot.is_complete = not is_silent and source.has_observed and source.observed_us <= slot.start
                if frame == 0 and slot.count:
                    _roll_up(world, b, at)
                emit_bar(world, b, frame, at, ts_trigger)
            at = slots[at].next


@compiled()
def _add(world: Array, b: int, at_us: int, step: Array, flags: int, observed_us: int) -> None:
    """Add a trade to its minute, and correct the bars that were final."""
    _, state, _, books, slots, _, _, _, _ = world
    book = books[b]
    start = minute_of(at_us)
    at = slot_of(state, slots, book, 0, start)
    add_trade(slots[at], at_us, step, flags)
    _note(world, b, start)
    mark = 0
    if book.has_gap:
        # Our clock and the venue's differ, so a minute more than the one of the hole may lack its start.
        if start < book.gap_us + _MINUTE_US:
            mark = _GAPPED
        book.has_gap = 0
    slots[at].flags |= mark
    if not is_final(book, start + _MINUTE_US):
        return
    for frame in range(1, FRAMES):
        higher = slots[slot_of(state, slots, book, frame, at_us - at_us % LENGTHS[frame])]
        add_trade(higher, at_us, step, flags)
        higher.flags |= mark
    for frame in range(FRAMES):
        at = slot_of(state, slots, book, frame, at_us - at_us % LENGTHS[frame])
        slot = slots[at]
        if is_final(book, slot.start + LENGTHS[frame]):
            slot.state = CORRECTED
            slot.flags |= _LATE
            if not slot.revision:
                slot.is_complete = observed_us <= slot.start
            emit_bar(world, b, frame, at, step.ts_recv)


@compiled()
def _add_to_last(world: Array, b: int, step: Array) -> bool:
    """Add a trade as `_trade` does, where it is like most: it falls into the open minute of the one before it.

    That minute and the bars that it is in have news already, so the trade changes nothing beside the minute itself.
    """
    config, state, sources, books, slots, bounds, _, _, _ = world
    book = books[b]
    at, ts_recv = book.cursor[0], step.ts_recv
    if at == NONE or step.is_null or ts_recv < 0 or ts_recv > _LAST_US or step.at_us > ts_recv + config.max_ahead_us:
        return False
    slot = slots[at]
    if step.at_us < slot.start or step.at_us >= slot.start + _MINUTE_US or not slot.is_changed:
        return False
    if book.source != step.source or book.has_gap or is_final(book, slot.start + _MINUTE_US):
        return False
    clock_us = max(state.clock_us, ts_recv)
    if book.first_bound != NONE and clock_us - bounds[book.first_bound].clock_us > config.correction_us:
        return False
    state.clock_us = sources[step.source].heard_us = clock_us
    add_trade(slot, step.at_us, step, step.flags)
    return True


@compiled(void(INNER, from_dtype(STEP)))
def _trade(world: Array, step: Array) -> None:
    config, state, sources, books, _, _, _, book_of, _ = world
    ts_recv = _sane(step.ts_recv)
    state.clock_us = max(state.clock_us, ts_recv)
    if not state.has_grid:
        state.has_grid, state.grid_us = 1, state.clock_us
    at_us, flags = step.at_us, step.flags
    if step.is_null or at_us < 0 or at_us > ts_recv + config.max_ahead_us:
        at_us, flags = ts_recv, flags | _NO_EVENT_TIME
    source = sources[step.source]
    source.heard_us = state.clock_us
    if not source.has_observed:
        source.has_observed, source.observed_us = 1, at_us
    b = book_of[step.market]
    if b == NONE:
        b = book_of[step.market] = state.books
        state.books += 1
        books[b].market, books[b].source = step.market, step.source
        if source.has_watermark:
            books[b].has_final, books[b].final_us = 1, minute_of(source.watermark)
            books[b].has_closed, books[b].closed_us = 1, minute_of(source.watermark - config.correction_us)
            _bound(world, b, books[b].final_us)
    elif books[b].source != step.source:
        books[b].source = step.source
        if source.has_watermark:
            _finalise(world, b, source.watermark, step.ts_recv, False)
    _close(world, b)
    if books[b].has_closed and minute_of(at_us) < books[b].closed_us:
        state.too_late += 1
        return
    _add(world, b, at_us, step, flags, source.observed_us)


@compiled()
def _gap(world: Array, step: Array) -> None:
    """Flag the open bars, and that of the next trade if it is soon: something is missing between them."""
    _, state, _, books, slots, _, _, book_of, _ = world
    state.clock_us = max(state.clock_us, _sane(step.ts_recv))
    b = book_of[step.market]
    if b == NONE:
        return
    books[b].has_gap, books[b].gap_us = 1, _sane(step.ts_recv)
    at = books[b].head[0]
    while at != NONE:
        if slots[at].state == PARTIAL and not slots[at].flags & _GAPPED:
            slots[at].flags |= _GAPPED
            _note(world, b, slots[at].start)
        at = slots[at].next


@compiled()
def _promise(world: Array, step: Array) -> int:
    """Note what a source says of its progress; give until when its bars are final."""
    config, state, sources, _, _, _, _, _, _ = world
    ts_recv = _sane(step.ts_recv)
    state.clock_us = max(state.clock_us, ts_recv)
    source = sources[step.source]
    source.heard_us = state.clock_us
    if not step.is_null:
        watermark = _sane(step.at_us)
        source.watermark = max(watermark, source.watermark) if source.has_watermark else watermark
        source.has_watermark = 1
        if not source.has_observed:
            source.has_observed, source.observed_us = 1, watermark + config.lateness_us
    # A venue without event times: its trades are placed by receipt, and no later one is received earlier.
    return source.watermark if source.has_watermark else ts_recv


@compiled()
def _is_new_second(world: Array, step: Array) -> Array:
    _, state, _, _, _, _, _, _, _ = world
    point = _sane(step.at_us)
    state.clock_us = max(state.clock_us, point)
    has_before, before = state.has_grid, state.grid_us
    state.has_grid, state.grid_us = 1, point
    return has_before and point - point % _SECOND_US > before


@compiled()
def _partials(world: Array, b: int, ts_trigger: int) -> None:
    """Emit the open bars with news of a market, and finish those of a source that fell silent."""
    config, state, sources, books, slots, _, _, _, _ = world
    book = books[b]
    if state.clock_us - sources[book.source].heard_us > config.silence_us:
        _finalise(world, b, state.clock_us, ts_trigger, True)
    _close(world, b)
    if not book.has_news:
        return
    book.has_news = 0
    for frame in range(FRAMES):
        since = book.news_us - book.news_us % LENGTHS[frame]
        at = seek(slots, book, frame, since)
        if at == NONE:
            at = book.head[frame]
        while at != NONE:
            if slots[at].is_changed:
                slots[at].is_changed = 0
                if not is_final(book, slots[at].start + LENGTHS[frame]):
                    emit_bar(world, b, frame, at, ts_trigger)
            at = slots[at].next


@compiled(int64(WORLD, array_of(STEP), int64))
def run_steps(world: Array, steps: Array, begin: int) -> int:
    """Take steps from `begin` on; give the first that is not done, for want of room.

    Args:
        world: See `WORLD`. `books` has room for every market, `sources` for every source.
        steps: Rows of `STEP`.
    """
    _, states, _, books, _, _, _, book_of, _ = world
    state = states[0]
    inner = (world[0][0], state, *world[2:])
    for i in range(begin, len(steps)):
        step = steps[i]
        state.offset = max(state.offset, step.offset)
        kind = step.kind
        if kind == TRADE:
            b = book_of[step.market]
            if b != NONE and _add_to_last(inner, b, step):
                continue
            if not has_room(inner, b):
                return i
            _trade(inner, step)
            continue
        if kind == GAP:
            if not has_room(inner, book_of[step.market]):
                return i
            _gap(inner, step)
            continue
        boundary_us = 0
        if kind == WATERMARK:
            boundary_us = _promise(inner, step)
        elif state.resume == NONE:
            state.is_second = _is_new_second(inner, step)
        if kind == GRID and not state.is_second:
            continue
        for b in range(max(state.resume, 0), state.books):
            if not has_room(inner, b):
                state.resume = b
                return i
            if kind == GRID:
                _partials(inner, b, step.ts_recv)
            elif books[b].source == step.source:
                _finalise(inner, b, boundary_us, step.ts_recv, False)
        state.resume = NONE
    return len(steps)


@compiled(int64(WORLD, int64, int64))
def emit_open(world: Array, b: int, ts_emit: int) -> Array:
    """Write out every open bar of a market as it stands, changing nothing; give how many, NONE for want of room."""
    _, states, _, books, slots, _, _, _, _ = world
    state = states[0]
    inner = (world[0][0], state, *world[2:])
    if not has_room(inner, b):
        return NONE
    clock_us, state.clock_us = state.clock_us, ts_emit
    unfit, before = state.unfit, state.emitted
    for frame in range(FRAMES):
        at = books[b].head[frame]
        while at != NONE:
            if slots[at].state == PARTIAL:
                revision = slots[at].revision
                emit_bar(inner, b, frame, at, ts_emit)
                slots[at].revision = revision
            at = slots[at].next
    state.clock_us, state.unfit = clock_us, unfit
    return state.emitted - before
