"""A fault proxy in front of a broker: toxiproxy, where its program is."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from infra.local.ports import LOOPBACK, free_port
from infra.local.process import Child
from infra.local.service import answers
from tests.services import binary, missing

__all__ = ["FaultProxy"]


class FaultProxy:
    """One proxied address.

    Args:
        port: Port that it listens on.
    """

    def __init__(self, folder: Path, port: int) -> None:
        program = binary("toxiproxy-server")
        if program is None:
            missing("toxiproxy", "put toxiproxy-server on PATH")
        self.port = port
        self._api = f"http://{LOOPBACK}:{(api_port := free_port())}"
        self._child = Child(
            "toxiproxy", [program, "-host", LOOPBACK, "-port", str(api_port)], log=folder / "toxiproxy.log"
        )
        self._child.start()
        self._child.wait_ready(lambda: answers(f"{self._api}/version"), timeout_s=10)

    def forward_to(self, upstream: str) -> None:
        """Let connections through to an address."""
        self._ask("POST", "/proxies", {"name": "kafka", "listen": f"{LOOPBACK}:{self.port}", "upstream": upstream})

    def swallow(self) -> None:
        """Deliver nothing any more, in both directions, and close no connection: nobody is told."""
        for stream in ("upstream", "downstream"):
            toxic = {"name": stream, "type": "timeout", "stream": stream, "attributes": {"timeout": 0}}
            self._ask("POST", "/proxies/kafka/toxics", toxic)

    def slow(self, kib_per_s: int | None) -> None:
        """Let so much through to the address, or as much as there is; answers come at once."""
        if kib_per_s is None:
            self._ask("DELETE", "/proxies/kafka/toxics/slow")
            return
        toxic = {"name": "slow", "type": "bandwidth", "stream": "upstream", "attributes": {"rate": kib_per_s}}
        self._ask("POST", "/proxies/kafka/toxics", toxic)

    def heal(self) -> None:
        """Deliver again after `swallow`."""
        for stream in ("upstream", "downstream"):
            self._ask("DELETE", f"/proxies/kafka/toxics/{stream}")

    def refuse(self, *, is_refusing: bool) -> None:
        """Drop all connections and refuse new ones, or serve again."""
        self._ask("POST", "/proxies/kafka", {"enabled": not is_refusing})

    def stop(self) -> None:
        """End it."""
        self._child.stop()

    def _ask(self, method: str, path: str, body: Any = None) -> None:
        request = urllib.request.Request(
            f"{self._api}{path}", method=method, data=json.dumps(body).encode() if body is not None else None
        )
        with urllib.request.urlopen(request, timeout=5):
            pass
