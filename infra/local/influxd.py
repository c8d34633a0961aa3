"""A real InfluxDB 2 server, where its program `influxd` is on this machine."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from infra.local.ports import LOOPBACK, choose_port
from infra.local.process import Child
from infra.local.service import Service
from schemas.errors import ConfigurationError, ServiceUnavailable

__all__ = ["Influxd", "find_influxd"]

_HTTP_TIMEOUT_S = 10


def find_influxd() -> str | None:
    """Find `influxd` on PATH or among the programs in the user's cache (`flashmm-services`)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return shutil.which("influxd") or shutil.which("influxd", path=str(cache / "flashmm-services"))


class Influxd(Service):
    """One server with one organisation, one bucket and one token.

    Args:
        directory: Where it keeps its data, its token and its log file; what is there already is served again.
        org: Organisation to set up.
        bucket: Bucket to set up; it keeps points for ever.
        token: Token that may do everything; a random one where empty.
        port: Port to listen on; a free one where None.
        is_bound: Whether it ends with this process.
    """

    def __init__(
        self,
        directory: Path,
        *,
        org: str = "flashmm",
        bucket: str = "metrics",
        token: str = "",
        port: int | None = None,
        is_bound: bool = True,
    ) -> None:
        self.org = org
        self.bucket = bucket
        self.token = token
        self._directory = directory.absolute()
        self._wanted_port = port
        self._is_bound = is_bound
        self._port = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{LOOPBACK}:{self._port}"

    def _prepare(self) -> Child:
        program = find_influxd()
        if program is None:
            raise ConfigurationError("influxd", "is not on PATH", "Install InfluxDB 2, or use the stand-in")
        self._port = choose_port("influx", self._wanted_port)
        self._wanted_port = self._port
        self._directory.mkdir(parents=True, exist_ok=True)
        options = {
            "bolt-path": self._directory / "influxd.bolt",
            "sqlite-path": self._directory / "influxd.sqlite",
            "engine-path": self._directory / "engine",
            "http-bind-address": f"{LOOPBACK}:{self._port}",
        }
        command = [program, "--reporting-disabled", *(f"--{name}={value}" for name, value in options.items())]
        return Child("InfluxDB", command, log=self._directory / "influxd.log", is_bound=self._is_bound)

    def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Wait until it answers, and set it up the first time."""
        self.child.wait_ready(lambda: self._get("/health") is not None, timeout_s=timeout_s)
        health = self._get("/health") or {}
        self.description = f"InfluxDB {health.get('version', '2')}"
        kept = self._directory / "token"
        if kept.exists():
            self.token = kept.read_text(encoding="utf-8")
            return
        self.token = self.token or secrets.token_urlsafe(32)
        self._set_up()
        kept.touch(mode=0o600)
        kept.write_text(self.token, encoding="utf-8")

    def _set_up(self) -> None:
        body = {
            "username": "flashmm",
            "password": secrets.token_urlsafe(32),
            "org": self.org,
            "bucket": self.bucket,
            "token": self.token,
        }
        request = urllib.request.Request(f"{self.url}/api/v2/setup", json.dumps(body).encode(), method="POST")  # noqa: S310  our own http address
        try:
            with urllib.request.urlopen(request, timeout=_HTTP_TIMEOUT_S):  # noqa: S310  our own http address
                pass
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace")
            error.close()
            raise ServiceUnavailable(
                "InfluxDB", self.url, f"set-up was refused: {said}", fix=f"Empty {self._directory}"
            ) from None

    def _get(self, path: str) -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(self.url + path, timeout=_HTTP_TIMEOUT_S) as response:  # noqa: S310  our own http address
                document = json.load(response)
        except (urllib.error.URLError, OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None
