"""Filling a gap in the chain's stream: for each missing height, `block_results` and `block` over HTTP.

`block_results` has the events and the codes, but neither the block's time nor the hashes; `block` has both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from producers.core import Fetch
from producers.sei.tendermint import Header, Transaction, parse_block, parse_block_results
from schemas.errors import ProtocolError
from schemas.reasons import DeadLetterReason

__all__ = ["Filled", "GapFiller"]

_MAX_ATTEMPTS = 3
_RETRY_US = 1_000_000
_MAX_IN_FLIGHT = 4


@dataclass(frozen=True, slots=True)
class Filled:
    """The outcome for one height.

    Attributes:
        transactions: All of the block's; None where the height could not be had.
        header: None where the node gave the results but not the block.
        problem: Why it could not be had.
    """

    height: int
    transactions: tuple[Transaction, ...] | None
    header: Header | None
    hashes: tuple[str | None, ...]
    problem: str = ""


@dataclass(slots=True)
class _Request:
    height: int
    attempts: int = 0
    due_us: int = 0
    is_in_flight: bool = False
    results: tuple[Transaction, ...] | None = None
    block: tuple[Header, tuple[str | None, ...]] | None = None
    unanswered: int = 0
    problem: str = ""


class GapFiller:
    """The heights that are being fetched.

    Args:
        max_heights: Most heights wanted at one time; more is a gap that stays.
    """

    def __init__(self, max_heights: int) -> None:
        self._max_heights = max_heights
        self._requests: dict[int, _Request] = {}

    @property
    def lowest(self) -> int | None:
        """The lowest height that is still missing."""
        return min(self._requests, default=None)

    def want(self, heights: Iterable[int]) -> bool:
        """Ask for heights; False where not all of them can be had, there being too many."""
        for height in heights:
            if height not in self._requests:
                if len(self._requests) >= self._max_heights:
                    return False
                self._requests[height] = _Request(height)
        return True

    def wants(self, height: int) -> bool:
        """Tell whether a height is asked for and not yet had."""
        return height in self._requests

    def clear(self) -> None:
        """Forget all requests: the heights are those of another chain."""
        self._requests.clear()

    def fetches(self, now_us: int) -> list[Fetch]:
        """Give the requests to make now."""
        slots = _MAX_IN_FLIGHT - sum(request.is_in_flight for request in self._requests.values())
        due = (r for r in sorted(self._requests.values(), key=lambda r: r.height) if self._is_due(r, now_us))
        fetches = []
        for request, _ in zip(due, range(slots), strict=False):
            request.is_in_flight = True
            request.attempts += 1
            request.unanswered = 2
            fetches.append(Fetch(f"block:{request.height}", f"block?height={request.height}"))
            fetches.append(Fetch(f"block_results:{request.height}", f"block_results?height={request.height}"))
        return fetches

    def answered(self, tag: str, body: bytes | None, now_us: int) -> Filled | None:
        """Take an answer; give the outcome once it is certain."""
        name, _, height = tag.partition(":")
        request = self._requests.get(int(height)) if height.isdecimal() and len(height) < 20 else None
        if request is None or not request.is_in_flight:
            return None
        request.unanswered -= 1
        try:
            self._take(request, name, body)
        except ProtocolError as error:
            request.problem = f"{name}: {error}"
        if request.unanswered:
            return None
        request.is_in_flight = False
        if (request.results is not None and request.block is not None) or request.attempts >= _MAX_ATTEMPTS:
            return self._done(request)
        request.due_us = now_us + _RETRY_US * request.attempts
        return None

    def interrupt(self) -> None:
        """Forget which requests are under way: the connection ended, and their answers will not come."""
        for request in self._requests.values():
            request.is_in_flight = False

    def _done(self, request: _Request) -> Filled:
        del self._requests[request.height]
        header, hashes = request.block or (None, ())
        return Filled(request.height, request.results, header, hashes, request.problem)

    @staticmethod
    def _is_due(request: _Request, now_us: int) -> bool:
        return not request.is_in_flight and request.due_us <= now_us

    @staticmethod
    def _take(request: _Request, name: str, body: bytes | None) -> None:
        if body is None:
            request.problem = f"{name}: no answer"
        elif name == "block":
            block = parse_block(body)
            _expect(request.height, block[0].height)
            request.block = block
        else:
            height, results = parse_block_results(body)
            _expect(request.height, height)
            request.results = results


def _expect(wanted: int, height: int) -> None:
    if height != wanted:
        raise ProtocolError(DeadLetterReason.MALFORMED, f"asked for height {wanted}, got {height}")
