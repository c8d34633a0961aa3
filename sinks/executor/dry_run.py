"""Dry run: everything is decided and journalled, nothing is sent, nothing is ever filled. Pure."""

from __future__ import annotations

from schemas.enums import Mode, OrderAction
from schemas.records import Cause, Tick
from sinks.executor.lapse import Lapse
from sinks.executor.port import Answer, Answered, Moment, Orders, Request, VenueEvent

__all__ = ["DryRunVenue"]


class DryRunVenue:
    """Say yes to everything, so that targets are compared with what would rest."""

    mode = Mode.DRY_RUN
    is_executing = False
    is_on_log = False
    shows_our_orders = False
    banner = "DRY RUN: orders are journalled and go nowhere; there are no executions"

    def submit(self, orders: Orders, now_us: int) -> list[VenueEvent]:
        """Answer as if the orders had been sent."""
        return [
            Answered(
                request.order.nonce,
                _answer(request),
                Moment(now_us, now_us, request.cause),
                venue_order_id=f"dry-run-{request.order.nonce}",
            )
            for request in orders.requests
        ]

    def on_tick(self, tick: Tick, cause: Cause, now_us: int) -> list[VenueEvent]:
        """Do nothing: nothing rests anywhere."""
        return []

    def pass_over(self, lapse: Lapse, cause: Cause) -> list[VenueEvent]:
        """Do nothing: nothing rests anywhere."""
        return []

    def poll(self, now_us: int) -> list[VenueEvent]:
        """Say nothing by itself."""
        return []


def _answer(request: Request) -> Answer:
    # One that takes is over when it is answered, here with nothing taken.
    rests = request.action is OrderAction.PLACE and not request.order.is_taker
    return Answer.ACCEPTED if rests else Answer.CANCELLED
