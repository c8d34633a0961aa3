"""Which changes of a schema the gate lets through, and the lock on released ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas import compatibility
from schemas.codec import committed_subjects, committed_versions, load_schema
from schemas.compatibility import CompatibilityLevel, check, is_released, level_of, lock_problems
from schemas.resolution import read_problems

TICKS, BARS = "market.ticks-value", "market.bars-value"
Change = Callable[[dict[str, Any]], None]


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(found for found in schema["fields"] if found["name"] == name)


def add_optional(schema: dict[str, Any]) -> None:
    schema["fields"].append({"name": "note", "doc": "A note.", "type": ["null", "string"], "default": None})


def add_required(schema: dict[str, Any]) -> None:
    schema["fields"].append({"name": "note", "doc": "A note.", "type": "string"})


def drop_required(schema: dict[str, Any]) -> None:
    schema["fields"].remove(field(schema, "symbol"))


def drop_optional(schema: dict[str, Any]) -> None:
    schema["fields"].remove(field(schema, "flags"))


def widen(schema: dict[str, Any]) -> None:
    field(schema, "flags")["type"] = "long"


def rescale(schema: dict[str, Any]) -> None:
    for found in schema["fields"]:
        if isinstance(found["type"], dict) and found["type"].get("scale") == 9:
            found["type"] = {**found["type"], "scale": 10}


def narrow(schema: dict[str, Any]) -> None:
    for found in schema["fields"]:
        if isinstance(found["type"], dict) and found["type"].get("scale") == 9:
            found["type"] = {**found["type"], "precision": 18}


def forget_time(schema: dict[str, Any]) -> None:
    for found in schema["fields"]:
        if isinstance(found["type"], dict) and found["type"].get("logicalType") == "timestamp-micros":
            found["type"] = "long"


def add_symbol(schema: dict[str, Any]) -> None:
    for found in schema["fields"]:
        if isinstance(found["type"], dict) and found["type"]["type"] == "enum":
            found["type"]["symbols"].append("NEW")


def rename(schema: dict[str, Any]) -> None:
    schema["name"] = "Other"


@pytest.mark.parametrize("subject", [TICKS, BARS])
@pytest.mark.parametrize("change", [add_optional, drop_optional, add_symbol])
def test_compatible_changes_pass(subject: str, change: Change) -> None:
    """What has a default may come and go, and enums with a default may grow."""
    candidate = load_schema(subject)
    change(candidate)
    assert check(subject, candidate) == []


@pytest.mark.parametrize("subject", [TICKS, BARS])
@pytest.mark.parametrize("change", [add_required, rescale, narrow, forget_time, rename])
def test_breaking_changes_are_found(subject: str, change: Change) -> None:
    """What would lose or misread a record is named, with the version that it breaks."""
    candidate = load_schema(subject)
    change(candidate)
    problems = check(subject, candidate)
    assert problems
    assert all("v1" in problem for problem in problems)


@pytest.mark.parametrize("change", [drop_required, widen])
def test_ticks_need_only_be_read_by_newer_readers(change: Change) -> None:
    """Backward is enough for ticks; derived records must also be read by older readers."""
    ticks, bars = load_schema(TICKS), load_schema(BARS)
    change(ticks)
    change(bars)
    assert check(TICKS, ticks) == []
    assert [problem.partition(":")[0] for problem in check(BARS, bars)] == ["v1 cannot read it"]


def test_levels_are_those_of_the_design() -> None:
    """Every derived record is readable in both directions, over all versions."""
    assert level_of(TICKS) is CompatibilityLevel.BACKWARD_TRANSITIVE
    assert {level_of(subject) for subject in committed_subjects() if subject != TICKS} == {
        CompatibilityLevel.FULL_TRANSITIVE
    }


@pytest.mark.parametrize("subject", committed_subjects())
def test_committed_versions_are_compatible_with_those_before(subject: str) -> None:
    """Each committed version passed the gate."""
    versions = committed_versions(subject)
    assert versions == list(range(1, len(versions) + 1))
    for version in versions:
        assert check(subject, load_schema(subject, version), below=version) == []


def test_logical_types_are_compared_inside_arrays_unions_and_named_types() -> None:
    """A scale that changed is found wherever it is, by the path of its field."""
    books = load_schema("market.books-value")
    for level in field(books, "bids")["type"]["items"]["fields"]:
        level["type"]["scale"] = 7
    problems = read_problems(load_schema("market.books-value"), books)
    assert {problem.partition(":")[0] for problem in problems} == {
        "/bids/items/price",
        "/bids/items/size",
        "/asks/items/price",
        "/asks/items/size",
    }


def test_a_schema_that_holds_itself_is_compared() -> None:
    """Recursion ends where a type begins again."""
    node = {
        "type": "record",
        "name": "Node",
        "fields": [{"name": "value", "type": "long"}, {"name": "next", "type": ["null", "Node"], "default": None}],
    }
    assert read_problems(node, node) == []


def test_nothing_released_was_changed() -> None:
    """The lock's sums are those of the committed files, and it names every file."""
    assert lock_problems() == []


def test_a_changed_missing_or_unlisted_schema_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Editing a released file, deleting one or forgetting to list one fails; editing a draft does not."""
    lines = compatibility.LOCK.read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if "market.books" not in line]
    changed = [f"{'0' * 64}  {line.split()[1]}" if "market.bars" in line else line for line in listed]
    lock = tmp_path / "LOCK"
    lock.write_text("\n".join([*changed, f"{'0' * 64}  market.gone-value/v1.avsc"]), encoding="utf-8")
    monkeypatch.setattr(compatibility, "LOCK", lock)
    problems = lock_problems()
    assert len(problems) == 3
    assert problems[0] == "market.books-value/v1.avsc is not in LOCK"
    assert problems[1].startswith("market.bars-value/v1.avsc is released and was changed")
    assert problems[2].startswith("market.gone-value/v1.avsc is in LOCK but not there")


def test_the_lock_tells_what_may_still_change() -> None:
    """What it has a sum of may not; a draft may, and what it does not know."""
    assert is_released(TICKS, 1)
    assert is_released(BARS, 1)
    assert not is_released("trading.orders-value", 2)
    assert not is_released(BARS, 99)
