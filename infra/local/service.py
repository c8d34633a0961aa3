"""What all services of the embedded stack have in common."""

from __future__ import annotations

import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from infra.local.process import Child

__all__ = ["Service", "answers"]


class Service(ABC):
    """A server in a process of its own; entered as a context, it is started and ready.

    Attributes:
        description: What it is, in words; a stand-in says so.
    """

    description = ""
    _child: Child | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def child(self) -> Child:
        """The process."""
        assert self._child is not None, f"{type(self).__name__} was not started"
        return self._child

    def start(self) -> None:
        """Start it without waiting for it; a start after `stop` or a kill keeps the port.

        Raises:
            ConfigurationError: a program that it needs is missing, or the port is in use.
            ServiceUnavailable: its files could not be fetched or prepared.
        """
        self._child = self._prepare()
        self._child.start()

    def stop(self) -> None:
        """Stop it; what it keeps on disk stays."""
        if self._child is not None:
            self._child.stop()

    @abstractmethod
    def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Wait until it serves.

        Raises:
            ServiceUnavailable: it ended, or does not serve in time; the message names its log.
        """

    @abstractmethod
    def _prepare(self) -> Child:
        """Choose ports, write files, and give the process to start."""


def answers(url: str) -> bool:
    """Say whether a GET of a loopback address succeeds."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310  our own http address
            return True
    except (urllib.error.URLError, OSError):
        return False
