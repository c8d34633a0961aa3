"""When a polled venue is asked what: within the budget, later after failures, one request of a kind at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producers.citrex.polls import Poll, Polls
from producers.core import Fetch

S = 1_000_000


def polls(*names: str, per_s: int = 10, every_us: int = S) -> Polls:
    made = Polls(per_s, timeout_us=5 * S)
    for name in names:
        made.add(Poll(name=name, path=f"/{name}", every_us=every_us))
    return made


def answer(made: Polls, fetch: Fetch, now_us: int, *, is_good: bool) -> int | None:
    """Answer a request; give when it was asked, None where nobody waited."""
    found = made.answered(fetch.tag)
    if found is None:
        return None
    poll, asked_us = found
    if is_good:
        made.succeed(poll, asked_us)
    else:
        made.fail(poll, now_us)
    return asked_us


def asked(made: Polls, now_us: int) -> list[str]:
    return [fetch.path for fetch in made.due(now_us)]


def test_a_poll_is_asked_again_an_interval_after_it_was_asked() -> None:
    """Not while a request is under way."""
    made = polls("a")
    (fetch,) = made.due(0)

    assert asked(made, 2 * S) == []
    assert answer(made, fetch, 2 * S, is_good=True) == 0
    assert asked(made, 2 * S) == ["/a"]


def test_failures_double_the_wait_and_a_success_ends_that() -> None:
    """Up to half a minute."""
    made, now_us, waits = polls("a"), 0, []
    for _ in range(8):
        (fetch,) = made.due(now_us)
        answer(made, fetch, now_us, is_good=False)
        poll = made.get("a")
        assert poll is not None
        waits.append((poll.due_us - now_us) // S)
        now_us = poll.due_us
    (fetch,) = made.due(now_us)
    answer(made, fetch, now_us, is_good=True)

    assert waits == [2, 4, 8, 16, 30, 30, 30, 30]
    assert made.failures == 8
    assert asked(made, now_us + S) == ["/a"]


def test_an_answer_after_its_time_is_not_taken() -> None:
    """The question is asked anew, and only the new answer counts."""
    made = polls("a")
    (late,) = made.due(0)
    assert asked(made, 5 * S) == []  # timed out now, and waits for its turn
    (again,) = made.due(7 * S)

    assert answer(made, late, 7 * S, is_good=True) is None
    assert made.answered("unknown#1") is None
    assert answer(made, again, 7 * S, is_good=True) is not None


def test_the_more_urgent_comes_first_when_the_budget_is_short() -> None:
    """What was added first is more urgent; the rest waits for tokens."""
    made = polls("a", "b", "c", per_s=2)

    assert asked(made, S) == ["/a", "/b"]
    assert asked(made, S + 400_000) == []
    assert asked(made, S + 500_000) == ["/c"]


def test_what_is_removed_is_asked_no_more_and_a_restart_asks_all() -> None:
    """Also what was under way."""
    made = polls("a", "b")
    made.due(0)
    made.remove("b")
    made.restart(1)

    assert asked(made, 1) == ["/a"]


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=200), st.integers(1, 5))
def test_no_second_has_more_requests_than_the_budget_twice(steps: list[int], per_s: int) -> None:
    """A full bucket and what flows into it, whenever one asks."""
    made = polls("a", "b", "c", "d", per_s=per_s, every_us=1)
    now_us, times = 10 * S, []
    for step in steps:
        now_us += step
        for fetch in made.due(now_us):
            times.append(now_us)
            answer(made, fetch, now_us, is_good=True)
    for start in times:
        assert sum(start <= at < start + S for at in times) <= 2 * per_s
