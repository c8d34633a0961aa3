"""Minding a venue with a memory of its own: taking up work there, what should not be there, and leaving nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from infra.runtime.logging import get_logger
from schemas.enums import Severity
from schemas.errors import StateError
from sinks.executor.desk import Desk
from sinks.executor.notice import Notice
from sinks.executor.port import RemoteVenue

__all__ = ["RemoteKeeper", "keeper_of"]

log = get_logger(__name__)

_CLOSE_S = 3.0


class RemoteKeeper:
    """Opens a remote venue, attends to it, and parts from it.

    Args:
        note: Tells people something.
    """

    def __init__(self, venue: RemoteVenue, desk: Desk, note: Callable[[Notice], None]) -> None:
        self._venue = venue
        self._desk = desk
        self._note = note
        self._is_open = False
        self._trouble: str | None = None

    @property
    def counters(self) -> Mapping[str, int]:
        """Cumulative counts of requests and failures."""
        return self._venue.counters

    def open(self, now_us: int) -> None:
        """Take up work.

        Raises:
            TerminalError: the venue may not be traded at.
        """
        self._venue.open(now_us)
        self._is_open = True

    def attend(self, now_us: int, *, is_silent: bool) -> None:
        """Cancel what should not be in the venue's book, and tell people what they should know of it."""
        self._venue.hush(is_silent=is_silent)
        strays = self._desk.strays()
        self._venue.withdraw(strays, now_us)
        for one in strays:
            message = f"order {one.venue_order_id}, nonce {one.nonce}, is open and should not be: it is cancelled"
            self._note(Notice(Severity.CRITICAL, "STRAY_ORDER", message, one.market))
        for notice in self._desk.review(now_us):
            self._note(notice)
        if self._venue.trouble != self._trouble:
            self._trouble = self._venue.trouble
            log.warning("venue_trouble", because=self._trouble or "none any more")

    def part(self, now_us: int) -> None:
        """Leave nothing there, whatever ends this executor; what cannot be cancelled ends by its expiry."""
        if not self._is_open:
            return
        try:
            self._venue.cancel_all(now_us)
        except StateError as error:
            log.critical("venue_not_cleared", because=str(error))
        self._venue.close(_CLOSE_S)


def keeper_of(desk: Desk, note: Callable[[Notice], None]) -> RemoteKeeper | None:
    """Give the keeper of a desk's venue; None for one that ends with this process."""
    return RemoteKeeper(desk.venue, desk, note) if isinstance(desk.venue, RemoteVenue) else None
