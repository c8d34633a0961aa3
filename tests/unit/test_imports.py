"""Every module can be imported by itself."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "producers", "processors", "sinks", "infra")
# Programs: importing one runs it.
PROGRAMS = {"__main__"}
NEEDS_TORCH = ("infra.training", "infra.cli.train")


def modules() -> list[str]:
    """Name every module of ours from the files, so that a folder without __init__.py is found too."""
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.stem not in PROGRAMS
    ]


@pytest.mark.parametrize("name", modules())
def test_a_module_can_be_imported(name: str) -> None:
    """No module is broken, misses a dependency, or is left out of a package."""
    if name.startswith(NEEDS_TORCH) and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed (extra `model`)")

    importlib.import_module(name)


def test_every_folder_of_modules_is_a_package() -> None:
    """A folder without __init__.py would be left out of an installed distribution."""
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}

    assert not [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()]
