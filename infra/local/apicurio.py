"""Apicurio Registry from Maven Central: a real schema registry with Confluent's API, its storage in memory."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

from infra.local.java import cache_dir, fetch_once, find_java, run_maven
from infra.local.ports import LOOPBACK, choose_port, free_port
from infra.local.process import Child
from infra.local.service import Service, answers

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


class Apicurio(Service):
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
        self.url = ""

    def _prepare(self) -> Child:
        java = find_java(_MINIMUM_JAVA)
        files = apicurio_files()
        port = choose_port("registry", self._wanted_port)
        self.url = f"http://{LOOPBACK}:{port}/apis/ccompat/v7"
        return Child(
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

    def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Wait until it lists its subjects."""
        self.child.wait_ready(lambda: answers(f"{self.url}/subjects"), timeout_s=timeout_s)
