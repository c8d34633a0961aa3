"""One order of two topics: the ticks of a partition, and the decisions that were made of them. Pure.

A decision belongs right behind the tick that it names as its cause, however the two topics are delivered. So at a tick
that crosses a grid point the ticks behind it wait until the decisions of that point are read, of every market whose
decisions are being followed; a market is, from its first decision until it has been silent for too long. What is given
out is then a function of the two logs, but for decisions that come when time has already passed them (a pull between
grid points, a worker that catches up): they follow at once, and what becomes of them is in the journal.

Ticks of markets that are not traded are taken many at a time, up to where something waits or a decision comes between.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from schemas.clock import BOOK_GRID_US, GRID_US, Held, PartitionClock
from schemas.records import Cause, Market, QuoteDecision, Tick
from sinks.executor.lapse import Lapse
from sinks.executor.stretch import Read, Stretch

__all__ = ["Merge", "Merged"]

Merged: TypeAlias = tuple[Tick | Lapse | QuoteDecision, Cause]
"""A tick, ticks that only pass, or a decision, and its own place."""

_MOST_TICKS = 50_000
_MOST_DECISIONS = 1_000
_GRID_HZ = 5


class Merge:
    """Ticks and decisions of one partition.

    Args:
        topic: Of the ticks.
        counts: Where what is passed over is counted.
        is_waiting: Whether ticks wait for decisions, and decisions for the tick that they name.
        silence_us: A market without a decision for longer is not followed any more.
        frequency_hz: Decisions a second and market.

    Attributes:
        offset: Of the last tick given out, or passed over.
        clock: The partition's; starts anew, or where a restart left it.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        counts: Counter[str],
        *,
        is_waiting: bool,
        silence_us: int = 2_000_000,
        frequency_hz: int = _GRID_HZ,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self.offset = -1
        self.clock = PartitionClock()
        self._counts = counts
        self._is_waiting = is_waiting
        self._silence_us = silence_us
        self._grid_points = _GRID_HZ // frequency_hz
        self._read_offset = -1
        self._ticks: deque[Read] = deque()
        self._tick_count = 0
        self._decisions: list[tuple[QuoteDecision, Cause]] = []
        self._heard_us: dict[Market, int] = {}
        self._followed: set[Market] = set()
        self._decided: dict[Market, int] = {}
        # The grid point that was crossed last, and who had to decide on it.
        self._awaited: tuple[int, set[Market]] = (0, set())

    @property
    def wants_ticks(self) -> bool:
        """Whether there is room for ticks; without it, stop reading them."""
        return self._tick_count < _MOST_TICKS

    @property
    def wants_decisions(self) -> bool:
        """Whether there is room for decisions."""
        return len(self._decisions) < _MOST_DECISIONS

    def add(self, read: Read) -> None:
        """Read what is next in the log of ticks; what is delivered again is passed over."""
        last = max(self._read_offset, self.offset)
        if isinstance(read, Stretch):
            read = read.behind(int(np.searchsorted(read.offsets, last, "right")))
            if not len(read):
                return
            self._read_offset = int(read.offsets[-1])
            self._tick_count += len(read)
        elif read[0] > last:
            self._read_offset = read[0]
            self._tick_count += 1
        else:
            return
        self._ticks.append(read)

    def add_decision(self, decision: QuoteDecision, cause: Cause, now_us: int) -> None:
        """Read the next decision of the account; its market is followed from here on."""
        self._decisions.append((decision, cause))
        self._decided[decision.market] = max(decision.ts_grid, self._decided.get(decision.market, 0))
        self.follow(decision.market, now_us)

    def follow(self, market: Market, now_us: int) -> None:
        """Expect decisions of a market from now on."""
        self._heard_us[market] = now_us
        self._followed.add(market)

    def silent(self, now_us: int) -> list[Market]:
        """Give the markets whose decisions have stopped coming, for as long as none comes."""
        return sorted(market for market, heard in self._heard_us.items() if now_us - heard > self._silence_us)

    def forget(self, market: Market) -> None:
        """Expect nothing of a market until its next decision: ticks wait for it no longer."""
        self._followed.discard(market)

    def take(self) -> Iterator[Merged]:
        """Give what is next in order, as far as it is known; each is to be dealt with before the next is asked for."""
        while True:
            ready = self._next_decision()
            if ready is not None:
                yield ready
            elif not self._ticks or self._is_held_up():
                return
            else:
                yield from self._next_ticks()

    @property
    def is_decided(self) -> bool:
        """Whether there is a decision that waits for the tick that it names, or comes next."""
        return bool(self._decisions)

    @property
    def has_decision(self) -> bool:
        """Whether a decision is what comes next."""
        return self._next_index() is not None

    def _next_decision(self) -> tuple[QuoteDecision, Cause] | None:
        index = self._next_index()
        return None if index is None else self._decisions.pop(index)

    def _next_index(self) -> int | None:
        for index, (decision, _) in enumerate(self._decisions):
            if not self._is_waiting or decision.cause_offset <= self.offset:
                return index
        return None

    def _is_held_up(self) -> bool:
        ts_grid, markets = self._awaited
        while markets:
            market = next(iter(markets))
            if market in self._followed and self._decided.get(market, 0) < ts_grid:
                return True
            markets.discard(market)
        return False

    def _next_ticks(self) -> Iterator[Merged]:
        head = self._ticks[0]
        if isinstance(head, Stretch):
            lapse = self._lapse(head)
            if lapse is not None:
                self._leave_behind(head, len(lapse))
                yield lapse, Cause(self._topic, self._partition, int(lapse.offsets[0]), self.offset)
                return
            held = head.first()
            self._leave_behind(head, 1)
        else:
            held = head
            self._ticks.popleft()
            self._tick_count -= 1
        for offset, tick in self._judged(*held):
            yield tick, Cause(self._topic, self._partition, offset, offset)

    def _leave_behind(self, head: Stretch, count: int) -> None:
        self._tick_count -= count
        if count < len(head):
            self._ticks[0] = head.behind(count)
        else:
            self._ticks.popleft()

    def _lapse(self, stretch: Stretch) -> Lapse | None:
        """Let a stretch pass as far as nothing comes between; None where its first tick is to be judged."""
        clocks = self.clock.passing(stretch.ts_recv)
        if not len(clocks):
            return None
        now = int(clocks[0]) if self.clock.now_us is None else self.clock.now_us
        # Up to the tick that crosses a grid point: the next ones may have to wait.
        count = min(len(clocks), int(np.searchsorted(clocks, now - now % BOOK_GRID_US + BOOK_GRID_US)) + 1)
        if self._is_waiting and self._decisions:
            due = min(decision.cause_offset for decision, _ in self._decisions)
            count = min(count, int(np.searchsorted(stretch.offsets, due)) + 1)
        lapse = Lapse(stretch.offsets[:count], clocks[:count])
        if len(lapse) > 1:
            self.clock.advance(int(lapse.clocks[-2]))
        self._pass(int(lapse.offsets[-1]), int(lapse.clocks[-1]))
        return lapse

    def _judged(self, offset: int, tick: Tick) -> Iterator[Held]:
        """Give the ticks that the clock lets pass, each once the clock stands at it."""
        clock = self.clock
        if not clock.is_plain(tick.ts_recv):
            verdict = clock.judge(offset, tick)
            self._counts["skewed_ticks"] += len(verdict.forgotten)
            for held in verdict.confirmed:
                self._pass(held[0], held[1].ts_recv)
                yield held
            if verdict.is_held:
                return
        self._pass(offset, tick.ts_recv)
        yield offset, tick

    def _pass(self, offset: int, ts_recv: int) -> None:
        for point in self.clock.advance(ts_recv):
            if self._is_waiting and point % (GRID_US * self._grid_points) == 0:
                self._awaited = (point, set(self._followed))
        self.offset = offset
