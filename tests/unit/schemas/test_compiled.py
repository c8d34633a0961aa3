"""What compiled code is known by on disk: all that went into it, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas import compiled as module
from schemas.compiled import Kept, compiled

INNER = "def inner(x):\n    return x + {0}\n"
OUTER = "def outer(x):\n    return inner(x) * FACTOR\n"


def stamp(folder: Path, inner: str, factor: Any, outer: str = OUTER) -> str:
    """Give what a function is known by that calls another one and uses a constant."""
    names: dict[str, Any] = {"__name__": "made", "FACTOR": factor}
    exec(compile(inner, str(folder / "made.py"), "exec"), names)
    names["inner"] = compiled()(names["inner"])
    exec(compile(outer, str(folder / "made.py"), "exec"), names)
    kept = Kept.from_function(names["outer"], str(folder / "made.py"))
    assert kept is not None
    return kept.get_source_stamp()


def test_a_change_of_what_is_compiled_in_is_noticed(tmp_path: Path) -> None:
    """Of the function, of one that it calls, of a constant; moving it or its comments is no change."""
    first = stamp(tmp_path, INNER.format(1), 2)
    assert stamp(tmp_path, "# moved\n\n" + INNER.format(1), 2) == first
    assert stamp(tmp_path, INNER.format(3), 2) != first
    assert stamp(tmp_path, INNER.format(1), 5) != first
    assert stamp(tmp_path, INNER.format(1), 2, OUTER.replace("*", "-")) != first


def test_the_first_folder_that_can_be_written_to_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the source, else the user's; a folder that is given is the only one; none is no error."""
    beside = tmp_path / "package"
    beside.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(module.config, "CACHE_DIR", "")

    def folder() -> str | None:
        module._folder.cache_clear()
        kept = Kept.from_function(_nothing, str(beside / "made.py"))
        return kept and kept.get_cache_path()

    assert folder() == str(beside / "__pycache__")
    (beside / "__pycache__").rmdir()
    (beside / "__pycache__").write_text("not a folder")
    assert Path(folder() or "").parent == tmp_path / "user" / "flashmm"
    monkeypatch.setattr(module.config, "CACHE_DIR", str(tmp_path / "given"))
    assert Path(folder() or "").parent == tmp_path / "given"
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(module.config, "CACHE_DIR", str(tmp_path / "file" / "given"))
    assert folder() is None
    module._folder.cache_clear()


def _nothing() -> None:
    pass
