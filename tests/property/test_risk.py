"""The order rate holds over every window of a second, whatever is asked for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernel.risk import OrderRate, Target
from schemas.records import QuoteLevel

levels = st.integers(0, 3).map(lambda p: (QuoteLevel(price=p, size=1),) if p else ())
targets = st.lists(st.tuples(st.sampled_from([0, 200_000, 400_000, 1_200_000]), st.tuples(levels, levels)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(targets, st.integers(1, 6))
def test_no_second_sees_more_new_orders_than_allowed(wanted: list[tuple[int, Target]], limit: int) -> None:
    """A target that is not allowed becomes an empty one, as the quoter does it."""
    rate = OrderRate(limit)
    now, last, placed = 0, ((), ()), []
    for wait, target in wanted:
        now += wait
        asked = target if rate.allows(target, now) else ((), ())
        rate.record(asked, now)
        placed += [now for old, new in zip(last, asked, strict=True) for order in new if order not in old]
        last = asked

    assert all(sum(now - 1_000_000 < ts <= now for ts in placed) <= limit for now in placed)
