"""The offline gate for schemas: each subject's level against all committed versions, and the lock on released ones.

Levels are those of Confluent's registry. Derived records are FULL_TRANSITIVE, so readers and writers are deployed in
any order. Ticks are BACKWARD_TRANSITIVE: who reads them is deployed before who writes them.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum, unique
from typing import Final

from schemas.codec import AVRO_ROOT, Json, committed_subjects, committed_versions, load_schema
from schemas.resolution import read_problems

__all__ = ["LOCK", "CompatibilityLevel", "check", "is_released", "level_of", "lock_problems"]

LOCK: Final = AVRO_ROOT / "LOCK"
"""What is released: `<sha256>  <subject>/v<n>.avsc` a line, or `draft` for the sum of what may still change."""

_DRAFT = "draft"


@unique
class CompatibilityLevel(StrEnum):
    """Which versions must be able to read which."""

    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    """The newest reads all before it."""
    FULL_TRANSITIVE = "FULL_TRANSITIVE"
    """The newest reads all before it, and is read by them."""


def level_of(subject: str) -> CompatibilityLevel:
    """Give the level of a subject."""
    return (
        CompatibilityLevel.BACKWARD_TRANSITIVE
        if subject == "market.ticks-value"
        else CompatibilityLevel.FULL_TRANSITIVE
    )


def check(subject: str, candidate: Json, *, below: int | None = None) -> list[str]:
    """List what stands against a schema as the next version of a subject; empty where nothing does.

    Args:
        subject: Subject in the catalogue.
        candidate: The schema, as JSON.
        below: Compare with the versions below this one only, for a candidate that is committed itself.
    """
    problems = []
    for version in committed_versions(subject):
        if below is not None and version >= below:
            break
        committed = load_schema(subject, version)
        problems += [f"cannot read v{version}: {problem}" for problem in read_problems(candidate, committed)]
        if level_of(subject) is CompatibilityLevel.FULL_TRANSITIVE:
            problems += [f"v{version} cannot read it: {problem}" for problem in read_problems(committed, candidate)]
    return problems


def is_released(subject: str, version: int) -> bool:
    """Tell whether a committed version may never change again."""
    return _locked().get(f"{subject}/v{version}.avsc", _DRAFT) != _DRAFT


def lock_problems() -> list[str]:
    """List the released schemas that changed or are gone, and those that the lock does not name."""
    locked = _locked()
    committed = {
        f"{subject}/v{version}.avsc" for subject in committed_subjects() for version in committed_versions(subject)
    }
    problems = [f"{path} is not in {LOCK.name}" for path in sorted(committed - locked.keys())]
    for path, digest in sorted(locked.items()):
        if path not in committed:
            problems.append(f"{path} is in {LOCK.name} but not there")
        elif digest not in (_DRAFT, hashlib.sha256((AVRO_ROOT / path).read_bytes()).hexdigest()):
            problems.append(f"{path} is released and was changed: restore it and commit the change as the next version")
    return problems


def _locked() -> dict[str, str]:
    lines = (line.split() for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return {path: digest for digest, path in lines}
