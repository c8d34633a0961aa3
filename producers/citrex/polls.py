"""When to ask what: a set of polls within a budget of requests. Pure: the time is passed in.

Each poll has one request under way at most. One that fails, or is not answered in time, is asked again after twice the
wait of the time before; its late answer is not taken any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from producers.core import Fetch

__all__ = ["Poll", "Polls"]

_US = 1_000_000
_RETRY_MAX_US = 30_000_000


@dataclass(slots=True, kw_only=True)
class Poll:
    """A question that is asked again and again.

    Attributes:
        name: Names it in the tag of a Fetch.
        path: Path and query of the next request; may be changed between requests.
        every_us: Wait from one request to the next.
        is_urgent: The next request is not to wait.
    """

    name: str
    path: str
    every_us: int
    due_us: int = 0
    asked_us: int | None = None
    number: int = 0
    failures: int = 0
    is_urgent: bool = False

    @property
    def tag(self) -> str:
        """Names the request under way."""
        return f"{self.name}#{self.number}"


class Polls:
    """The polls of a venue, the more urgent first.

    Args:
        per_s: Requests a second, and as many at once.
        timeout_us: After this a request counts as failed.
    """

    def __init__(self, per_s: int, timeout_us: int) -> None:
        self._per_s = per_s
        self._timeout_us = timeout_us
        self._polls: dict[str, Poll] = {}
        self._tokens = per_s * _US
        self._filled_us = 0
        self.failures = 0

    def add(self, poll: Poll) -> None:
        """Ask from now on; less urgent than what was added before."""
        self._polls[poll.name] = poll

    def remove(self, name: str) -> None:
        """Ask no more."""
        self._polls.pop(name, None)

    def get(self, name: str) -> Poll | None:
        """Give a poll by its name."""
        return self._polls.get(name)

    def restart(self, now_us: int) -> None:
        """Forget what is under way: all is due."""
        for poll in self._polls.values():
            poll.asked_us, poll.due_us, poll.failures = None, now_us, 0

    def due(self, now_us: int) -> list[Fetch]:
        """Give the requests to make now, as far as the budget goes."""
        self._tokens = min(self._per_s * _US, self._tokens + max(0, now_us - self._filled_us) * self._per_s)
        self._filled_us = now_us
        fetches = []
        for poll in self._polls.values():
            if poll.asked_us is not None and now_us >= poll.asked_us + self._timeout_us:
                self.fail(poll, now_us)
            if poll.asked_us is None and now_us >= poll.due_us and self._tokens >= _US:
                self._tokens -= _US
                poll.number += 1
                poll.asked_us = now_us
                fetches.append(Fetch(poll.tag, poll.path))
        return fetches

    def answered(self, tag: str) -> tuple[Poll, int] | None:
        """Give the poll of an answer and when it was asked, to be told `succeed` or `fail`.

        None of an answer that nobody waits for any more.
        """
        poll = self._polls.get(tag.partition("#")[0])
        if poll is None or poll.asked_us is None or poll.tag != tag:
            return None
        asked_us, poll.asked_us = poll.asked_us, None
        return poll, asked_us

    def succeed(self, poll: Poll, asked_us: int) -> None:
        """Note that the answer was of use."""
        poll.failures = 0
        poll.due_us = asked_us if poll.is_urgent else asked_us + poll.every_us
        poll.is_urgent = False

    def fail(self, poll: Poll, now_us: int) -> None:
        """Note that a request failed, or its answer was of no use: wait longer."""
        poll.asked_us = None
        poll.failures += 1
        self.failures += 1
        poll.due_us = now_us + min(poll.every_us << min(poll.failures, 16), max(poll.every_us, _RETRY_MAX_US))
