"""Child processes: started into a log file, watched until ready, measured, ended quickly and for certain."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from schemas.errors import ServiceUnavailable, TimedOut

__all__ = ["Child", "is_running", "wait_until"]

_POLL_S = 0.05
_LOG_TAIL_BYTES = 2_000
_BOUND = Path(__file__).with_name("_bound.py")


class Child:
    """One program that this process started.

    Args:
        name: What errors call it.
        command: Program and arguments. No secrets: anybody may read a command line.
        log: File that gets its stdout and stderr, emptied at the start.
        environment: Added to this process's own environment.
        cwd: Directory it runs in.
        is_bound: Whether it ends when this process, or rather the thread that starts it, does (Linux).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        is_bound: bool = True,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self._environment = dict(environment or {})
        self._cwd = cwd
        self._is_bound = is_bound and sys.platform == "linux"
        self._process: subprocess.Popen[bytes] | None = None
        self._rss_peak = 0

    @property
    def pid(self) -> int:
        """The process id of the started program."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status; None while it runs or before it was started."""
        return self._process.poll() if self._process is not None else None

    @property
    def is_alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def rss_peak_bytes(self) -> int:
        """The greatest resident size that `sample_rss` has seen, the program's own children included."""
        return self._rss_peak

    def start(self) -> None:
        """Start it, in a session of its own so that Ctrl-C in a terminal reaches only us.

        Raises:
            ServiceUnavailable: the program cannot be run.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = self.command
        if self._is_bound:
            command = [sys.executable, "-I", "-S", str(_BOUND), str(os.getpid()), *command]
        with self.log.open("wb") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self._environment},
                    cwd=self._cwd,
                    start_new_session=True,
                )
            except OSError as error:
                raise self._unavailable(f"cannot run {self.command[0]}: {error.strerror}") from error

    def wait_ready(self, probe: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until `probe` says that it serves.

        Raises:
            ServiceUnavailable: it ended; the message carries the end of its log.
            TimedOut: it was not ready in time; as well.
        """

        def is_settled() -> bool:
            return not self.is_alive or probe()

        if not wait_until(is_settled, timeout_s=timeout_s):
            raise TimedOut(*self._words(f"not ready within {timeout_s:g} s"), fix=self._fix)
        self.check()

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            ServiceUnavailable: it ended; the message carries the end of its log.
        """
        if not self.is_alive:
            raise self._unavailable(f"ended with status {self.returncode}")

    def ask_to_end(self) -> None:
        """Ask it to end without waiting."""
        if self._process is not None and self.is_alive:
            self._process.terminate()
            # A stopped process (SIGSTOP) could not act on the request.
            with contextlib.suppress(psutil.Error):
                psutil.Process(self._process.pid).resume()

    def stop(self, *, grace_s: float = 5.0) -> int | None:
        """Ask it to end, insist after the grace, and give its exit status; also ends what it started itself."""
        if self._process is None:
            return None
        family = _family(self._process.pid)
        if self.is_alive:
            self.ask_to_end()
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for orphan in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.kill()
        return self._process.returncode

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def sample_rss(self) -> int:
        """Measure the resident size in bytes, its own children included, and remember the greatest."""
        if not self.is_alive:
            return 0
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            total = psutil.Process(self.pid).memory_info().rss
        for member in _family(self.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += member.memory_info().rss
        self._rss_peak = max(self._rss_peak, total)
        return total

    def log_tail(self) -> str:
        """Give the last lines of its log."""
        with contextlib.suppress(OSError), self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - _LOG_TAIL_BYTES))
            return stream.read().decode(errors="replace").strip()
        return ""

    @property
    def _fix(self) -> str:
        return f"See {self.log}"

    def _words(self, problem: str) -> tuple[str, str, str]:
        tail = self.log_tail().splitlines()[-5:]
        said = f"; it last said: {' | '.join(tail)}" if tail else ""
        return self.name, "this machine", problem + said

    def _unavailable(self, problem: str) -> ServiceUnavailable:
        return ServiceUnavailable(*self._words(problem), fix=self._fix)


def is_running(pid: int) -> bool:
    """Say whether a process runs, somebody else's too; one that ended and was not reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], *, timeout_s: float, poll_s: float = _POLL_S) -> bool:
    """Poll a condition until it holds; False when the time is up."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_s)
    return True


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []
