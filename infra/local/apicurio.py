"""Apicurio Registry from Maven Central: a real schema registry with Confluent's API, its storage in memory."""

from __future__ import annotations

import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local.java import cache_dir, fetch_once, find_java, run_maven
from infra.local.ports import LOOPBACK, choose_port, free_port
from infra.local.process import Child

__all__ = ["APICURIO_VERSION", "Apicurio", "apicurio_files"]

APICURIO_VERSION = "3.3.3"
_MINIMUM_JAVA = 21
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
_ARTIFACT = f"io.apicurio:apicurio-registry-app:{APICURIO_VERSION}:tar.gz:all"


def apicurio_files() -> Path:
    """Give the directory of the unpacked server; Maven fetches it the first time (159 MB).

    Raises:
        ConfigurationError: Maven is not installed.
        ServiceUnavailable: Maven could not fetch it.
    """

    def fetch(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            run_maven(_COPY, f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={scratch}")
            with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
                archive.extractall(target, filter="data")

    return fetch_once(cache_dir() / f"apicurio-{APICURIO_VERSION}", fetch)


class Apicurio:
    """One registry; what is registered is gone when it ends.

    Args:
        directory: Where its log file goes.
        port: Port to listen on; a free one where None.
        is_bound: Whether it ends with this process.
    """

    description = f"Apicurio Registry {APICURIO_VERSION} (in memory)"

    def __init__(self, directory: Path, *, port: int | None = None, is_bound: bool = True) -> None:
        self._directory = directory.absolute()
        self._wanted_port = port
        self._is_bound = is_bound
        self._child: Child | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        self.wait_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def child(self) -> Child:
        """The registry's process."""
        assert self._child is not None, "the registry was not started"
        return self._child

    def start(self) -> None:
        """Start it without waiting for it.

        Raises:
            ConfigurationError: Java or Maven is missing, or the port is in use.
            ServiceUnavailable: it could not be fetched.
        """
        java = find_java(_MINIMUM_JAVA)
        files = apicurio_files()
        port = choose_port("registry", self._wanted_port)
        self.url = f"http://{LOOPBACK}:{port}/apis/ccompat/v7"
        self._child = Child(
            "Apicurio Registry",
            [
                java,
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                f"-Dquarkus.http.host={LOOPBACK}",
                f"-Dquarkus.http.port={port}",
                # Without these two it also listens on port 9000 of every address.
                f"-Dquarkus.management.host={LOOPBACK}",
                f"-Dquarkus.management.port={free_port()}",
                "-Dquarkus.http.access-log.enabled=false",
                # Its default accepts anything.
                "-Dapicurio.rules.global.compatibility=FULL_TRANSITIVE",
                "-jar",
                str(files / "quarkus-run.jar"),
            ],
            log=self._directory / "apicurio.log",
            is_bound=self._is_bound,
        )
        self._child.start()

    def wait_ready(self, *, timeout_s: float = 90.0) -> None:
        """Wait until it lists its subjects.

        Raises:
            ServiceUnavailable: it ended, or does not answer in time.
        """
        self.child.wait_ready(lambda: _answers(f"{self.url}/subjects"), timeout_s=timeout_s)

    def stop(self) -> None:
        """Stop it."""
        if self._child is not None:
            self._child.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  our own http address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
