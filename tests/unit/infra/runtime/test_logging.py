"""What libraries repeat is shown a few times, and counted."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator

import pytest
from mode.utils.logging import ExtensionFormatter

from infra.runtime.logging import RateLimit, get_logger, log_through_stdlib, log_to_stderr


class Kept(logging.Handler):
    """Keeps the lines that reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def line(number: int, lineno: int = 1) -> logging.LogRecord:
    return logging.LogRecord("library", logging.ERROR, "library.py", lineno, "attempt %d failed", (number,), None)


def test_a_place_speaks_a_few_times_an_interval_and_the_next_line_says_how_often_it_did_not() -> None:
    """Whatever the texts are; another place has its own allowance."""
    now_s = 0.0
    limit = RateLimit(shown=2, interval_s=10, clock_s=lambda: now_s)
    assert [limit.filter(line(number)) for number in range(5)] == [True, True, False, False, False]
    assert limit.filter(line(0, lineno=2))
    now_s = 10.0
    after = line(5)
    assert limit.filter(after)
    assert after.getMessage() == "attempt 5 failed (and 3 lines like this that were not shown)"
    now_s = 20.0
    later = line(6)
    assert limit.filter(later)
    assert later.getMessage() == "attempt 6 failed"


def test_the_line_that_says_so_passes_formatters_that_go_through_its_arguments() -> None:
    """Faust's does, and takes whatever is no tuple for one argument."""
    now_s = 0.0
    limit = RateLimit(shown=1, interval_s=10, clock_s=lambda: now_s)
    assert [limit.filter(line(number)) for number in range(2)] == [True, False]
    now_s = 10.0
    after = line(2)
    assert limit.filter(after)
    assert "1 lines like this" in ExtensionFormatter(fmt="%(message)s").format(after)


def test_events_go_to_what_stderr_is_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the start may be closed; a feed must not end because nothing can be said."""
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    log_to_stderr()
    log = get_logger("feed")
    log.info("feed connected")
    first.close()
    monkeypatch.setattr(sys, "stderr", second)

    log.info("feed lost")

    assert len(second.getvalue().splitlines()) == 1


@pytest.fixture
def kept() -> Iterator[Kept]:
    """A handler of the root, which is there only after logging was configured."""
    root, chatty = logging.getLogger(), logging.getLogger("aiokafka")
    before = chatty.handlers[:], chatty.propagate
    log_through_stdlib()
    handler = Kept()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    chatty.handlers[:], chatty.propagate = before


def test_what_the_kafka_client_repeats_during_an_outage_is_limited(kept: Kept) -> None:
    """From any of its modules, by whatever handlers the root has by then; others speak freely."""
    for number in range(50):
        logging.getLogger("aiokafka.conn").error("cannot connect: %d", number)
        logging.getLogger("faust").error("mine")
    assert 0 < sum(text.startswith("cannot connect") for text in kept.lines) < 10
    assert kept.lines.count("mine") == 50
