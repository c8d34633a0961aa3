"""Logs for people on a terminal, JSON lines for machines; always on stderr."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

__all__ = ["RateLimit", "configure_logging", "get_logger", "log_through_stdlib", "log_to_stderr"]

_CHATTY = "aiokafka"  # without a broker, hundreds of lines a second
_SHOWN = 3
_INTERVAL_S = 10.0


@dataclass(slots=True)
class _Spoken:
    since_s: float
    shown: int = 0
    suppressed: int = 0


class RateLimit(logging.Filter):
    """Lets a few lines of each place in the code through per interval; the next one says how many were left out.

    Args:
        clock_s: A monotonic clock, seconds.
    """

    def __init__(
        self, shown: int = _SHOWN, interval_s: float = _INTERVAL_S, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._shown = shown
        self._interval_s = interval_s
        self._clock_s = clock_s
        # By place, which a program has a bounded number of; texts may differ each time.
        self._spoken: dict[tuple[str, int], _Spoken] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is shown; one that is may get the number of those left out appended."""
        place = record.pathname, record.lineno
        now_s = self._clock_s()
        spoken = self._spoken.get(place)
        if spoken is None or now_s - spoken.since_s >= self._interval_s:
            suppressed = spoken.suppressed if spoken else 0
            spoken = self._spoken[place] = _Spoken(now_s)
            if suppressed:
                record.msg = f"{record.getMessage()} (and {suppressed} lines like this that were not shown)"
                record.args = ()  # not None: the formatter of Faust's log goes through them
        if spoken.shown >= self._shown:
            spoken.suppressed += 1
            return False
        spoken.shown += 1
        return True


class _ToRoot(logging.Handler):
    """Hands on to whatever handlers the root has by then: a host may exchange them after us."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger().callHandlers(record)


def configure_logging(level: str, *, component: str) -> None:
    """Send structlog and the standard library's logs to stderr, in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.dict_tracebacks,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    _quieten()
    structlog.contextvars.bind_contextvars(component=component)


def log_to_stderr() -> None:
    """Keep events out of stdout, which is for what a command answers, where nothing else is configured."""
    # What stderr is when something is written: it may be another one by then, and the first one closed.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def log_through_stdlib() -> None:
    """Hand structlog's events to the standard library's handlers, as a host that sets up logging by itself wants."""
    _quieten()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _quieten() -> None:
    for name in ("httpx", "httpx2"):  # a line for every request at INFO
        logging.getLogger(name).setLevel(logging.WARNING)
    # On a handler, not on the logger: a logger's filters do not see what comes from the loggers below it.
    limited = _ToRoot()
    limited.addFilter(RateLimit())
    chatty = logging.getLogger(_CHATTY)
    chatty.handlers[:] = [limited]
    chatty.propagate = False


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Give the logger of a module."""
    return structlog.stdlib.get_logger(name)
